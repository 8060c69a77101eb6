"""Answers ahead by providers' batch APIs: at the batch price, where there are enough questions and time.

A job's records are foreseen requests. Their answers land in the exact cache, with a row each; what a job left over is
asked for one by one, if the budget still has it and nobody else's answer came meanwhile. The journal outlives the
process; when a batch is done, what its records said is removed from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from hapenny.admission.keys import OPEN
from hapenny.batch.engine import BatchEngine, BatchOptions
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.records import Record
from hapenny.config import BatchJobs, Config
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.core.log import get_logger
from hapenny.core.messages import Context, Request
from hapenny.gateway.gateway import Gateway
from hapenny.jobs.service import Deferred, Hold, providers
from hapenny.prefetch.forecast import PrefetchItem
from hapenny.prefetch.planner import PrefetchPlanner
from hapenny.protocols.registry import codec

_log = get_logger("hapenny.ahead")
FOLDER = "ahead"
"""Under the folder of the batch jobs' journal."""


def wanted_jobs(config: Config) -> BatchJobs | None:
    """The batch jobs by which a deployment answers ahead; None: by none."""
    by_job = bool(config.precompute.routes) and "batch" in config.precompute.ways
    return config.batch if by_job and config.batch is not None and config.batch.apis else None


class _Foreseen(Deferred):
    """Records that are foreseen requests; their answers land in the cache."""

    def _target(self, gateway: Gateway, model: str) -> Target | None:
        target = msgspec.json.decode(model, type=Target)
        return target if target.backend in gateway.backends else None

    def _request(self, model: str, record: Record) -> Request:
        return _read(record).shaped

    async def _answer(
        self, gateway: Gateway, id: str, record: Record, output: dict[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        foreseen = _read(record)
        completion = self._completion(gateway, foreseen.target, id, output, foreseen.shaped)
        stored, cost = await gateway.parts.prefetcher.land(foreseen, completion, id)
        if gateway.planner is not None:
            gateway.planner.ended(foreseen, stored, cost, "batch")
        return {}, True


class PrefetchJobs:
    """The jobs of answering ahead (`caching.foreseen.Jobs`), worked on from `start` to `aclose`.

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
            found = providers(config, options.apis, codec("openai"), hold, clock, _nobody, _Foreseen)
        except ValueError:
            self._journal.close()
            raise
        # In a job, and if need be once more alone.
        how = BatchOptions(attempts=2, margin_s=options.margin_s, poll_s=options.poll_s, stop_s=options.stop_s)
        self._engine = BatchEngine(self._journal, found, Local(self._alone, clock), clock, how)
        self.least = min((provider.least for provider in found.values()), default=0)
        self.most = max((provider.most for provider in found.values()), default=0)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Goes on with every batch that is not done."""
        for id, batch in self._engine.batches.items():
            if not batch.done:
                with self._hold() as gateway:
                    ahead = gateway.planner
                    for record in batch.records.values() if ahead is not None else ():
                        if record.id not in batch.results and ahead is not None:
                            ahead.resumed(_read(record))
                self._go(id)

    async def aclose(self) -> None:
        """Stops working; jobs go on at their providers, and are looked at by whoever opens the journal next."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._journal.close()

    def lead_s(self, count: int) -> float:
        """As in `Jobs`."""
        return self._engine.lead_s(count)

    def takes(self, target: Target, count: int) -> bool:
        """As in `Jobs`."""
        model = _model(target)
        return any(
            provider.least <= count and provider.price < 1 and provider.serves(model)
            for provider in self._engine.providers.values()
        )

    def submit(self, records: Sequence[PrefetchItem], deadline: float) -> None:
        """As in `Jobs`."""
        written = [Record(each.question, msgspec.to_builtins(each), _model(each.target)) for each in records]
        id = self._engine.submit(written, "", deadline - self._clock.wall())
        _log.info("questions are answered ahead by a job", batch=id, count=len(written))
        self._go(id)

    def _go(self, id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._work(id))
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
            for question in batch.records if gateway.planner is not None else ():
                assert gateway.planner is not None
                gateway.planner.over(question)
        self._engine.forget(id)

    async def _alone(self, model: str, record: Record) -> dict[str, Any]:
        """A record that no job answered."""
        foreseen = _read(record)
        with self._hold() as gateway:
            ahead: PrefetchPlanner | None = gateway.planner
            if ahead is None or not ahead.missing(foreseen):
                raise Failure("conflict", "no answer is wanted any more", retryable=False)
            if not await ahead.alone(foreseen):
                raise Failure("budget", "no answer came, or none could be paid", retryable=False)
        return {}


def _model(target: Target) -> str:
    return msgspec.json.encode(target).decode()


def _read(record: Record) -> PrefetchItem:
    return msgspec.convert(record.body, PrefetchItem)


def _nobody(request: Request) -> tuple[Context, Any]:
    """Foreseen requests were allowed to whoever sent them first; each hit is looked at again."""
    return Context(priority=-1), OPEN
