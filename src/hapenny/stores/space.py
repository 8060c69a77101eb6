"""A space that several gateways share: values with a lifetime, leases on making them, and news in order.

A value is looked for under a key. Whoever finds none and names itself gets the *lease* of the key, if nobody has it:
the others wait for the value, and take the lease over when its holder let go, or did not renew it in time (it died).
*News* are short messages to everybody, read by position. Times are the space's own, so that clocks of hosts that
disagree do no harm. `MemorySpace` keeps it all in this process; `stores.space_redis` in Redis or Valkey;
`stores.host` in the process that watches over the workers of one host. One contract suite holds all of them.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from hapenny.core.clock import Clock
from hapenny.core.guard import Guard

MOST_NEWS = 10_000
"""Messages that are kept for those who were away."""
MOST_BYTES = 1_000_000
"""The longest value; a longer one is not kept."""
PAGE = 500
"""Messages that one `heard` brings at most."""


class Seen(NamedTuple):
    """The answer to `look`."""

    value: bytes | None
    kept: float
    """When the value was put there (epoch seconds of the space)."""
    now: float
    """What time it is there."""
    mine: bool
    """Without a value: whether the asker has the lease now."""


class Message(NamedTuple):
    """One piece of news."""

    id: str
    at: float
    data: bytes


class Heard(NamedTuple):
    """The answer to `heard`."""

    messages: list[Message]
    oldest: float
    """When the oldest message was sent of those that are still there; 0: none ever left."""
    missed: bool
    """Whether messages behind `after` have left already."""


class Space(Protocol):
    """The contract (`tests/stores/test_space.py`). Methods that wait raise `ConnectionError` when the space cannot be
    reached, after a second at most; the others never wait, and what they say is lost with the space."""

    @property
    def guards(self) -> Sequence[Guard]:
        """Of its background tasks."""
        ...

    async def look(self, key: str, holder: str = "", lease_s: float = 0.0, after: float = 0.0) -> Seen:
        """The value of `key`; where there is none, `holder` gets the lease if nobody else has it (one that has it
        renews it). Without a `holder` nothing is leased. A value that was put there at `after` or before is none."""
        ...

    def keep(self, key: str, holder: str, value: bytes, life_s: float) -> None:
        """Puts the value, for `life_s` seconds, and ends the lease if it is the holder's."""
        ...

    def let_go(self, key: str, holder: str) -> None:
        """Ends the holder's lease without a value."""
        ...

    def renew(self, key: str, holder: str, lease_s: float) -> None:
        """The holder's lease lasts `lease_s` from now; one that somebody else has stays theirs."""
        ...

    async def tell(self, data: bytes, channel: str = "news") -> float:
        """Sends a message to everybody who follows the channel, the sender too; when that was."""
        ...

    async def heard(self, after: str = "", channel: str = "news") -> Heard:
        """Messages of a channel behind the one whose id is `after`, oldest first, `PAGE` at most."""
        ...

    async def aclose(self) -> None:
        """Lets go of it."""
        ...


class _Channel:
    """The messages of one channel."""

    def __init__(self) -> None:
        self._news: deque[Message] = deque()
        self._number = 0
        self._left = 0
        """Number of the youngest message that has left."""

    def tell(self, data: bytes, now: float) -> float:
        self._number += 1
        self._news.append(Message(str(self._number), now, data))
        if len(self._news) > MOST_NEWS:
            self._left = int(self._news.popleft().id)
        return now

    def heard(self, after: str) -> Heard:
        behind = int(after) if after else 0
        oldest = self._news[0].at if self._left else 0.0
        if not self._news or int(self._news[-1].id) <= behind:
            return Heard([], oldest, behind < self._left)
        first = max(0, behind + 1 - int(self._news[0].id))
        messages = [self._news[index] for index in range(first, min(len(self._news), first + PAGE))]
        return Heard(messages, oldest, behind < self._left)


class MemorySpace:
    """The space of one process, within `capacity` bytes: what was kept longest ago goes first."""

    guards: Sequence[Guard] = ()

    def __init__(self, clock: Clock, capacity: int = 256_000_000) -> None:
        self._clock = clock
        self._capacity = capacity
        self._values: OrderedDict[str, tuple[bytes, float, float]] = OrderedDict()
        self._bytes = 0
        self._leases: dict[str, tuple[str, float]] = {}
        self._channels: defaultdict[str, _Channel] = defaultdict(_Channel)
        self._sweep_at = 10_000

    async def look(self, key: str, holder: str = "", lease_s: float = 0.0, after: float = 0.0) -> Seen:
        return self.look_now(key, holder, lease_s, after)

    def look_now(self, key: str, holder: str = "", lease_s: float = 0.0, after: float = 0.0) -> Seen:
        """`look` without the event loop."""
        now = self._clock.wall()
        known = self._values.get(key)
        if known is not None:
            if now < known[2] and known[1] > after:
                return Seen(known[0], known[1], now, False)
            self._drop(key)
        if not holder:
            return Seen(None, 0.0, now, False)
        lease = self._leases.get(key)
        if lease is not None and lease[0] != holder and now < lease[1]:
            return Seen(None, 0.0, now, False)
        self._leases[key] = (holder, now + lease_s)
        if len(self._leases) > self._sweep_at:
            self._leases = {name: each for name, each in self._leases.items() if now < each[1]}
            self._sweep_at = 2 * len(self._leases) + 10_000
        return Seen(None, 0.0, now, True)

    def keep(self, key: str, holder: str, value: bytes, life_s: float) -> None:
        self.let_go(key, holder)
        if len(value) > MOST_BYTES or life_s <= 0:
            return
        if key in self._values:
            self._drop(key)
        now = self._clock.wall()
        self._values[key] = (value, now, now + life_s)
        self._bytes += len(value) + len(key)
        while self._bytes > self._capacity:
            self._drop(next(iter(self._values)))

    def let_go(self, key: str, holder: str) -> None:
        lease = self._leases.get(key)
        if lease is not None and lease[0] == holder:
            del self._leases[key]

    def renew(self, key: str, holder: str, lease_s: float) -> None:
        lease = self._leases.get(key)
        if lease is None or lease[0] == holder:
            self._leases[key] = (holder, self._clock.wall() + lease_s)

    async def tell(self, data: bytes, channel: str = "news") -> float:
        return self.tell_now(data, channel)

    def tell_now(self, data: bytes, channel: str = "news") -> float:
        """`tell` without the event loop."""
        return self._channels[channel].tell(data, self._clock.wall())

    async def heard(self, after: str = "", channel: str = "news") -> Heard:
        return self.heard_now(after, channel)

    def heard_now(self, after: str = "", channel: str = "news") -> Heard:
        """`heard` without the event loop."""
        return self._channels[channel].heard(after)

    async def aclose(self) -> None:
        self._values.clear()
        self._leases.clear()
        self._bytes = 0

    def _drop(self, key: str) -> None:
        self._bytes -= len(self._values.pop(key)[0]) + len(key)
