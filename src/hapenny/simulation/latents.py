"""What nobody outside may know: how hard a question is, and whether a model gets it right.

A question's difficulty is standard normal and the same for all models; a part of it shows in the text
(`Lineup.visible`), the rest does not. A model is right where its ability exceeds difficulty and luck:

    sqrt(shared) * difficulty + sqrt(1 - shared) * luck < normal quantile of the model's share for that kind of work

so that the share over questions is the card's, and two models' success correlates as the card says. Luck belongs to
model and question, in part to the wording. All draws hang on an explicit seed and on the identity of the question,
never on a name of card or file: `latents` 0 is the world the cards describe, other numbers are other draws of it.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache
from statistics import NormalDist

from hapenny.simulation.card import Lineup, SimulatedModel
from hapenny.simulation.workload.truth import Kind

_NORMAL = NormalDist()
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+")
_REASON_WORDS = (
    "why how explain compare difference versus unless except although whereas because calculate average total both "
    "each every without instead if when which rather cheapest best recommend suggest between before after"
)
_REASONS = frozenset(_REASON_WORDS.split())
_LENGTH_MEAN: dict[Kind, float] = {
    "grounded": 3.75, "tools": 3.35, "small_talk": 2.0, "reasoning": 5.15, "code": 4.1, "translation": 3.7,
    "refusal": 4.2,
}  # fmt: skip
_LENGTH_SD = 0.95
"""Of the raw length score over shop questions of a kind: they set the scale, so that a long question is hard among its
kind, and no kind is hard because its questions are long."""
_LENGTH_PART = 0.5


def chance(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def normal(*parts: object) -> float:
    """A standard normal number that depends on `parts` alone."""
    return _NORMAL.inv_cdf(min(max(chance(*parts), 1e-9), 1 - 1e-9))


def same(question: str) -> str:
    """A question without case, marks and spacing: its wording."""
    return " ".join(_WORD.findall(question.casefold()))


@lru_cache(maxsize=1 << 16)
def _weight(seed: int, word: str) -> float:
    """What a word tells of difficulty."""
    return normal(seed, "word", word)


@lru_cache(maxsize=1 << 14)
def visible(question: str, kind: Kind, seed: int = 0) -> float:
    """The text score, about standard normal: length and reasoning words, and which words there are."""
    words = _WORD.findall(question.casefold())
    if not words:
        return 0.0
    weights = sorted(_weight(seed, word) for word in set(words))
    lexical = sum(weights) / math.sqrt(len(weights))
    return _LENGTH_PART * _length(words, kind) + math.sqrt(1 - _LENGTH_PART**2) * lexical


def _length(words: list[str], kind: Kind) -> float:
    """Length, reasoning words and numbers of a question, about standard normal; East Asian signs are half words."""
    east = sum(len(word) == 1 and not word.isascii() for word in words)
    raw: float = math.log2(1 + len(words) - 0.6 * east)
    raw += 0.5 * min(3, sum(word in _REASONS for word in words))
    raw += 0.3 * min(3, sum(word[0].isdigit() for word in words))
    return max(-2.5, min(2.5, (raw - _LENGTH_MEAN[kind]) / _LENGTH_SD))


class Latents:
    """One draw of the hidden world for one card.

    Args:
        lineup: the card.
        seed: which draw.
    """

    def __init__(self, lineup: Lineup, seed: int = 0) -> None:
        self.seed = seed
        self._lineup = lineup

    @property
    def pace(self) -> float:
        """The draw's factor on all times; 1 in draw 0."""
        if not self.seed:
            return 1.0
        low, high = (math.log(each) for each in self._lineup.pace_range)
        return math.exp(low + chance(self.seed, "pace") * (high - low))

    def difficulty(self, kind: Kind, question: str, wording: str) -> float:
        """How hard a question is, standard normal: 0 the mean of its kind.

        Args:
            kind: of work.
            question: its identity.
            wording: its text.
        """
        seen = self._lineup.visible
        hidden = normal(self.seed, "hidden", question)
        return seen * visible(wording, kind, self.seed) + math.sqrt(1 - seen * seen) * hidden

    def right(self, model: SimulatedModel, kind: Kind, question: str, wording: str, harder: float = 0.0) -> bool:
        """Whether `model` answers rightly; always the same for the same question in the same wording. `harder`: by how
        many standard deviations the whole intent is harder than its kind."""
        shared, turn = self._lineup.shared[kind], self._lineup.wording
        luck = math.sqrt(1 - turn) * normal(self.seed, "luck", model.id, question)
        luck += math.sqrt(turn) * normal(self.seed, "turn", model.id, same(wording))
        load = math.sqrt(shared) * self.difficulty(kind, question, wording) + math.sqrt(1 - shared) * luck
        return load < _NORMAL.inv_cdf(min(max(model.correctness[kind], 1e-6), 1 - 1e-6)) - harder
