"""The speed stage: where the chosen model would miss the deadline, a faster one answers, or the answer is asked for in
fewer words.

Theory of operation. An answer is predicted to take the time to the model's first token and its usual length times the
model's time per token, all of it as measured of late. Where that is more than is left, and the name asked for is
`auto`, the baseline's model answers where that is in time or was not measured of late: a saving must not make an answer
late. Else the strongest tier answers that is able and in time. Where there is none, and the form of the answer is the
model's own, it is asked to keep to as many words as there is time for, if that is not much less than usual. Where
neither would be in time nothing is done: an answer that is late anyway had better be whole.

Without a budget on the exchange, as in the holdout, it does nothing; it stands behind the choice of a tier, like
fallbacks, whatever the modes say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange, Target
from hapenny.core.latency import BUDGET, Reaction
from hapenny.core.messages import Request, Text
from hapenny.core.stage import Ask, Decision, Onward, Stage

SHORTEST = 0.5
"""An answer may be asked for in no less than this share of its usual length."""
FEWEST = 20
"""Words below which nothing is asked for: an answer needs room to be one."""
WORDS_A_TOKEN = 0.7
STRONGEST_FIRST = ("max", "strong", "balanced", "fast")


class Faster(Decision, kw_only=True):
    """What would be in time: another model, or so many words."""

    reaction: Reaction
    """What it counts as; asking the baseline's own model (`baseline_model`) changes no answer."""
    target: Target | None = None
    words: int = 0


class SpeedStage(Stage):
    """Keeps deadlines by asking for less.

    Args:
        tiers: the model of each tier.
        predict: seconds until an answer of so many tokens by a target is there; None: not measured of late.
        size: tokens of the usual answer; None: not known.
        lacks: what a model lacks of what the request needs.
    """

    name = "speed"

    def __init__(
        self,
        tiers: Mapping[str, Target],
        predict: Callable[[Exchange, Target, int | None], float | None],
        size: Callable[[Exchange], int | None],
        lacks: Callable[[Exchange, Target], tuple[str, ...]] = lambda exchange, target: (),
    ) -> None:
        self._tiers = [tiers[tier] for tier in STRONGEST_FIRST if tier in tiers]
        self._predict = predict
        self._size = size
        self._lacks = lacks

    async def decide(self, exchange: Exchange, ask: Ask) -> Faster | None:
        """None where there is no deadline, the answer will be in time, or nothing would help."""
        budget = exchange.stage_notes.get(BUDGET)
        if budget is None:
            return None
        target, size = exchange.target, self._size(exchange)
        predicted = self._predict(exchange, target, size)
        left = budget.spare("streaming", exchange.clock.now())
        if predicted is None or predicted <= left:
            return None
        why = f"{predicted:.2f} s predicted, {left:.2f} s left"
        if exchange.asked is not None and exchange.asked.kind == "auto":
            own = exchange.baseline
            if own.model != target.model and budget.may("baseline_model") and not self._lacks(exchange, own):
                time = self._predict(exchange, own, size)
                if time is None or time <= left:
                    return Faster(reaction="baseline_model", target=own, reason=why)
            for other in self._tiers:
                time = self._predict(exchange, other, size) if other.model != target.model else None
                if time is not None and time <= left and not self._lacks(exchange, other):
                    return Faster(reaction="faster_model", target=other, reason=why)
        words = self._words(exchange, target, size, left)
        return Faster(reaction="shorter_answer", words=words, reason=why) if words else None

    async def apply(self, decision: Faster, exchange: Exchange, onward: Onward) -> Answer:
        """Asks for what would be in time, where as many degradations are allowed."""
        budget = exchange.stage_notes[BUDGET]
        if budget.react(exchange, decision.reaction):
            if decision.target is not None:
                exchange.target = decision.target
            else:
                exchange.request = _briefly(exchange.request, decision.words)
        return await onward(exchange)

    def _words(self, exchange: Exchange, target: Target, size: int | None, left: float) -> int:
        """Words that there is time for; 0 where that is too few, or the answer's form is given."""
        parameters = exchange.request.parameters
        if size is None or exchange.request.tools or parameters.format is not None or (parameters.n or 1) > 1:
            return 0
        first = self._predict(exchange, target, 1)
        whole = self._predict(exchange, target, size)
        if first is None or whole is None or whole <= first:
            return 0
        tokens = int((left - first) / (whole - first) * size)
        words = int(tokens * WORDS_A_TOKEN)
        return words if tokens >= SHORTEST * size and words >= FEWEST else 0


def _briefly(request: Request, words: int) -> Request:
    """`request`, asked for in at most so many words: behind everything that a provider may have cached."""
    if not request.messages or request.messages[-1].role != "user":
        return request
    last = request.messages[-1]
    said = replace(last, content=(*last.content, Text(f"Answer in at most {words} words.")))
    return replace(request, messages=(*request.messages[:-1], said))
