"""The exact layer's answers as several gateways share them, and who of them makes the one that is missing.

Each gateway keeps copies of what it served (its own exact layer, looked up first, without a word to anybody). What it
has not it looks for in the shared space, in one round trip that also settles who asks the model: the holder of the
key's lease. The others wait for its answer. A holder renews its leases every second; those of one that died end after
`LEASE_S`, and somebody else goes on. Nobody waits longer than `WAIT_S` or half of what is left to begin in: then it
asks the model itself.

An answer carries a keyed digest over itself and its key: whoever can write into the store without the deployment's
secret can withhold answers and not invent them. Withdrawals (`caching.withdrawals`) are told to all as news, which
every gateway reads each `NEWS_S`. One that has not heard for `UNHEARD_S` forgets its copies, since it cannot know what
was withdrawn meanwhile; an answer whose withdrawal it heard is never taken from the store again.

Without the store every gateway goes on alone: it fails open.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import msgspec

from hapenny.caching.answer_codec import decoded, encoded
from hapenny.caching.store import Entry, Selector
from hapenny.caching.stored import Answers, Stored
from hapenny.caching.withdrawals import Withdrawal, Withdrawals
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.core.log import get_logger
from hapenny.stores.space import Message, Space

LEASE_S = 3.0
RENEW_S = 1.0
WAIT_S = 20.0
NEWS_S = 0.2
UNHEARD_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.015, 0.1
_DIGEST = 16

_log = get_logger("hapenny.caching")


class Obtained(msgspec.Struct, frozen=True):
    """What the shared space had: an entry, or the lease on making it (`holds`), or neither."""

    entry: Entry[Stored] | None = None
    holds: bool = False


class SharedAnswers:
    """See the module.

    Args:
        space: where they are.
        answers: this gateway's own exact layer.
        secret: the deployment's; the same for all that share.
        clock: the deployment's clock.
    """

    def __init__(self, space: Space, answers: Answers, secret: bytes, clock: Clock) -> None:
        self.space = space
        self._answers = answers
        self._secret = hashlib.blake2b(b"shared answers", key=secret[:64], digest_size=32).digest()
        self._clock = clock
        self._holder = clock.new_id()
        self._held: dict[str, int] = {}
        self._news = ""
        self._heard_at = clock.now()
        self._caught_up = False
        self._renewing: asyncio.Task[None] | None = None
        self.withdrawals = Withdrawals()
        self.on_withdrawn: Callable[[Withdrawal], None] = lambda withdrawal: None
        """Is told of withdrawals of others, for what else of them is kept here."""
        self.beside: list[Callable[[], Awaitable[None]]] = []
        """Closes what else gateways share."""
        self.hits = self.misses = self.waits = self.alone = self.refused = 0

    # -- looking ---------------------------------------------------------------------------------------------------

    async def obtain(self, key: bytes, exchange: Exchange) -> Obtained:
        """The answer, or the lease on making it; neither where the store is lost, or the wait was too long."""
        name = key.hex()
        if not self._caught_up:
            return Obtained()  # what was withdrawn is not known yet
        now = self._clock.now()
        until = now + min(WAIT_S, (exchange.limits.begin_by - now) / 2)
        pause, waited, after = _FIRST_PAUSE_S, False, 0.0
        while True:
            try:
                seen = await self.space.look(name, self._holder, LEASE_S, after)
            except ConnectionError:
                self.alone += 1
                return Obtained()
            if seen.value is not None:
                entry = self._taken(key, seen.value, seen.kept, seen.now)
                if entry is not None:
                    self.hits += 1
                    return Obtained(entry=entry)
                after = seen.kept  # it may not be served: whoever comes first makes another
                continue
            if seen.mine:
                self.misses += 1
                self.hold(name)
                return Obtained(holds=True)
            if not waited:
                waited, self.waits = True, self.waits + 1
            if self._clock.now() + pause > until:
                self.alone += 1
                return Obtained()
            await self._clock.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 1.5)

    def _taken(self, key: bytes, value: bytes, kept: float, now: float) -> Entry[Stored] | None:
        """The entry of a value, put among this gateway's own; None for one that is not ours, or was withdrawn."""
        digest, data = value[:_DIGEST], value[_DIGEST:]
        if digest != self._digest(key, data):
            self.refused += 1
            return None
        read = decoded(data)
        if read is None:
            return None
        it, stored = read
        wall = self._clock.wall() - max(0.0, now - kept)
        entry = it.entry(key, stored, wall)
        if not entry.fresh(self._clock.wall()) or self.withdrawals.mean(entry, kept):
            return None
        put = self._answers.put(key, stored, it.size, it.ttl, it.tags, tenant=it.tenant, stale=it.stale, at=wall)
        return entry if put is None else put

    # -- making ----------------------------------------------------------------------------------------------------

    def hold(self, name: str) -> None:
        """Renews a lease from now on."""
        self._held[name] = self._held.get(name, 0) + 1
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.get_running_loop().create_task(self._renew())

    def keep(self, key: bytes, stored: Stored, size: int, ttl: float, stale: float, tags: tuple[str, ...]) -> None:
        """Shares an answer that this gateway has made. Never waits."""
        name = key.hex()
        data = encoded(stored, size, ttl, stale, tags)
        if data is None:
            self.let_go(key)
            return
        self._drop(name)
        self.space.keep(name, self._holder, self._digest(key, data) + data, ttl)

    def let_go(self, key: bytes) -> None:
        """There will be no answer to share: somebody else may try."""
        name = key.hex()
        self._drop(name)
        self.space.let_go(name, self._holder)

    def _drop(self, name: str) -> None:
        count = self._held.get(name, 0) - 1
        if count > 0:
            self._held[name] = count
        else:
            self._held.pop(name, None)

    async def _renew(self) -> None:
        while self._held:
            await self._clock.sleep(RENEW_S)
            for name in list(self._held):
                self.space.renew(name, self._holder, LEASE_S)

    # -- news ------------------------------------------------------------------------------------------------------

    async def withdraw(self, withdrawal: Withdrawal) -> None:
        """Tells everybody. Raises `ConnectionError`: then nobody was told."""
        self.withdrawals.add(withdrawal, await self.space.tell(self._sealed(withdrawal)))

    async def follow(self) -> None:
        """Reads the news as long as it is not cancelled."""
        while True:
            try:
                await self.catch_up()
            except ConnectionError:
                if self._clock.now() - self._heard_at > UNHEARD_S and len(self._answers):
                    _log.warning("nothing was heard of the other gateways: local copies of answers are forgotten")
                    self._answers.purge(Selector())
            await self._clock.sleep(NEWS_S)

    async def catch_up(self) -> None:
        """Reads what is new. Raises `ConnectionError`."""
        while True:
            heard = await self.space.heard(self._news)
            if heard.missed:
                # What left before it was read may have meant any answer of before.
                self.withdrawals.floor = max(self.withdrawals.floor, heard.oldest)
                self._answers.purge(Selector())
            for message in heard.messages:
                self._take(message)
                self._news = message.id
            if len(heard.messages) == 0:
                break
        self._heard_at, self._caught_up = self._clock.now(), True

    def _take(self, message: Message) -> None:
        data = self.unseal(b"news", message.data)
        if data is None:
            return
        try:
            withdrawal = msgspec.msgpack.decode(data, type=Withdrawal)
        except msgspec.MsgspecError:  # of a newer gateway: it may have meant anything
            self.withdrawals.floor = max(self.withdrawals.floor, message.at)
            self._answers.purge(Selector())
            return
        self.withdrawals.add(withdrawal, message.at)
        self.on_withdrawn(withdrawal)

    def stats(self) -> dict[str, int]:
        """How often another gateway's answer was there, was not, was waited for; how often a request went on alone,
        because the store was lost or the wait too long; and what was refused because it is not ours."""
        return {
            "hits": self.hits, "misses": self.misses, "waits": self.waits, "alone": self.alone,
            "refused": self.refused, "leases": len(self._held),
        }  # fmt: skip

    async def aclose(self) -> None:
        """Lets go of the space."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        for close in self.beside:
            await close()
        await self.space.aclose()

    def _sealed(self, withdrawal: Withdrawal) -> bytes:
        return self.seal(b"news", msgspec.msgpack.encode(withdrawal))

    def seal(self, kind: bytes, data: bytes) -> bytes:
        """A message with the digest that says it is the deployment's."""
        return self._digest(kind, data) + data

    def unseal(self, kind: bytes, message: bytes) -> bytes | None:
        """What a message says; None: it is not the deployment's."""
        data = message[_DIGEST:]
        if message[:_DIGEST] == self._digest(kind, data):
            return data
        self.refused += 1
        return None

    def _digest(self, key: bytes, data: bytes) -> bytes:
        return hashlib.blake2b(len(key).to_bytes(2, "big") + key + data, key=self._secret, digest_size=_DIGEST).digest()
