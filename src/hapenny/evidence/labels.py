"""What people say: feedback at the endpoint, human labels by CSV.

A label is a score in [0, 1] for a request id; a corrected answer counts as 0 for the answer that was given.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TextIO

import msgspec
from msgspec import Struct

_HELD = 100_000


class Feedback(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One verdict on one answer, as the endpoint takes it."""

    request_id: str
    thumbs: Literal["up", "down"] | None = None
    score: float | None = None
    """In [0, 1]."""
    corrected: str | None = None
    """The answer as it should have been; kept only where the content store is on."""
    source: str = "user"

    def value(self) -> float:
        """The verdict as a score in [0, 1].

        Raises:
            ValueError: when it says nothing, or a score outside [0, 1].
        """
        if self.score is not None:
            if not 0 <= self.score <= 1:
                raise ValueError(f"score: {self.score}. Fix: a number from 0 to 1")
            return self.score
        if self.thumbs is not None:
            return float(self.thumbs == "up")
        if self.corrected is not None:
            return 0.0
        raise ValueError("feedback says nothing. Fix: send thumbs, score or corrected")


class Labels:
    """Labels by request id, the newest of each source; bounded memory, appended to a JSON-lines file if there is one.

    The file holds scores only: a corrected answer is text and belongs to the content store.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._scores: OrderedDict[str, dict[str, float]] = OrderedDict()
        if path is not None and path.exists():
            for line in path.read_bytes().splitlines():
                one = msgspec.json.decode(line, type=_Line)
                self._put(one)

    def add(self, feedback: Feedback) -> float:
        """Takes a verdict in and returns its score."""
        one = _Line(request_id=feedback.request_id, source=feedback.source, score=feedback.value())
        self._put(one)
        if self._path is not None:
            with self._path.open("ab") as out:
                out.write(msgspec.json.encode(one) + b"\n")
        return one.score

    def score(self, request_id: str) -> float | None:
        """Mean over sources, or None."""
        score = self._scores.get(request_id)
        return sum(score.values()) / len(score) if score else None

    def __len__(self) -> int:
        return len(self._scores)

    def _put(self, one: _Line) -> None:
        self._scores.setdefault(one.request_id, {})[one.source] = one.score
        self._scores.move_to_end(one.request_id)
        if len(self._scores) > _HELD:
            self._scores.popitem(last=False)


class _Line(Struct, frozen=True):
    request_id: str
    source: str
    score: float


def read_csv(lines: TextIO | Iterable[str]) -> Iterator[Feedback]:
    """Human labels: a header with `request_id` and `score` (0-1, or up/down) and optionally `corrected`, `source`.

    Raises:
        ValueError: naming the line and what is wrong with it.
    """
    import csv  # labels are read by hand, seldom

    reader = csv.DictReader(lines)
    if not reader.fieldnames or not {"request_id", "score"} <= set(reader.fieldnames):
        raise ValueError("the header needs the columns request_id and score")
    for number, row in enumerate(reader, start=2):
        said = (row["score"] or "").strip().lower()
        if said in ("up", "down"):
            score = float(said == "up")
        else:
            try:
                score = float(said)
            except ValueError:
                raise ValueError(f"line {number}: score {said!r} is neither a number nor up or down") from None
        feedback = Feedback(
            request_id=row["request_id"].strip(),
            score=score,
            corrected=row.get("corrected") or None,
            source=row.get("source") or "label",
        )
        try:
            feedback.value()
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        yield feedback
