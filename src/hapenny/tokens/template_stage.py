"""The template stage: predictable turns answered without a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hapenny.core.answer import Answer, Replay
from hapenny.core.events import Choice, Completion, Tokens, events_of
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Data, Message, Request, Text, ToolResult, ToolUse
from hapenny.core.shape import BRIEF, TOOL_TURNS
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.tokens.options import TEMPLATES_STAGE, TemplateOptions
from hapenny.tokens.templates import Fired, Templates, Turn

MAX_TURN = 600
"""Characters: a longer turn is never a predictable one."""
MODEL = "hapenny-template"
"""Who answered, as the answer's `model` says."""


class Templated(Decision):
    """Which template answers, and with which of our own texts."""

    name: str
    text: str


class TemplateStage(Stage, spec=TEMPLATES_STAGE):
    """Answers where a template fits: never where a form of answer, a tool call or several answers are asked for."""

    needs = BRIEF | TOOL_TURNS

    def __init__(self, templates: Templates, options: TemplateOptions) -> None:
        self._templates = templates
        self._options = options

    async def decide(self, exchange: Exchange, ask: Ask) -> Templated | None:
        """None: the model's business."""
        turn = turn_of(exchange.request, exchange.context.locale or "", with_tools=self._options.with_tools)
        fired: Fired | None = self._templates.match(turn) if turn is not None else None
        if fired is None or fired.name in self._options.skip:
            return None
        return Templated(name=fired.name, text=fired.text, reason=fired.name, spared=True)

    async def apply(self, decision: Templated, exchange: Exchange, onward: Onward) -> Answer:
        """Answers at once."""
        exchange.answer.model = MODEL
        completion = Completion(
            id=exchange.id,
            model=MODEL,
            created=exchange.clock.wall(),
            choices=[Choice(content=[Text(decision.text)], reason="end_turn")],
            tokens=Tokens(),
        )
        return Answer(Replay(events_of(completion)))

    def preview(self, decision: Templated, exchange: Exchange) -> str:
        """The answer."""
        return decision.text


def turn_of(request: Request, locale: str = "", *, with_tools: bool = False) -> Turn | None:
    """What a template may look at, or None where no template may answer."""
    parameters = request.parameters
    if parameters.format is not None or (parameters.n or 1) > 1 or parameters.thinking is not None:
        return None
    if request.tool_choice is not None and request.tool_choice.kind in ("any", "tool"):
        return None
    if not request.messages:
        return None
    tool, result, user_at = _last_result(request)
    if request.tools and not with_tools and not tool:
        return None
    user = request.messages[user_at] if user_at >= 0 else None
    if user is None or user.role != "user":
        return None
    for block in user.content:
        if not isinstance(block, Text) or len(block.text) > MAX_TURN:
            return None
    spoken = [message for message in request.messages[:user_at] if message.role == "assistant"]
    assistant = spoken[-1].text if spoken and not _calls(spoken[-1]) else ""
    return Turn(user=user.text, assistant=assistant, turns=len(spoken), locale=locale, tool=tool, result=result)


def _calls(message: Message) -> bool:
    return any(isinstance(block, ToolUse) for block in message.content)


def _last_result(request: Request) -> tuple[str, Mapping[str, Any] | None, int]:
    """The tool whose only result the conversation ends with, that result, and the user's turn before it."""
    messages = request.messages
    last = messages[-1]
    results = []
    for block in last.content:
        if isinstance(block, ToolResult):
            results.append(block)
    if not results:
        return "", None, len(messages) - 1
    if len(results) != 1 or len(last.content) != 1 or results[0].error or len(messages) < 3:
        return "", None, -1
    call = [block for block in messages[-2].content if isinstance(block, ToolUse)]
    if len(call) != 1 or call[0].id != results[0].id or len(results[0].content) != 1:
        return "", None, -1
    inner = results[0].content[0]
    try:
        value = inner.value if isinstance(inner, Data) else json.loads(inner.text) if isinstance(inner, Text) else None
    except ValueError:
        return "", None, -1
    return call[0].name, value if isinstance(value, dict) else None, len(messages) - 3
