"""The answer to a request that a guardrail blocks: a sentence of the operator's, and the stop reason `guardrail`."""

from __future__ import annotations

from hapenny.core.answer import Answer, Replay
from hapenny.core.events import Choice, Completion, Tokens, events_of
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Text
from hapenny.core.notes import Note

REFUSED: Note[bool] = Note("guarding.refused")
"""A guardrail answered this exchange itself: its words are the operator's."""


def refusal(exchange: Exchange, message: str, why: str, stage: str) -> Answer:
    """Answers in place of a model. Nothing is called, nothing is paid, and nothing counts as saved."""
    exchange.stage_notes[REFUSED] = True
    exchange.answer.guarded = why
    exchange.note(f"{stage}=blocked {why}")
    exchange.answer.model = exchange.target.model
    content = [Text(message)] if message else []
    done = Completion(
        id=exchange.id,
        model=exchange.target.model,
        created=exchange.clock.wall(),
        choices=[Choice(content=list(content), reason="guardrail")],
        tokens=Tokens(),
    )
    return Answer(Replay(events_of(done)))
