"""What a right answer to a question is, and which facts it rests on.

An `Item` is one question whatever its wording: the facts that must stand in the prompt, what a right
answer must say, right answers in several wordings, and plausible wrong ones. `Truth` finds the item of a question as
a provider sees it: its text, and the turns before it. Answers are graded by what they say, never by who said it, so a
cached, templated or rewritten answer is graded like a model's own.

A fact stands in a prompt when one passage holds its mark and names what the mark is about. That is a property of the
text alone: no ranking, no similarity, nothing a pruner could share.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

Kind: TypeAlias = Literal["grounded", "tools", "small_talk", "reasoning", "code", "translation", "refusal"]
KINDS: tuple[Kind, ...] = ("grounded", "tools", "small_talk", "reasoning", "code", "translation", "refusal")
"""Kinds of work, by which models differ: finding a fact in the prompt, calling a tool, chatting, working something
out, writing code or structured text, translating, and saying no."""

_WORD = re.compile(r"\w+")
_LIMIT = 2_000_000
"""Questions that one `Truth` holds at most."""
_VERSIONS = 4
"""Truths of one question that are kept: prices and deliveries change."""


class Fact(Struct, frozen=True):
    """`mark` is the value as the shop's documents write it; `about` are names of what it belongs to, any of which must
    stand in the same passage. Without `about` the mark alone is the fact."""

    mark: str
    about: tuple[str, ...] = ()


class Call(Struct, frozen=True):
    """A tool call: a name and JSON arguments."""

    name: str
    arguments: dict[str, Any]


class Item(Struct, frozen=True, kw_only=True):
    """One question of the population and its truth. Marks are compared folded, numbers only as whole numbers."""

    id: str
    """The same for every wording in a language."""
    intent: str
    kind: Kind
    language: str = "en"
    facts: tuple[Fact, ...] = ()
    """All must stand in the prompt, or nobody can answer rightly."""
    right: tuple[str, ...]
    """Right answers in several wordings; each says the same."""
    wrong: tuple[str, ...]
    """Wrong answers as models give them: another record's value, a changed number, a turned negation."""
    unknown: str = ""
    """What is said when the facts cannot be seen."""
    must: tuple[tuple[str, ...], ...] = ()
    """A right answer holds one mark of each group."""
    never: tuple[str, ...] = ()
    """A right answer holds none of these."""
    call: Call | None = None
    """The tool call a right answer begins with; its result bears the facts."""
    wrong_call: Call | None = None
    filler: tuple[str, ...] = ()
    """Sentences without facts that fill an answer to its length."""
    tokens: int = 0
    """Length of the answer, tokens; 0: as the card says."""
    difficulty: float = 0.0
    """Standard deviations above (harder) or below the mean of its kind."""

    def grade(self, answer: str) -> bool:
        """Whether `answer` is right."""
        text = fold(answer)
        return all(any(holds(text, mark) for mark in group) for group in self.must) and not any(
            holds(text, mark) for mark in self.never
        )

    def called(self, name: str, arguments: Mapping[str, Any]) -> bool:
        """Whether a tool call is the right one: same tool, same values, whatever their case and type."""
        wanted = self.call
        if wanted is None or name != wanted.name:
            return False
        return {key: fold(str(value)) for key, value in arguments.items()} == {
            key: fold(str(value)) for key, value in wanted.arguments.items()
        }

    def stands_in(self, texts: Sequence[str]) -> bool:
        """Whether all facts stand in the texts of a prompt."""
        if not self.facts:
            return True
        folded = [fold(text) for text in texts]
        return all(any(_stands(fact, text) for text in folded) for fact in self.facts)


def fold(text: str) -> str:
    """Case, width and marks of composition do not count; spaces and lines stay."""
    return unicodedata.normalize("NFKC", text).casefold()


def normal(text: str) -> str:
    """A question without case, marks and spacing."""
    return " ".join(_WORD.findall(fold(text)))


def holds(folded: str, mark: str) -> bool:
    """Whether a folded text holds `mark`; a mark that begins or ends with a digit is a whole number there."""
    wanted = fold(mark)
    at = folded.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        if not (_runs_on(folded, wanted[0], at - 1, -1) or _runs_on(folded, wanted[-1], end, 1)):
            return True
        at = folded.find(wanted, at + 1)
    return False


def _runs_on(text: str, edge: str, at: int, step: int) -> bool:
    """Whether the number at the edge of a mark goes on at `at`: 30 is not found in 130, 3.90 not in 13.90 or 3.905."""
    if not edge.isdecimal() or not 0 <= at < len(text):
        return False
    if text[at].isdecimal():
        return True
    beyond = at + step
    return text[at] in ".," and 0 <= beyond < len(text) and text[beyond].isdecimal()


_BORDERS = ("\n\n", "<document", "</document")


def _stands(fact: Fact, text: str) -> bool:
    mark = fold(fact.mark)
    names = [fold(name) for name in fact.about]
    at = text.find(mark)
    while at >= 0:
        low = max(text.rfind(border, 0, at) for border in _BORDERS)
        ends = [end for border in _BORDERS if (end := text.find(border, at + len(mark))) >= 0]
        passage = text[max(low, 0) : min(ends, default=len(text))]
        if holds(passage, fact.mark) and (not names or any(name in passage for name in names)):
            return True
        at = text.find(mark, at + len(mark))
    return False


class Truth:
    """The items of a workload, found by question and the turns before it."""

    def __init__(self, items: Iterable[tuple[str, str, Item]] = ()) -> None:
        self._items: dict[str, list[tuple[str, Item]]] = {}
        for question, follows, item in items:
            self.add(question, item, follows)

    def add(self, question: str, item: Item, follows: str = "") -> None:
        """Notes the truth of `question`; `follows` is the earlier question without which it cannot be understood.

        A question whose truth changes (a price, a delivery) keeps its last few truths, the newest first.
        """
        if len(self._items) >= _LIMIT:
            self._items.clear()
        known = self._items.setdefault(normal(question), [])
        entry = (normal(follows), item)
        if entry in known[:1]:
            return
        known[:] = [entry, *(other for other in known if other != entry)]
        versions = [other for other in known if other[0] == entry[0]]
        for old in versions[_VERSIONS:]:
            known.remove(old)

    def find(self, question: str, earlier: Sequence[str] = (), texts: Sequence[str] = ()) -> tuple[Item, bool] | None:
        """The item behind a question, and whether the prompt tells which one is meant; None: an unknown question.

        Args:
            question: as asked.
            earlier: the user turns before it, oldest first.
            texts: the other texts of the prompt; of several truths the newest whose facts stand there is meant.
        """
        known = self._items.get(normal(question))
        if not known:
            return None
        if len(known) == 1 and not known[0][0]:
            return known[0][1], True
        for turn in reversed(earlier):
            before = normal(turn)
            meant = [item for after, item in known if after and before.endswith(after)]
            if meant:
                return _standing(meant, texts), True
        alone = [item for after, item in known if not after]
        return (_standing(alone, texts), True) if alone else (known[0][1], False)

    def __len__(self) -> int:
        return len(self._items)


def _standing(items: Sequence[Item], texts: Sequence[str]) -> Item:
    if len(items) > 1 and texts:
        return next((item for item in items if item.stands_in(texts)), items[0])
    return items[0]
