"""What a simulated model says: a judge's verdict, an answer whose truth is known, or sentences of the prompt.

Where the truth of the question is known, a model is right when the facts stand in its prompt and the latents say so;
what it says is then graded like any answer.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from hapenny.catalog import Card
from hapenny.core.messages import Request
from hapenny.simulation import replies, verdicts
from hapenny.simulation.answering import Draft, compose
from hapenny.simulation.card import SimulatedModel
from hapenny.simulation.changes import Changes
from hapenny.simulation.latents import Latents, chance, same
from hapenny.simulation.request_text import brings_result, context_of, earlier_of, kind_of, question_of
from hapenny.simulation.tokenizer import Tokenizer, tokenizer
from hapenny.simulation.workload.truth import Item, Kind, Truth

_NORMAL = NormalDist()


class Voice:
    """All models of one provider, as far as they speak.

    Args:
        latents: who is right.
        truth: what is right.
        changes: what has become of the models since the start.
    """

    def __init__(self, latents: Latents, truth: Truth, changes: Changes) -> None:
        self.latents = latents
        self.truth = truth
        self.changes = changes
        self._written = verdicts.Memory()

    def draft(self, request: Request, model: SimulatedModel, card: Card, calls: int) -> Draft:
        """The answer before it is cut. `calls`: how many the provider has taken."""
        pair = verdicts.read(request)
        if pair is not None:
            return Draft(
                text=verdicts.verdict(pair, self.truth, self._written, model.judge_error, model.id, self.latents.seed)
            )
        question = question_of(request)
        texts = context_of(request)
        turn = self.changes.turn(model.id, calls)
        known = self.truth.find(question, earlier_of(request), texts) if len(self.truth) else None
        if known is not None:
            draft, right = self._known(request, model, card, question, texts, *known, turn, calls)
        else:
            right = self._right(model, kind_of(request, question), same(question), question, 0.0, calls)
            seed = self.latents.seed
            size = lognormal(model.output_p50, model.output_p95, chance(seed, "size", same(question)))
            draft = compose(request, model.id, right, seed, max(4, round(size * 0.75)), turn)
        if draft.text:
            self._written.note(draft.text, same(question), right)
        return draft

    def _known(
        self, request: Request, model: SimulatedModel, card: Card, question: str, texts: list[str], item: Item,
        clear: bool, turn: int, calls: int,
    ) -> tuple[Draft, bool]:  # fmt: skip
        """The answer to a question of the truth, and whether it is right. `clear`: the prompt tells which is meant."""
        seed = self.latents.seed
        right = self._right(model, item.kind, item.id, question, item.difficulty, calls)
        if item.call is not None:
            # A model that fails with a tool fails at the call or at reading the result, not at both.
            misread = replies.misreads(item, model.id, seed)
            if request.tools and not brings_result(request):
                return replies.call(item, right or misread), right or misread
            right = right or not misread
        seen = clear and item.stands_in(texts)
        vocabulary: Tokenizer = tokenizer(card.tokenizer)
        draft = replies.answer(item, model.id, right=right, seen=seen, seed=seed, turn=turn, tokenizer=vocabulary)
        thinking = request.parameters.thinking
        if thinking is not None and thinking.kind != "disabled":
            draft = Draft(text=draft.text, thinking=f"The question: {question[:200]}")
        return draft, right and seen

    def _right(self, model: SimulatedModel, kind: Kind, question: str, wording: str, harder: float, calls: int) -> bool:
        if self.changes.plan and self.changes.spoils(model.id, wording, calls):
            return False
        return self.latents.right(model, kind, question, wording, harder)


def lognormal(p50: float, p95: float, draw: float) -> float:
    """The quantile `draw` of the log-normal distribution with this median and 95th percentile, cut at 4 sigma."""
    sigma = math.log(p95 / p50) / _NORMAL.inv_cdf(0.95)
    z = _NORMAL.inv_cdf(min(max(draw, 1e-9), 1 - 1e-9))
    return p50 * math.exp(sigma * max(-4.0, min(4.0, z)))
