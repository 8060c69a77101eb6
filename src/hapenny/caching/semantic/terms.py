"""What the semantic layer reads in a text: stems, numbers, negation, order; and which pairs contradict each other.

Cheap and language-neutral where it can be: words for scripts with spaces, character pairs for Chinese, Japanese and
Korean. Negation and opposites (`opposites`) are closed lists.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter

from msgspec import Struct

from hapenny.caching.semantic.opposites import negates, opposed, poles, turned, turned_round

_TOKEN = re.compile(r"[぀-ヿ㐀-鿿가-힯]+|[^\W_]+(?:['’][^\W_]+)*", re.UNICODE)
_WIDE = re.compile(r"[぀-ヿ㐀-鿿가-힯]")
_NEGATION = (
    "not no never without cannot nor none neither nothing nobody nicht kein keine nie ohne ne pas jamais sans "
    "nunca sin não nem sem non senza mai không chưa chẳng"
)
_NEGATIONS = frozenset(_NEGATION.split())


class Terms(Struct, frozen=True):
    """A text as the layer sees it. `sequence` holds stems in order, `numbers` every token with a digit in it,
    `poles` the sides of opposites that it names."""

    sequence: tuple[str, ...]
    stems: frozenset[str]
    numbers: frozenset[str]
    negated: bool
    poles: frozenset[str] = frozenset()


def read(text: str) -> Terms:
    """The terms of `text`."""
    words: list[str] = []
    low = unicodedata.normalize("NFC", text.lower().replace("’", "'"))
    for token in _TOKEN.findall(low):
        if _WIDE.match(token):
            words.extend(token[i : i + 2] for i in range(max(1, len(token) - 1)))
        else:
            words.append(token)
    sequence = tuple(stem(word) for word in words)
    numbers = frozenset(word for word in words if any(letter.isdigit() for letter in word))
    negated = any(word in _NEGATIONS or word.endswith("n't") for word in words) or negates(low)
    return Terms(sequence, frozenset(sequence), numbers, negated, poles(low, words))


def stem(word: str) -> str:
    """A light English stem: plural, -ing, -ed, -es, -ly."""
    if word.endswith("'s"):
        word = word[:-2]
    if len(word) > 5:
        for suffix in ("ing", "ed", "es", "ly"):
            if word.endswith(suffix):
                return word[: -len(suffix)]
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


class Variety:
    """What wordings were verified to have one answer: the evidence that a difference does not matter for it."""

    __slots__ = ("negated", "numbers", "poles", "stems")

    def __init__(self) -> None:
        self.numbers: set[frozenset[str]] = set()
        self.negated: set[bool] = set()
        self.stems: set[str] = set()
        self.poles: set[str] = set()

    def add(self, terms: Terms) -> None:
        """Counts one verified wording."""
        if len(self.numbers) < 8:
            self.numbers.add(terms.numbers)
        self.negated.add(terms.negated)
        self.poles |= terms.poles
        if len(self.stems) < 512:
            self.stems.update(terms.stems)


def contradiction(asked: Terms, stored: Terms, seen: Variety) -> str:
    """Why `stored` must not answer `asked` whatever their similarity; "" if nothing speaks against it.

    A number, a negation or an opposite that differs counts, unless verified wordings of the same answer (`seen`)
    differ in that very way; the same words in another order always do.
    """
    if asked.numbers != stored.numbers and asked.numbers not in seen.numbers and len(seen.numbers) < 3:
        return "number"
    if asked.negated != stored.negated and len(seen.negated) < 2:
        return "negation"
    if asked.stems == stored.stems:
        swapped = asked.sequence != stored.sequence and sorted(asked.sequence) == sorted(stored.sequence)
        return "order" if swapped else ""
    if not opposed(asked.poles, stored.poles) <= seen.poles:
        return "opposite"
    mine, others = asked.stems - stored.stems, stored.stems - asked.stems
    verified = bool(mine) and mine <= seen.stems
    if not verified and (
        turned(mine, stored.stems)
        or turned(others, asked.stems)
        or turned_round(asked.sequence, stored.stems)
        or turned_round(stored.sequence, asked.stems)
    ):
        return "opposite"
    return ""


class Vocabulary:
    """In how many stored questions each stem occurs, for weights that favour rare words."""

    __slots__ = ("_counts", "_norm", "_questions")

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._questions = 0
        self._norm = 1.0 / math.log(3)

    def add(self, terms: Terms) -> None:
        """Counts a question in."""
        self._counts.update(terms.stems)
        self._questions += 1
        self._norm = 1.0 / math.log(self._questions + 3)

    def remove(self, terms: Terms) -> None:
        """Counts a question out."""
        self._counts.subtract(terms.stems)
        for stem_ in terms.stems:
            if self._counts[stem_] <= 0:
                del self._counts[stem_]
        self._questions -= 1
        self._norm = 1.0 / math.log(self._questions + 3)

    def weight(self, stem_: str) -> float:
        """About 1 for a stem never seen, falling to 0.1 for one in every question."""
        return math.log((self._questions + 1) / (self._counts.get(stem_, 0) + 0.5) + 1) * self._norm
