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
from collections.abc import Callable, Collection, Sequence

from msgspec import structs

from hapenny.caching.keys import key_of
from hapenny.caching.profit import Layer, LayerProfit
from hapenny.caching.stored import Answers
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Target
from hapenny.core.log import get_logger
from hapenny.prefetch.budget import DAY
from hapenny.prefetch.contract import Answering, Jobs, PrefetchItem, PrefetchStats, SeenRequest
from hapenny.prefetch.forecast import DAYS, Asked, OffPeak
from hapenny.prefetch.memory import PrefetchMemory
from hapenny.prefetch.options import PrefetchOptions
from hapenny.telemetry.rows import Row

_log = get_logger("hapenny.prefetch")
LAYER = "precompute"
"""The layer's word in books and reports."""
_AT_ONCE = 4
_SOON = 0.5
"""Requests expected until a job is done: more, and an answer that is missing now cannot wait for it."""


class PrefetchPlanner:
    """Learns from finished requests and answers the predictable ones ahead.

    Args:
        options: what an operator set.
        memory: what is known so far; a reload's planner goes on with it.
        answers: the exact layer's store, in which answers land.
        profit: what the layers earn.
        clock: the deployment's clock.
        answering: prepares, prices and sends requests.
        ttl: seconds an exact answer stays fresh: how far ahead demand is forecast.
    """

    def __init__(
        self,
        options: PrefetchOptions,
        memory: PrefetchMemory,
        answers: Answers,
        profit: LayerProfit,
        clock: Clock,
        answering: Answering,
        *,
        ttl: float,
    ) -> None:
        self._options = options
        self._memory = memory
        self._answers = answers
        self._profit = profit
        self._clock = clock
        self._answering = answering
        self._ttl = ttl
        self._off_peak = OffPeak(memory.load, options.off_peak, ttl)
        self._jobs: Jobs | None = None
        self._ended = False
        memory.serve(options)

    def observe(self, exchange: Exchange, row: Row) -> None:
        """Reads a finished request; of routes that did not opt in it is only counted."""
        memory = self._memory
        if row.background or self._ended:
            return
        memory.load.add(row.wall)
        key = key_of(exchange)
        if row.route not in self._options.routes or key is None or not exchange.delivered:
            return
        first = memory.unused.pop(key, None) if row.cache_hit else None
        if first is not None:
            saved = sum(max(0, value) for value in row.savings.values())
            self._layer(row.route).add(hit=True, saved=saved, judging=first[1])
        question = self._answering.question(exchange)
        if memory.requests.see(question, key, exchange, row):
            memory.demand.add([Asked(question, row.wall, row.baseline or 0)])

    def asked(self) -> list[SeenRequest]:
        """The requests that are remembered, those asked last at the end."""
        return self._memory.requests.all()

    def remember(self, asked: Sequence[SeenRequest]) -> None:
        """Takes over requests from before a restart: their answers have gone, as after a change of policy."""
        memory = self._memory
        for seen in asked:
            if seen.route in self._options.routes and seen.question not in memory.requests:
                memory.requests.take(seen)
                memory.outdated = True

    async def run(self, jobs: Jobs | None = None) -> None:
        """Rounds until `stop`, after a first one where a change took answers away.

        Args:
            jobs: the providers' batch APIs, where there are any; what jobs under way may cost is set aside by now.
        """
        self._jobs = jobs
        await self.inform()
        while not self._ended:
            try:
                if self._memory.outdated:
                    await self.round(urgent=True)
                await self._clock.sleep(self._options.every_s)
                if not self._ended:
                    await self.round()
            except Exception as error:  # the next round may do better; nobody's request depends on it
                _log.error("a round of answers ahead failed", error=type(error).__name__)
                await self._clock.sleep(self._options.every_s)

    def stop(self) -> None:
        """Ends the rounds when the one under way is over: a reload's planner goes on."""
        self._ended = True

    async def inform(self) -> None:
        """Reads of the ledger when it is busy, and what was spent today; once."""
        memory = self._memory
        async with memory.informing:
            if not memory.informed:
                now = self._clock.wall()
                hours, spent = await self._answering.past(now - DAYS * DAY, now // DAY * DAY)
                memory.load.load(hours)
                memory.budget.load(spent)
                memory.informed = True

    async def round(self, *, urgent: bool = False) -> int:
        """Asks for what is worth it now; how many answers came or were ordered. `urgent`: in a busy hour, too."""
        memory, now = self._memory, self._clock.wall()
        memory.counts.rounds += 1
        self._sweep(now)
        changed = memory.outdated
        await self._rekey()
        for route in self._options.routes:
            self._profit.stopped(LAYER, route)  # a stopped one tries again after some rounds
        ordered, left = await self._by_job(now)
        done = 0
        if urgent or self._off_peak.contains(now, now):
            until = self._off_peak.after(now + self._options.every_s, now)
            planned = self._plan(now, lambda question: self._needless(question, now, until, left))
            done = await self._one_by_one(planned)
            if changed and done:
                memory.counts.warmed += done
                _log.info("answers that went with a change are there again", count=done)
        return ordered + done

    async def renew(self, tenant: str | None = None, most: int = 100) -> int:
        """Answers again what was asked most and is not stored (any more): after a deploy, a new epoch, a purge.

        Args:
            tenant: only this one's; None for all.
        """
        await self.inform()
        await self._rekey()
        soon = self._clock.wall() + self._options.every_s
        ranked = sorted(self.asked(), key=lambda seen: -seen.uses)
        wanted = [
            seen.question
            for seen in ranked
            if tenant in (None, seen.context.tenant) and self._expires(seen.question) <= soon
        ]
        return await self._one_by_one(wanted[:most])

    async def answer_alone(self, item: PrefetchItem) -> bool:
        """Asks for one answer now, in the cheapest way the budget allows; also what a job left over."""
        budget = self._memory.budget
        for tier in ("flex", "standard"):
            bound = self._answering.bound(item, tier) if tier in self._options.ways else None
            if bound is not None:
                break
        else:
            return False
        if self._layer(item.route).stopped or not budget.hold(item.question, bound):
            self._memory.counts.refused += 1
            budget.settle(item.question, 0)
            return False
        done, cost = False, 0
        try:
            done, cost = await self._answering.send(item, tier)
        finally:
            self.ended(item, done, cost, tier)
        return done

    # -- what jobs tell ------------------------------------------------------------------------------------------

    def job_resumed(self, item: PrefetchItem) -> None:
        """A job that an earlier process began is still answering this."""
        self._memory.under_way.add(item.question)
        self._memory.budget.resume(item.question, item.bound)

    def ended(self, item: PrefetchItem, done: bool, cost: int, way: str) -> None:
        """An answer is stored (`done`), or nothing came; what it cost."""
        memory = self._memory
        memory.budget.settle(item.question, cost)
        memory.counts.answered += done
        memory.counts.failed += not done
        memory.counts.spent += cost
        memory.ways[way] += done
        layer = self._layer(item.route)
        if done:
            before = memory.unused.pop(item.key, None)
            if before is not None:  # nobody asked while that one was there
                layer.add(hit=False, judging=before[1])
            memory.unused[item.key] = (item.route, cost)
        elif cost:
            layer.add(hit=False, judging=cost)

    def job_over(self, question: str) -> None:
        """No job has to do with a question any more."""
        self._memory.under_way.discard(question)
        self._memory.budget.settle(question, 0)

    def wanted(self, item: PrefetchItem) -> bool:
        """Whether an answer is still wanted: nobody else's came meanwhile that lasts."""
        entry = self._answers.peek(item.key)
        return entry is None or not entry.fresh(self._clock.wall() + self._ttl / 2)

    # -- what is asked about it ----------------------------------------------------------------------------------

    def stats(self) -> PrefetchStats:
        """A copy of the counters."""
        memory = self._memory
        hours = self._off_peak.hours(self._clock.wall())
        return structs.replace(
            memory.counts,
            known=len(memory.requests),
            under_way=len(memory.under_way),
            unused=len(memory.unused),
            by_way=dict(memory.ways),
            today=memory.budget.spent,
            held=memory.budget.held,
            budget=memory.budget.limit,
            quiet_hours=sorted(hours) if hours is not None else None,
            stopped=any(self._layer(route).stopped for route in self._options.routes),
        )

    # -- how a round goes ----------------------------------------------------------------------------------------

    def _plan(
        self, now: float, needless: Callable[[str], bool], *, delay: float = 0.0, discount: float = 0.5
    ) -> list[str]:
        options = self._options
        if delay == 0.0 and "flex" not in options.ways:
            discount = 1.0
        planned = self._memory.demand.plan(
            now,
            horizon=self._ttl,
            budget=self._memory.budget.left,
            stored=needless,
            discount=discount,
            least=options.least,
            delay=delay,
            expires=self._expires,
            wait_worth=options.wait_worth,
        )
        return [each.fingerprint for each in planned]

    async def _one_by_one(self, questions: Sequence[str]) -> int:
        waiting = list(reversed(questions))
        under_way = self._memory.under_way
        done = 0

        async def work() -> None:
            nonlocal done
            while waiting:
                seen = self._memory.requests.get(waiting.pop())
                if seen is None or seen.question in under_way:
                    continue
                under_way.add(seen.question)
                try:
                    item = await self._prepare(seen)
                    answered = item is not None and await self.answer_alone(item)
                    done += answered
                finally:
                    under_way.discard(seen.question)

        await asyncio.gather(*(work() for _ in range(min(_AT_ONCE, len(waiting)))))
        return done

    async def _by_job(self, now: float) -> tuple[int, set[str]]:
        """Orders what can wait for a job, where enough of it goes to one model; how many, and which questions could
        have waited but were too few."""
        jobs = self._jobs
        if jobs is None or "batch" not in self._options.ways:
            return 0, set()
        planned = self._plan(
            now, lambda question: not self._can_wait(jobs, question, now), delay=jobs.lead_s(jobs.least)
        )
        if len(planned) < jobs.least:
            return 0, set(planned)
        groups: dict[Target, list[PrefetchItem]] = {}
        for question in planned[: jobs.most]:
            seen = self._memory.requests.get(question)
            item = await self._prepare(seen) if seen is not None else None
            if item is not None:
                groups.setdefault(item.target, []).append(item)
        ordered, left = 0, set[str]()
        for target, group in groups.items():
            taken = self._order(jobs, target, group)
            ordered += taken
            if not taken:
                left.update(item.question for item in group)
        return ordered, left

    def _order(self, jobs: Jobs, target: Target, group: Sequence[PrefetchItem]) -> int:
        """Hands in what of a group the budget has; how many, 0 where too few are left for a job."""
        if not jobs.takes(target, len(group)):
            return 0
        memory, items = self._memory, []
        for item in group:
            bound = self._answering.bound(item, "batch")
            if bound is None or not memory.budget.hold(item.question, bound):
                memory.counts.refused += 1
                continue
            item.bound = bound
            items.append(item)
        if not items or not jobs.takes(target, len(items)):
            for item in items:
                memory.budget.settle(item.question, 0)
            return 0
        memory.under_way.update(item.question for item in items)
        wanted = min(self._expires(item.question) for item in items)
        jobs.submit(items, max(wanted, self._clock.wall() + jobs.lead_s(len(items))))
        return len(items)

    async def _prepare(self, seen: SeenRequest) -> PrefetchItem | None:
        memory, layer = self._memory, self._layer(seen.route)
        if layer.stopped or memory.budget.left <= 0:
            memory.counts.refused += 1
            return None
        item, cost = await self._answering.prepare(seen)
        if cost:
            memory.budget.settle("", cost)
            memory.counts.spent += cost
            layer.add(hit=False, judging=cost)
        return item

    def _needless(self, question: str, now: float, until: float, left: Collection[str]) -> bool:
        """Whether a question need not be asked alone now: its answer serves until the next chance, or a job's will.
        `left`: those that are too few for a job."""
        memory, jobs = self._memory, self._jobs
        if question not in memory.requests or question in memory.under_way or self._expires(question) > until:
            return True
        if jobs is None or "batch" not in self._options.ways or question in left:
            return False
        return self._can_wait(jobs, question, now)

    def _can_wait(self, jobs: Jobs, question: str, now: float) -> bool:
        """Whether a job's answer would come in time, and not too long before the present one expires."""
        memory = self._memory
        if question not in memory.requests or question in memory.under_way:
            return False
        lead = jobs.lead_s(jobs.least)
        expires = self._expires(question)
        if expires > now:
            window = max(self._ttl / 2, 2 * self._options.every_s)
            return now + lead <= expires <= now + lead + window
        return memory.demand.expected(question, now, now + lead, now) < _SOON

    def _expires(self, question: str) -> float:
        seen = self._memory.requests.get(question)
        entry = self._answers.peek(seen.key) if seen is not None and seen.key else None
        return entry.expires if entry is not None else 0.0

    async def _rekey(self) -> None:
        """Finds the keys that answers have now, where the policy may have changed."""
        memory = self._memory
        memory.outdated = False
        for seen in memory.requests.all():
            if not seen.key:
                seen.key = await self._answering.key(seen)
                if not seen.key:
                    memory.requests.forget(seen.question)
                await self._clock.sleep(0)

    def _sweep(self, now: float) -> None:
        """Books answers that went unasked."""
        unused = self._memory.unused
        for key, (route, cost) in list(unused.items()):
            entry = self._answers.peek(key)
            if entry is None or not entry.fresh(now):
                del unused[key]
                self._layer(route).add(hit=False, judging=cost)

    def _layer(self, route: str) -> Layer:
        return self._profit.layer(LAYER, route)
