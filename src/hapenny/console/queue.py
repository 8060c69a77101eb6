"""What there is to label: answers whose texts are kept, one at a time, in an order that no score has a part in.

Where an audit kept the other model's answer too, a person sees both, blind and in drawn places; otherwise the answer
alone. A label is a verdict in the ledger, like feedback; people go before judges.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from hapenny.config import Config
from hapenny.core.clock import Clock
from hapenny.stores.sqlite import SqliteFile, SqliteRows
from hapenny.telemetry.content import Content, ContentStore
from hapenny.telemetry.opened import open_ledger
from hapenny.telemetry.rows import Row, verdict
from hapenny.telemetry.schema import ENTRY, entry_values, find_row, insert, read_verdicts

Said = Literal["a", "b", "tie", "right", "partly", "wrong"]
SINGLE: dict[str, float] = {"right": 1.0, "partly": 0.5, "wrong": 0.0}
PREFIX = "label:"
"""Sources of labels; what follows is who said it."""


class Item(Struct, frozen=True, kw_only=True):
    """One thing to judge. `judges`: the ledger row whose quality the label becomes; `answers`: one text or two;
    `candidate`: which of two is the one that is judged against the other, the baseline's."""

    id: str
    judges: str
    route: str
    turns: list[tuple[str, str]]
    answers: list[str]
    candidate: int = 0

    def score(self, said: str) -> float:
        """The label as quality in [0, 1]: of a pair 0 where the candidate is the worse answer, else 1.

        Raises:
            ValueError: no such answer.
        """
        if len(self.answers) == 2 and said in ("a", "b", "tie"):
            return float(said == "tie" or said == "ab"[self.candidate])
        if len(self.answers) == 1 and said in SINGLE:
            return SINGLE[said]
        raise ValueError(f"{said!r}. Fix: {'a, b or tie' if len(self.answers) == 2 else ', '.join(SINGLE)}")


class Queue:
    """Everything that may be labelled.

    Args:
        config: with a content store and a ledger.
        clock: dates labels.
        route: only this route's.

    Raises:
        ValueError: no texts are kept, or there is no ledger.
        ImportError: the `content` extra is not installed.
    """

    def __init__(self, config: Config, clock: Clock, route: str | None = None) -> None:
        if config.content is None or config.ledger is None:
            raise ValueError("labels need texts, and no route keeps any. Fix: set content (path, options) and ledger")
        self.config, self._clock, self._route = config, clock, route
        self._path, self._options = config.content.path, config.content.options
        self._ledger = open_ledger(config.ledger.path)
        self._items: dict[str, Item] = {}
        self._kept: dict[str, Content] = {}
        self.refresh()

    def refresh(self) -> None:
        """Reads what is kept by now."""
        self._kept = {content.request: content for content in self._contents()}
        items = [item(content) for content in self._kept.values()]
        items.sort(key=lambda one: hashlib.blake2b(one.id.encode(), digest_size=8).digest())
        items.sort(key=lambda one: -len(one.answers))  # pairs first: they calibrate the judge
        self._items = {one.id: one for one in items}

    def contents(self) -> list[Content]:
        """The texts themselves."""
        return list(self._kept.values())

    def next(self, who: str, skipped: frozenset[str] = frozenset()) -> Item | None:
        """The first that `who` has not labelled; None when all are done."""
        mine = self._labelled(who)
        return next((one for one in self._items.values() if one.judges not in mine and one.id not in skipped), None)

    def items(self) -> list[Item]:
        """All of them, in their order."""
        return list(self._items.values())

    def say(self, id: str, said: str, who: str) -> float:
        """Writes a label into the ledger; returns its score.

        Raises:
            ValueError: no such item or answer, or nobody says it.
        """
        item = self._items.get(id)
        if item is None:
            raise ValueError(f"id: {id[:64]!r} is not in the queue")
        if not who.strip():
            raise ValueError("who: empty. Fix: your name, so that two people's labels stay apart")
        score = item.score(said)
        book(self._ledger, item.judges, score, PREFIX + who.strip()[:40], self._clock.wall())
        return score

    def counts(self, who: str) -> tuple[int, int]:
        """How many `who` has labelled, of how many."""
        mine = self._labelled(who)
        return sum(one.judges in mine for one in self._items.values()), len(self._items)

    def labelled(self) -> Iterator[tuple[Item, float, dict[str, float]]]:
        """Every item that people labelled, the mean of their scores, and all verdicts by source."""
        for one in self._items.values():
            verdicts = read_verdicts(self._ledger, one.judges)
            people = [score for source, score in verdicts.items() if source.startswith(PREFIX)]
            if people:
                yield one, sum(people) / len(people), verdicts

    def row(self, id: str) -> Row | None:
        """The ledger's row of a request."""
        return find_row(self._ledger, id)

    def close(self) -> None:
        """Lets go of the ledger."""
        self._ledger.close()

    def _labelled(self, who: str) -> set[str]:
        rows = self._ledger.execute(
            "SELECT request FROM entries WHERE kind = 'feedback' AND json_extract(detail, '$.source') = ?",
            (PREFIX + who.strip()[:40],),
        ).fetchall()
        return {request for (request,) in rows}

    def _contents(self) -> list[Content]:
        async def read() -> list[Content]:
            rows = SqliteRows(SqliteFile(self._path, self._clock))
            try:
                return await ContentStore(self._options, rows, self._clock).find(route=self._route, limit=100_000)
            finally:
                await rows.aclose()

        return [one for one in asyncio.run(read()) if one.answer and not one.cut]


def item(content: Content) -> Item:
    """A kept request as something to judge."""
    rival = content.rival
    if rival is None or rival.text.strip() == content.answer.strip():
        return Item(
            id=content.request,
            judges=content.request,
            route=content.route,
            turns=content.messages,
            answers=[content.answer],
        )
    # Places are drawn by the id: the same for everybody, and no hint of who said what.
    swapped = bool(hashlib.blake2b(content.request.encode(), digest_size=1, person=b"places").digest()[0] & 1)
    candidate, baseline = (rival.text, content.answer) if rival.candidate else (content.answer, rival.text)
    return Item(
        id=content.request,
        judges=rival.judges,
        route=content.route,
        turns=content.messages,
        answers=[baseline, candidate] if swapped else [candidate, baseline],
        candidate=int(swapped),
    )


def book(ledger: sqlite3.Connection, request: str, score: float, source: str, wall: float) -> None:
    """Adds a verdict to a ledger that the gateway may be writing to as well."""
    insert(ledger, "entries", ENTRY, [entry_values(verdict(request, score, source, wall))])
