"""Answers ahead by providers' batch APIs: at the batch price, where there are enough questions and time.

A job's records are prepared requests (`PrefetchItem`). Their answers land in the exact cache, with a row each; what a
job left over is asked for one by one, if the budget still has it and nobody else's answer came meanwhile. The journal
outlives the process; when a batch is done, what its records said is removed from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from hapenny.batch.engine import BatchEngine
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.options import BatchOptions
from hapenny.batch.records import Record
from hapenny.config import BatchJobs, Config
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Completion
from hapenny.core.exchange import Target
from hapenny.core.guard import Guard
from hapenny.core.log import get_logger
from hapenny.core.messages import Context, Request
from hapenny.gateway.gateway import Gateway
from hapenny.jobs.providers import translated
from hapenny.jobs.translator import Hold, reservation_id
from hapenny.prefetch.contract import PrefetchItem

_log = get_logger("hapenny.prefetch")
FOLDER = "ahead"
"""Under the folder of the batch jobs' journal."""


def wanted_jobs(config: Config) -> BatchJobs | None:
    """The batch jobs by which a deployment answers ahead; None: by none."""
    by_job = bool(config.precompute.routes) and "batch" in config.precompute.ways
    return config.batch if by_job and config.batch is not None and config.batch.apis else None


class PrefetchAnswerer:
    """Records are prepared requests, their model is the target itself; answers land in the cache and put out nothing.

    Who sent a request first was allowed to; each hit is looked at again.
    """

    def target(self, gateway: Gateway, model: str) -> Target | None:
        """The target, if its backend is still configured."""
        target = msgspec.json.decode(model, type=Target)
        return target if target.backend in gateway.backends else None

    def request(self, record: Record) -> Request:
        """The request as it is sent."""
        return _item(record).shaped

    def context(self, record: Record, request: Request) -> Context:
        """Who asked it first."""
        return _item(record).context

    def guarded(self, gateway: Gateway, record: Record, request: Request) -> Request:
        """As it is: it was made of what a guardrail had left of somebody's request."""
        return request

    async def answer(
        self, gateway: Gateway, id: str, record: Record, request: Request, completion: Completion
    ) -> tuple[dict[str, Any], bool]:
        """Stores an answer where it still belongs; the planner is told what came of it."""
        item = _item(record)
        stored, cost = await gateway.parts.prefetcher.land(item, completion, id, reservation_id(record))
        if gateway.planner is not None:
            gateway.planner.ended(item, stored, cost, "batch")
        return {}, True


class PrefetchJobs:
    """The jobs of answering ahead (`prefetch.contract.Jobs`), worked on from `start` to `aclose`.

    Args:
        options: with the folder of the journal, and the APIs.
        config: whose backends they serve.
        clock: the deployment's.
        hold: the gateway of the moment.

    Raises:
        RuntimeError, OSError: the journal cannot be opened, or another process has it.
        ValueError: an API cannot be used here.
    """

    def __init__(self, options: BatchJobs, config: Config, clock: Clock, hold: Hold) -> None:
        self.options = options
        self._clock = clock
        self._hold = hold
        self._journal = Journal(Path(options.journal) / FOLDER)
        try:
            apis = translated(config, options.apis, "openai", PrefetchAnswerer(), hold, clock)
        except ValueError:
            self._journal.close()
            raise
        # In a job, and if need be once more alone.
        how = BatchOptions(attempts=2, margin_s=options.margin_s, poll_s=options.poll_s, stop_s=options.stop_s)
        self._engine = BatchEngine(self._journal, apis, Local(self._alone, clock), clock, how)
        self.least = min((provider.least for provider in apis.values()), default=0)
        self.most = max((provider.most for provider in apis.values()), default=0)
        self._tasks: set[asyncio.Task[None]] = set()
        self.guard = Guard("jobs of answering ahead", clock)

    def start(self) -> None:
        """Goes on with every batch that is not done; what it may still cost is set aside."""
        with self._hold() as gateway:
            gateway.watch_over(self.guard)
        for id, batch in self._engine.batches.items():
            if batch.done:
                continue
            with self._hold() as gateway:
                if gateway.planner is not None:
                    for record in batch.records.values():
                        if record.id not in batch.results:
                            gateway.planner.job_resumed(_item(record))
            self._go(id)

    async def aclose(self) -> None:
        """Stops working; jobs go on at their providers, and are looked at by whoever opens the journal next."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._journal.close()

    def lead_s(self, count: int) -> float:
        """Seconds from now until so many answers are there at the latest."""
        return self._engine.lead_s(count)

    def takes(self, target: Target, count: int) -> bool:
        """Whether some API answers so many requests to that model."""
        model = _model(target)
        return any(
            provider.least <= count and provider.price < 1 and provider.serves(model)
            for provider in self._engine.providers.values()
        )

    def submit(self, items: Sequence[PrefetchItem], deadline: float) -> None:
        """Has them answered by `deadline` (epoch seconds)."""
        records = [Record(each.question, msgspec.to_builtins(each), _model(each.target)) for each in items]
        id = self._engine.submit(records, "", deadline - self._clock.wall())
        _log.info("questions are answered ahead by a job", batch=id, count=len(records))
        self._go(id)

    def _go(self, id: str) -> None:
        task = asyncio.get_running_loop().create_task(self.guard.keep(lambda: self._work(id)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, id: str) -> None:
        batch = self._engine.batches[id]
        while not batch.done:
            try:
                await self._engine.run(id)
            except (OSError, Failure) as error:
                _log.error("answers ahead halt and will go on", batch=id, error=type(error).__name__)
                await self._clock.sleep(max(1.0, self.options.poll_s))
        with self._hold() as gateway:
            if gateway.planner is not None:
                for question in batch.records:
                    gateway.planner.job_over(question)
        self._engine.forget(id)

    async def _alone(self, record: Record) -> dict[str, Any]:
        """A record that no job answered."""
        item = _item(record)
        with self._hold() as gateway:
            planner = gateway.planner
            if planner is None or not planner.wanted(item):
                raise Failure("conflict", "no answer is wanted any more", retryable=False)
            if not await planner.answer_alone(item):
                raise Failure("budget", "no answer came, or none could be paid", retryable=False)
        return {}


def _model(target: Target) -> str:
    return msgspec.json.encode(target).decode()


def _item(record: Record) -> PrefetchItem:
    return msgspec.convert(record.body, PrefetchItem)
