"""What the semantic layer reads in a text: stems, numbers, negation, order; and which pairs contradict each other.

Cheap and language-neutral where it can be: words for scripts with spaces, character pairs for Chinese, Japanese and
Korean. Negation and opposites are small closed lists.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from msgspec import Struct

_TOKEN = re.compile(r"[぀-ヿ㐀-鿿가-힯]+|[^\W_]+(?:['’][^\W_]+)*", re.UNICODE)
_WIDE = re.compile(r"[぀-ヿ㐀-鿿가-힯]")
_NEGATION = (
    "not no never without cannot nor none neither nothing nobody nicht kein keine nie ohne ne pas jamais sans "
    "nunca sin não nem sem non senza mai không chưa chẳng"
)
_NEGATIONS = frozenset(_NEGATION.split())
_OPPOSITES = (
    "on off|increase decrease|raise lower|open close|start stop|enable disable|activate deactivate|before after|"
    "more less|up down|left right|first last|buy sell|lock unlock|freeze unfreeze|allow block|add remove|"
    "accept decline|accept reject|cheapest expensive|hot cold|arrival departure|arrive depart|with without|"
    "send receive|deposit withdraw|minimum maximum|import export|upgrade downgrade|subscribe unsubscribe|"
    "mute unmute|install uninstall|connect disconnect|attach detach|include exclude|ascending descending"
)


class Terms(Struct, frozen=True):
    """A text as the layer sees it. `sequence` holds stems in order, `numbers` every token with a digit in it."""

    sequence: tuple[str, ...]
    stems: frozenset[str]
    numbers: frozenset[str]
    negated: bool


def read(text: str) -> Terms:
    """The terms of `text`."""
    words: list[str] = []
    for token in _TOKEN.findall(text.lower().replace("’", "'")):
        if _WIDE.match(token):
            words.extend(token[i : i + 2] for i in range(max(1, len(token) - 1)))
        else:
            words.append(token)
    sequence = tuple(stem(word) for word in words)
    numbers = frozenset(word for word in words if any(letter.isdigit() for letter in word))
    negated = any(word in _NEGATIONS or word.endswith("n't") for word in words)
    return Terms(sequence, frozenset(sequence), numbers, negated)


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


def _opposites() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = {}
    for pair in _OPPOSITES.split("|"):
        one, other = (stem(word) for word in pair.split())
        table.setdefault(one, set()).add(other)
        table.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in table.items()}


OPPOSITES = _opposites()


class Variety:
    """What wordings were verified to have one answer: the evidence that a difference does not matter for it."""

    __slots__ = ("negated", "numbers", "stems")

    def __init__(self) -> None:
        self.numbers: set[frozenset[str]] = set()
        self.negated: set[bool] = set()
        self.stems: set[str] = set()

    def add(self, terms: Terms) -> None:
        """Counts one verified wording."""
        if len(self.numbers) < 8:
            self.numbers.add(terms.numbers)
        self.negated.add(terms.negated)
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
    others = stored.stems - asked.stems
    for word in asked.stems - stored.stems:
        if not others.isdisjoint(OPPOSITES.get(word, frozenset())) and word not in seen.stems:
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
