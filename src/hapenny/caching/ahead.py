"""Answers ahead in a running gateway: what the books show to be predictable is asked again before its answer expires.

The ledger holds no text, so the requests themselves are kept in memory, and only those of routes that opted in
(`precompute.routes`); they end with the process. After a deploy or a new epoch `renew` asks the most used ones first.
Each answer is a background row of its own, whose cost counts against the day's budget and the layer's return; a layer
that costs more than its hits save is stopped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import Struct

from hapenny.caching.exact import Answers
from hapenny.caching.precompute import Asked, Demand
from hapenny.caching.roi import Returns
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Context, Request
from hapenny.telemetry.rows import Row

DAY = 86_400.0
HOUR = 3_600.0

Repeat: TypeAlias = Callable[[Request, Context, str], Awaitable[int]]
"""Answers a request of a route again, in the cheapest way its model offers; what it cost (nano-dollars)."""


class AheadOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Pre-computation, off unless routes are named."""

    routes: list[str] = []
    """Routes whose requests may be kept in memory and asked again."""
    budget_usd: float = 1.0
    """Dollars a day that answering ahead may cost."""
    every_s: float = 900.0
    """How often what is asked is looked at."""
    off_peak: list[int] = []
    """Hours (UTC, 0-23) in which to answer ahead; empty: any."""
    least: float = 2.0
    """Requests a question must be expected to bring before its answer expires."""
    most: int = 5_000
    """Requests kept at most."""

    def __post_init__(self) -> None:
        if self.budget_usd <= 0 or self.every_s <= 0:
            raise ValueError("budget_usd and every_s: must be above 0")
        if any(not 0 <= hour <= 23 for hour in self.off_peak):
            raise ValueError(f"off_peak: {self.off_peak} has hours outside 0-23")


class AheadStats(Struct, kw_only=True):
    """What was done ahead."""

    known: int = 0
    rounds: int = 0
    answered: int = 0
    failed: int = 0
    spent: int = 0
    """Nano-dollars, in all."""
    stopped: bool = False


class _Known(Struct):
    request: Request
    context: Context
    route: str
    uses: int = 0


class Ahead:
    """Learns from finished requests and answers the predictable ones ahead."""

    def __init__(
        self, options: AheadOptions, answers: Answers, returns: Returns, clock: Clock, repeat: Repeat, *, ttl: float
    ) -> None:
        """`ttl`: seconds an exact answer stays fresh: how far ahead demand is forecast."""
        self._options = options
        self._answers = answers
        self._returns = returns
        self._clock = clock
        self._repeat = repeat
        self._ttl = ttl
        self._demand = Demand(options.most)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._day, self._today = 0, 0
        self._counts = AheadStats()

    def follow(self, before: Ahead) -> None:
        """Goes on with what an earlier one knew (a reload); the first round after it warms a new epoch up."""
        self._demand, self._known = before._demand, before._known
        self._day, self._today, self._counts = before._day, before._today, before._counts

    def observe(self, exchange: Exchange, row: Row) -> None:
        """Reads a finished request of a route that opted in; others leave no trace."""
        known = exchange.memo.get("key")
        if row.background or row.route not in self._options.routes or known is None or not exchange.delivered:
            return
        key: str = known[1].hex()
        kept = self._known.pop(key, None) or _Known(exchange.original, exchange.context, row.route)
        kept.uses += 1
        self._known[key] = kept
        while len(self._known) > self._options.most:
            self._known.popitem(last=False)
        self._demand.add([Asked(key, row.wall, row.baseline or 0)])

    async def run(self) -> None:
        """Rounds without end."""
        while True:
            await self._clock.sleep(self._options.every_s)
            await self.round()

    async def round(self) -> int:
        """Answers what is worth it now; how many."""
        now = self._clock.wall()
        if self._options.off_peak and int(now // HOUR) % 24 not in self._options.off_peak:
            return 0
        self._counts.rounds += 1
        for route in self._options.routes:
            self._returns.stopped("precompute", route)  # a stopped one tries again after some rounds
        planned = self._demand.plan(
            now, horizon=self._ttl, budget=self._left(now), stored=self._stored, discount=1.0,
            least=self._options.least,
        )  # fmt: skip
        return await self._answer([each.fingerprint for each in planned])

    async def renew(self, tenant: str | None = None, most: int = 100) -> int:
        """Answers again what was asked most and is not stored (any more): after a deploy, a new epoch, a purge.

        Args:
            tenant: only this one's; None for all.
        """
        ranked = sorted(self._known.items(), key=lambda item: -item[1].uses)
        keys = [key for key, known in ranked if tenant in (None, known.context.tenant) and not self._stored(key)]
        return await self._answer(keys[:most])

    def stats(self) -> AheadStats:
        """A copy of the counters."""
        stopped = any(self._stopped(route) for route in self._options.routes)
        counts = self._counts
        return AheadStats(
            known=len(self._known), rounds=counts.rounds, answered=counts.answered, failed=counts.failed,
            spent=counts.spent, stopped=stopped,
        )  # fmt: skip

    async def _answer(self, keys: list[str]) -> int:
        done = 0
        for key in keys:
            known = self._known.get(key)
            if known is None or self._stopped(known.route) or self._left(self._clock.wall()) <= 0:
                continue
            cost = await self._repeat(known.request, known.context, known.route)
            self._counts.answered += cost >= 0
            self._counts.failed += cost < 0
            self._counts.spent += max(cost, 0)
            self._today += max(cost, 0)
            done += cost >= 0
        return done

    def _stopped(self, route: str) -> bool:
        return self._returns.layer("precompute", route).stopped

    def _stored(self, key: str) -> bool:
        """Whether an answer is there that lives until the next round."""
        entry = self._answers.peek(bytes.fromhex(key))
        return entry is not None and entry.fresh(self._clock.wall() + self._options.every_s)

    def _left(self, now: float) -> int:
        """What is left of today's budget."""
        if int(now // DAY) != self._day:
            self._day, self._today = int(now // DAY), 0
        return int(self._options.budget_usd * 1e9) - self._today
