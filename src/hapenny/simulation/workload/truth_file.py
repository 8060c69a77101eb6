"""The truth of a workload as a file, for a provider in another process: one JSON line a question."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from hapenny.simulation.workload.truth import Item, Truth


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question: as asked, the question it refers to or "", and its truth."""

    question: str
    follows: str = ""
    item: Item


def save(path: str | Path, entries: Iterable[tuple[str, str, Item]]) -> int:
    """Writes (question, follows, item) each on a line; returns how many."""
    count = 0
    with Path(path).open("wb") as lines:
        for question, follows, item in entries:
            lines.write(msgspec.json.encode(Line(question=question, follows=follows, item=item)) + b"\n")
            count += 1
    return count


def load(path: str | Path) -> Truth:
    """The truth in a file.

    Raises:
        ValueError: the file cannot be read, or a line is none; the message says which and what is wrong.
    """
    truth = Truth()
    decoder = msgspec.json.Decoder(Line)
    try:
        with Path(path).open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    entry = decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise ValueError(f"truth: {path}, line {number}: {error}. Fix: write it anew") from None
                truth.add(entry.question, entry.item, entry.follows)
    except OSError as error:
        raise ValueError(f"truth: {path}: {error.strerror or error}. Fix: give a file that can be read") from None
    return truth
