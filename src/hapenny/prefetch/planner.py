"""Answers ahead in a running gateway: what the books show to be predictable is asked again before its answer expires.

The ledger holds no text, so the requests themselves are kept in memory, and only those of routes that opted in
(`precompute.routes`). Demand, spending and the quiet hours outlive a restart. A request is answered in the cheapest way
there is time for: with others in a job of the provider's batch API, else alone at the flex tier, else at the standard
one. After a change of policy or knowledge epoch the most valuable of the answers that went with it are asked for again.

Each answer is a background row of its own, whose cost counts against the day's budget; what jobs under way may still
cost is held. An answer's worth is known when it was asked for the first time, or expired unasked; a layer whose answers
cost more than they saved is stopped.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import structs

from hapenny.caching.exact import Answers
from hapenny.caching.keys import key_of
from hapenny.caching.options import AheadOptions
from hapenny.caching.profit import LayerProfit
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.core.log import get_logger
from hapenny.prefetch.budget import DAY, DayBudget
from hapenny.prefetch.demand import Asked, Demand
from hapenny.prefetch.forecast import Answering, Jobs, PrefetchItem, PrefetchStats, SeenRequest
from hapenny.prefetch.load import DAYS, HOUR, Load
from hapenny.prefetch.memory import Remembered
from hapenny.telemetry.rows import Row

_log = get_logger("hapenny.ahead")
_AT_ONCE = 4
_SOON = 0.5
"""Requests expected until a job is done: more, and an answer that is missing now cannot wait for it."""


class PrefetchPlanner:
    """Learns from finished requests and answers the predictable ones ahead."""

    def __init__(
        self,
        options: AheadOptions,
        answers: Answers,
        returns: LayerProfit,
        clock: Clock,
        answering: Answering,
        question: Callable[[Exchange], str],
        *,
        ttl: float,
    ) -> None:
        """`question`: what an exchange asks, whatever decides the answer; `ttl`: seconds an exact answer stays fresh:
        how far ahead demand is forecast."""
        self._options = options
        self._answers = answers
        self._returns = returns
        self._clock = clock
        self._answering = answering
        self._question = question
        self._ttl = ttl
        self._known = Remembered(options.most)
        self._unused: dict[bytes, tuple[str, int]] = {}
        self._flying: set[str] = set()
        self._counts = PrefetchStats()
        self._ways: Counter[str] = Counter()
        self._changed = False
        self._informed = False
        self._informing = asyncio.Lock()
        self.demand = Demand(options.most)
        self.load = Load()
        self.budget = DayBudget(int(options.budget_usd * 1e9), clock)
        self._jobs: Jobs | None = None
        self._stopped_for_good = False

    def follow(self, before: PrefetchPlanner) -> None:
        """Goes on with what an earlier one knew (a reload): the keys of answers are looked at again."""
        self.demand, self.load = before.demand, before.load
        self.budget.follow(before.budget)
        self._known = before._known
        for known in self._known.all():
            known.key = b""
        self._unused, self._flying = before._unused, before._flying
        self._counts, self._ways, self._informed = before._counts, before._ways, before._informed
        self._changed = True

    def observe(self, exchange: Exchange, row: Row) -> None:
        """Reads a finished request; of routes that did not opt in it is only counted."""
        if row.background:
            return
        self.load.add(row.wall)
        key = key_of(exchange)
        if row.route not in self._options.routes or key is None or not exchange.delivered:
            return
        first = self._unused.pop(key, None) if row.cache_hit else None
        if first is not None:
            saved = sum(max(0, value) for value in row.savings.values())
            self._returns.layer("precompute", row.route).add(hit=True, saved=saved, judging=first[1])
        question = self._question(exchange)
        if self._known.see(question, key, exchange, row):
            self.demand.add([Asked(question, row.wall, row.baseline or 0)])

    def asked(self) -> list[SeenRequest]:
        """The requests that are remembered, those asked last at the end."""
        return self._known.all()

    def remember(self, asked: Sequence[SeenRequest]) -> None:
        """Takes over requests from before a restart: their answers have gone, as after a change of policy."""
        for known in asked:
            if known.route in self._options.routes and known.question not in self._known:
                self._known.take(known)
                self._changed = True

    async def run(self, jobs: Jobs | None = None) -> None:
        """Rounds until `stop`, after a first one where a change took answers away.

        Args:
            jobs: the providers' batch APIs, where there are any; what they may cost is set aside by now.
        """
        self._jobs = jobs
        await self.inform()
        while not self._stopped_for_good:
            try:
                if self._changed:
                    await self.round(urgent=True)
                await self._clock.sleep(self._options.every_s)
                if not self._stopped_for_good:
                    await self.round()
            except Exception as error:  # the next round may do better; nobody's request depends on it
                _log.error("a round of answers ahead failed", error=type(error).__name__)
                await self._clock.sleep(self._options.every_s)

    def stop(self) -> None:
        """Ends the rounds when the one under way is over: a reload's planner goes on."""
        self._stopped_for_good = True

    async def inform(self) -> None:
        """Reads of the ledger when it is busy, and what was spent today; once."""
        async with self._informing:
            if not self._informed:
                now = self._clock.wall()
                hours, spent = await self._answering.past(now - DAYS * DAY, now // DAY * DAY)
                self.load.load(hours)
                self.budget.load(spent)
                self._informed = True

    async def round(self, *, urgent: bool = False) -> int:
        """Asks for what is worth it now; how many answers came or were ordered. `urgent`: in a busy hour, too."""
        now = self._clock.wall()
        self._counts.rounds += 1
        self._sweep(now)
        changed = self._changed
        await self._rekey()
        for route in self._options.routes:
            self._returns.stopped("precompute", route)  # a stopped one tries again after some rounds
        ordered = await self._by_job(now)
        done = 0
        if urgent or self._quiet(now):
            until = self._next_chance(now)
            planned = self._plan(now, lambda question: self._needless(question, now, until))
            done = await self._alone(planned)
            if changed and done:
                self._counts.warmed += done
                _log.info("answers that went with a change are there again", count=done)
        return ordered + done

    async def renew(self, tenant: str | None = None, most: int = 100) -> int:
        """Answers again what was asked most and is not stored (any more): after a deploy, a new epoch, a purge.

        Args:
            tenant: only this one's; None for all.
        """
        await self.inform()
        await self._rekey()
        now = self._clock.wall()
        ranked = sorted(self._known.all(), key=lambda known: -known.uses)
        wanted = [
            known.question for known in ranked
            if tenant in (None, known.context.tenant) and self._expires(known.question) <= now + self._options.every_s
        ]  # fmt: skip
        return await self._alone(wanted[:most])

    async def alone(self, foreseen: PrefetchItem) -> bool:
        """Asks for one answer now, in the cheapest way the budget allows; also what a job left over."""
        for tier in ("flex", "standard"):
            bound = self._answering.bound(foreseen, tier) if tier in self._options.ways else None
            if bound is not None:
                break
        else:
            return False
        if self._stopped(foreseen.route) or not self.budget.hold(foreseen.question, bound):
            self._counts.refused += 1
            self.budget.settle(foreseen.question, 0)
            return False
        done, cost = False, 0
        try:
            done, cost = await self._answering.send(foreseen, tier)
        finally:
            self.ended(foreseen, done, cost, tier)
        return done

    # -- what jobs tell ------------------------------------------------------------------------------------------

    def resumed(self, foreseen: PrefetchItem) -> None:
        """A job that an earlier process began is still answering this."""
        self._flying.add(foreseen.question)
        self.budget.resume(foreseen.question, foreseen.bound)

    def ended(self, foreseen: PrefetchItem, done: bool, cost: int, way: str) -> None:
        """An answer is stored (`done`), or nothing came; what it cost."""
        self.budget.settle(foreseen.question, cost)
        self._counts.answered += done
        self._counts.failed += not done
        self._counts.spent += cost
        self._ways[way] += done
        layer = self._returns.layer("precompute", foreseen.route)
        if done:
            before = self._unused.pop(foreseen.key, None)
            if before is not None:  # nobody asked while that one was there
                layer.add(hit=False, judging=before[1])
            self._unused[foreseen.key] = (foreseen.route, cost)
        elif cost:
            layer.add(hit=False, judging=cost)

    def over(self, question: str) -> None:
        """No job has to do with it any more."""
        self._flying.discard(question)
        self.budget.settle(question, 0)

    def missing(self, foreseen: PrefetchItem) -> bool:
        """Whether its answer is still wanted: nobody else's came meanwhile that lasts."""
        entry = self._answers.peek(foreseen.key)
        return entry is None or not entry.fresh(self._clock.wall() + self._ttl / 2)

    # -- what is asked about it ----------------------------------------------------------------------------------

    def stats(self) -> PrefetchStats:
        """A copy of the counters."""
        hours = self._hours()
        return structs.replace(
            self._counts,
            known=len(self._known), under_way=len(self._flying), unused=len(self._unused), by_way=dict(self._ways),
            today=self.budget.spent, held=self.budget.held, budget=self.budget.limit,
            quiet_hours=sorted(hours) if hours is not None else None,
            stopped=any(self._stopped(route) for route in self._options.routes),
        )  # fmt: skip

    # -- how a round goes ----------------------------------------------------------------------------------------

    def _plan(
        self, now: float, needless: Callable[[str], bool], *, delay: float = 0.0, discount: float = 0.5
    ) -> list[str]:
        options = self._options
        if delay == 0.0 and "flex" not in options.ways:
            discount = 1.0
        planned = self.demand.plan(
            now, horizon=self._ttl, budget=self.budget.left, stored=needless, discount=discount, least=options.least,
            delay=delay, expires=self._expires, wait_worth=options.wait_worth,
        )  # fmt: skip
        return [each.fingerprint for each in planned]

    async def _alone(self, questions: Sequence[str]) -> int:
        waiting = list(reversed(questions))
        done = 0

        async def work() -> None:
            nonlocal done
            while waiting:
                known = self._known.get(waiting.pop())
                if known is None or known.question in self._flying:
                    continue
                self._flying.add(known.question)
                try:
                    foreseen = await self._foresee(known)
                    answered = foreseen is not None and await self.alone(foreseen)
                    done += answered
                finally:
                    self._flying.discard(known.question)

        await asyncio.gather(*(work() for _ in range(min(_AT_ONCE, len(waiting)))))
        return done

    async def _by_job(self, now: float) -> int:
        """Orders what can wait for a job, where enough of it goes to one model."""
        jobs = self._jobs
        if jobs is None or "batch" not in self._options.ways:
            return 0
        lead = jobs.lead_s(jobs.least)
        planned = self._plan(now, lambda question: not self._can_wait(question, now), delay=lead)
        if len(planned) < jobs.least:
            return 0
        groups: dict[str, list[PrefetchItem]] = {}
        for question in planned[: jobs.most]:
            known = self._known.get(question)
            foreseen = await self._foresee(known) if known is not None else None
            if foreseen is not None:
                groups.setdefault(repr(foreseen.target), []).append(foreseen)
        ordered = 0
        for group in groups.values():
            target, records = group[0].target, []
            for foreseen in group if jobs.takes(target, len(group)) else ():
                bound = self._answering.bound(foreseen, "batch")
                if bound is None or not self.budget.hold(foreseen.question, bound):
                    self._counts.refused += 1
                    continue
                foreseen.bound = bound
                records.append(foreseen)
            if records and jobs.takes(target, len(records)):
                self._flying.update(foreseen.question for foreseen in records)
                wanted = min(self._expires(foreseen.question) for foreseen in records)
                jobs.submit(records, max(wanted, self._clock.wall() + jobs.lead_s(len(records))))
                ordered += len(records)
            else:
                for foreseen in records:
                    self.budget.settle(foreseen.question, 0)
        return ordered

    async def _foresee(self, known: SeenRequest) -> PrefetchItem | None:
        if self._stopped(known.route) or self.budget.left <= 0:
            self._counts.refused += 1
            return None
        foreseen, cost = await self._answering.foresee(known)
        if cost:
            self.budget.settle("", cost)
            self._counts.spent += cost
            self._returns.layer("precompute", known.route).add(hit=False, judging=cost)
        return foreseen

    def _needless(self, question: str, now: float, until: float) -> bool:
        """Whether a question need not be asked alone now: its answer serves until the next chance, or a job can."""
        if question not in self._known or question in self._flying or self._expires(question) > until:
            return True
        return self._jobs is not None and "batch" in self._options.ways and self._can_wait(question, now)

    def _can_wait(self, question: str, now: float) -> bool:
        """Whether a job's answer would come in time, and not too long before the present one expires."""
        if self._jobs is None or question not in self._known or question in self._flying:
            return False
        lead = self._jobs.lead_s(self._jobs.least)
        expires = self._expires(question)
        if expires > now:
            window = max(self._ttl / 2, 2 * self._options.every_s)
            return now + lead <= expires <= now + lead + window
        return self.demand.expected(question, now, now + lead, now) < _SOON

    def _expires(self, question: str) -> float:
        known = self._known.get(question)
        entry = self._answers.peek(known.key) if known is not None and known.key else None
        return entry.expires if entry is not None else 0.0

    async def _rekey(self) -> None:
        """Finds the keys that answers have now, where the policy may have changed."""
        self._changed = False
        for known in self._known.all():
            if not known.key:
                known.key = await self._answering.key(known)
                if not known.key:
                    self._known.forget(known.question)
                await self._clock.sleep(0)

    def _sweep(self, now: float) -> None:
        """Books answers that went unasked."""
        for key, (route, cost) in list(self._unused.items()):
            entry = self._answers.peek(key)
            if entry is None or not entry.fresh(now):
                del self._unused[key]
                self._returns.layer("precompute", route).add(hit=False, judging=cost)

    def _hours(self) -> frozenset[int] | None:
        said = self._options.off_peak
        return self.load.quiet_hours(self._clock.wall()) if said is None else frozenset(said) or None

    def _quiet(self, at: float) -> bool:
        """Whether answers are asked for one by one: in quiet hours, and where those are learnt also when an answer of
        the last one would not have lasted until now."""
        hours = self._hours()
        if hours is None or int(at // HOUR) % 24 in hours:
            return True
        ended = at // HOUR * HOUR
        while int(ended // HOUR - 1) % 24 not in hours:
            ended -= HOUR
        return self._options.off_peak is None and at - ended > self._ttl

    def _next_chance(self, now: float) -> float:
        """When answers are asked for one by one again."""
        after = now + self._options.every_s
        while not self._quiet(after):
            after = (after // HOUR + 1) * HOUR
        return after

    def _stopped(self, route: str) -> bool:
        return self._returns.layer("precompute", route).stopped
