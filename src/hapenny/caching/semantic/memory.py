"""What is known of the stored questions of one namespace: their words, which have the same answer, their record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hapenny.caching.semantic.features import Neighbour
from hapenny.caching.semantic.terms import Terms, Variety, Vocabulary


class _Record:
    """How often something was verified right and wrong when it was the candidate."""

    __slots__ = ("right", "wrong")

    def __init__(self) -> None:
        self.right = 0
        self.wrong = 0


class _Answer(_Record):
    """Stored questions that were verified to have one answer."""

    __slots__ = ("entries", "variety")

    def __init__(self) -> None:
        super().__init__()
        self.entries: set[int] = set()
        self.variety = Variety()


class _Entry(_Record):
    __slots__ = ("answer", "terms")

    def __init__(self, terms: Terms, answer: int) -> None:
        super().__init__()
        self.terms = terms
        self.answer = answer


class Memory:
    """Questions by entry number, grouped by answer. Vectors and the answers themselves live elsewhere."""

    def __init__(self) -> None:
        self.vocabulary = Vocabulary()
        self._entries: dict[int, _Entry] = {}
        self._answers: dict[int, _Answer] = {}
        self._next = 0

    def __iter__(self) -> Iterator[int]:
        """Its entries, oldest first."""
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, entry: int) -> bool:
        return entry in self._entries

    def add(self, entry: int, terms: Terms, answer: int | None = None) -> int:
        """Stores a question under an answer, a new one if None. Returns the answer's number."""
        if answer is None or answer not in self._answers:
            answer = self._next
            self._next += 1
            self._answers[answer] = _Answer()
        group = self._answers[answer]
        group.entries.add(entry)
        group.variety.add(terms)
        self._entries[entry] = _Entry(terms, answer)
        self.vocabulary.add(terms)
        return answer

    def answer_of(self, entry: int) -> int | None:
        """The answer that a question is stored under."""
        known = self._entries.get(entry)
        return None if known is None else known.answer

    def member(self, answer: int | None) -> int | None:
        """A question that is stored under an answer."""
        known = self._answers.get(answer) if answer is not None else None
        return min(known.entries) if known is not None and known.entries else None

    def remove(self, entry: int) -> bool:
        """Forgets a question; its answer too when it was the last."""
        gone = self._entries.pop(entry, None)
        if gone is None:
            return False
        self.vocabulary.remove(gone.terms)
        group = self._answers[gone.answer]
        group.entries.discard(entry)
        if not group.entries:
            del self._answers[gone.answer]
        return True

    def neighbours(self, entries: Sequence[int], similarities: Sequence[float]) -> list[Neighbour]:
        """Neighbours as `features` wants them; entries that are gone are left out."""
        out = []
        for entry, similarity in zip(entries, similarities, strict=True):
            known = self._entries.get(entry)
            if known is not None:
                out.append(Neighbour(entry, similarity, known.answer, known.terms))
        return out

    def judged(self, entry: int, answer: int, equal: bool) -> None:
        """Keeps the record of a candidate that was verified."""
        for known in (self._entries.get(entry), self._answers.get(answer)):
            if known is not None:
                known.right += equal
                known.wrong += not equal

    def variety(self, answer: int) -> Variety:
        """The wordings verified to have this answer."""
        return self._answers[answer].variety

    def size(self, answer: int) -> int:
        """Stored questions with this answer."""
        return len(self._answers[answer].entries)

    def answer_odds(self, answer: int) -> float:
        """Log odds that this answer was right when it was the candidate."""
        known = self._answers[answer]
        return math.log((known.right + 2) / (known.wrong + 2))

    def entry_odds(self, entry: int) -> float:
        """Log odds that this question's answer was right when it was the nearest."""
        known = self._entries[entry]
        return math.log((known.right + 1) / (known.wrong + 1))
