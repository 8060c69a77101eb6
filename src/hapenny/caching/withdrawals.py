"""What gateways tell one another about answers that may not be served any more, and which stored ones that means.

A shared store holds answers it cannot look into, so nothing there is searched for: a withdrawal is kept, with the time
at which the store heard it, and an answer that was put there before it and that it means is not taken. Most name one
tag, and are found by it; the others are held against each answer. Where too many are kept, all answers of before count
as withdrawn: that costs calls, and serves nobody an answer that was taken back.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from msgspec import Struct

from hapenny.caching.store import Entry, Selector

MOST_TAGS = 100_000
MOST_OTHERS = 1_000


class Withdrawal(Struct, frozen=True, omit_defaults=True):
    """Which answers were meant; everything given must match."""

    tenant: str | None = None
    tag: str | None = None
    also: str | None = None
    prefix: str | None = None
    older_than: float | None = None
    keep: str = ""
    """Answers with this tag are not meant."""
    stale: bool = False
    """They may still be served while fresh ones are fetched, where the route does that."""

    @property
    def selector(self) -> Selector:
        """The same for a store of this process."""
        return Selector(
            tag=self.tag, also=self.also, prefix=self.prefix, tenant=self.tenant, older_than=self.older_than
        )


class Withdrawals:
    """Those that still matter. Times are those of the shared store."""

    def __init__(self) -> None:
        self.floor = 0.0
        """Answers of before are not taken at all."""
        self._by_tag: OrderedDict[tuple[str | None, str], tuple[float, str]] = OrderedDict()
        self._others: list[tuple[float, Withdrawal]] = []

    def add(self, withdrawal: Withdrawal, at: float) -> None:
        """Takes one that was heard at `at`."""
        simple = withdrawal.also is None and withdrawal.prefix is None and withdrawal.older_than is None
        if simple and withdrawal.tag is not None:
            place = (withdrawal.tenant, withdrawal.tag)
            known = self._by_tag.get(place)
            if known is not None and known[1] != withdrawal.keep:
                self._others.append((known[0], Withdrawal(tenant=place[0], tag=place[1], keep=known[1])))
            self._by_tag[place] = (at, withdrawal.keep)
            self._by_tag.move_to_end(place)
            if len(self._by_tag) > MOST_TAGS:
                _, (left, _) = self._by_tag.popitem(last=False)
                self.floor = max(self.floor, left)
        else:
            self._others.append((at, withdrawal))
        if len(self._others) > MOST_OTHERS:
            self.floor = max(self.floor, self._others.pop(0)[0])

    def mean(self, entry: Entry[Any], kept: float) -> bool:
        """Whether an answer that was put into the shared store at `kept` was withdrawn since."""
        if kept <= self.floor:
            return True
        if self._by_tag:
            for tag in entry.tags:
                for tenant in (entry.tenant, None):
                    known = self._by_tag.get((tenant, tag))
                    if known is not None and kept <= known[0] and known[1] not in entry.tags:
                        return True
        for at, withdrawal in self._others:
            if kept <= at and withdrawal.keep not in entry.tags:
                # Its age is what it was when the withdrawal was told, in whole milliseconds of the space.
                older = withdrawal.older_than
                if (older is None or at - kept >= older) and _selected(withdrawal, entry):
                    return True
        return False


def _selected(withdrawal: Withdrawal, entry: Entry[Any]) -> bool:
    selector = Selector(tag=withdrawal.tag, also=withdrawal.also, prefix=withdrawal.prefix, tenant=withdrawal.tenant)
    return selector.matches(entry, 0.0)
