"""What a provider's prompt cache would have read and written: a bounded table of prefixes seen within their TTL.

Rules of the providers (Anthropic and Bedrock prompt caching, OpenAI automatic caching): a prefix shorter than the
model's minimum is not cached; a hit renews the lifetime; a point is looked up at itself and up to 20 segments before;
an entry can be read once the answer that wrote it has begun.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Literal, NamedTuple, TypeAlias

from hapenny.telemetry.layout import Layout

LOOKBACK = 20
STEP = 128
"""Automatic caches count in blocks of this many tokens."""
AUTOMATIC_TTL = 300
_SAME = 1e-3
"""Seconds by which two readings of the same moment may differ."""


class Split(NamedTuple):
    """Tokens of a prompt by how the prompt cache treats them; the rest is plain input."""

    read: int = 0
    write: int = 0
    write_1h: int = 0


NOTHING = Split()


Upto: TypeAlias = Callable[[int], int]
"""Expected tokens of a prompt's segments up to and including one."""


class Prefixes:
    """The table. A *world* is whose traffic it follows: the baseline's for a tenant and model, a technique's, the
    provider's own.

    Args:
        capacity: prefixes kept; the least recently used leave first.
    """

    def __init__(self, capacity: int = 65_536) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[int, tuple[float, float, int]] = OrderedDict()
        self._exact: OrderedDict[int, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def split(
        self,
        world: Hashable,
        layout: Layout,
        upto: Upto,
        *,
        mode: Literal["explicit", "automatic"],
        minimum: int,
        start: float,
        began: float,
    ) -> Split:
        """What of `layout` is read and written in `world`, and remembers it.

        Args:
            world: whose cache.
            layout: the prompt.
            upto: counts tokens of the prompt's prefixes.
            mode: as the model's card says.
            minimum: shortest prefix that is cached, tokens.
            start: wall seconds at which the prompt was sent.
            began: wall seconds from which on others can read what this one writes.
        """
        if mode == "automatic":
            return self._automatic(world, layout, upto, minimum, start, began)
        points = layout.points
        chain = layout.chain
        read_end = -1
        for point in reversed(points):
            for index in range(point.at, max(point.at - LOOKBACK - 1, -1), -1):
                if index <= read_end:
                    break
                if self._alive((world, chain[index]), start):
                    read_end = index
                    break
            if read_end >= 0:
                break
        read = upto(read_end) if read_end >= 0 else 0
        done, write, write_1h = read, 0, 0
        for point in points:
            if point.at <= read_end:
                self._note((world, chain[point.at]), start, began, point.ttl)
                continue
            tokens = upto(point.at)
            if tokens < minimum:
                continue
            if point.ttl > 300:
                write_1h += max(0, tokens - done)
            else:
                write += max(0, tokens - done)
            done = max(done, tokens)
            self._note((world, chain[point.at]), start, began, point.ttl)
        return Split(read, write, write_1h)

    def measured(self, model: Hashable, layout: Layout, index: int, tokens: int) -> None:
        """A provider reported how many tokens of `model` the segments up to and including `index` are."""
        exact = self._exact
        key = hash((model, layout.chain[index]))
        exact[key] = tokens
        exact.move_to_end(key)
        if len(exact) > self._capacity:
            exact.popitem(last=False)

    def anchor(self, model: Hashable, layout: Layout) -> tuple[int, int] | None:
        """The deepest point of `layout` up to which a provider has reported the tokens: (segment, tokens)."""
        chain, exact = layout.chain, self._exact
        for point in reversed(layout.points):
            tokens = exact.get(hash((model, chain[point.at])))
            if tokens is not None:
                return point.at, tokens
        return None

    def settle(
        self, world: Hashable, layout: Layout, upto: Upto, covered: int, *, minimum: int, start: float, began: float
    ) -> None:
        """Follows what the provider reports of a prompt with points: `covered` tokens were read and written in all.

        An estimate may fall on the wrong side of the minimum, and a table may be younger than the cache: what is
        predicted of later prompts then rests on the report.
        """
        points, chain = layout.points, layout.chain
        last = points[-1].at
        scale = covered / max(1, upto(last))
        for point in points:
            key = (world, chain[point.at])
            if covered and (point.at == last or upto(point.at) * scale >= minimum):
                self._note(key, start, began, point.ttl)
            else:
                self._forget(key, began)

    def _automatic(
        self, world: Hashable, layout: Layout, upto: Upto, minimum: int, start: float, began: float
    ) -> Split:
        chain = layout.chain
        ends = [end - 1 for end in layout.ends if end]
        if not ends or upto(len(chain) - 1) < minimum:
            return NOTHING
        read = 0
        for index in reversed(ends):
            if self._alive((world, chain[index]), start):
                read = upto(index) // STEP * STEP
                break
        for index in ends:
            self._note((world, chain[index]), start, began, AUTOMATIC_TTL)
        return Split(read if read >= minimum else 0)

    def _alive(self, key: Hashable, start: float) -> bool:
        slot = hash(key)
        entry = self._seen.get(slot)
        if entry is None or not entry[0] <= start < entry[1]:
            return False
        self._seen[slot] = (entry[0], start + entry[2], entry[2])
        self._seen.move_to_end(slot)
        return True

    def _forget(self, key: Hashable, began: float) -> None:
        """Unless it was written by somebody who began later."""
        entry = self._seen.get(hash(key))
        if entry is not None and entry[0] <= began + _SAME:
            del self._seen[hash(key)]

    def _note(self, key: Hashable, start: float, began: float, ttl: int) -> None:
        slot, seen = hash(key), self._seen
        entry = seen.get(slot)
        if entry is not None and start < entry[1]:
            seen[slot] = (min(entry[0], began), max(entry[1], start + ttl), max(ttl, entry[2]))
            seen.move_to_end(slot)
            return
        seen[slot] = (began, start + ttl, ttl)
        if len(seen) > self._capacity:
            seen.popitem(last=False)
