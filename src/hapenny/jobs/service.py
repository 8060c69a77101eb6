"""Batch jobs of a deployment: requests that can wait, answered through the gateway.

Each record is a request of its own, with a row and a baseline of its own, at background priority and under the identity
of whoever handed the batch in. Providers' batch APIs answer what can wait at half the price, the gateway the rest. The
journal outlives the process: what was answered is kept, the rest goes on at the next start.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from hapenny.admission.keys import Identity
from hapenny.batch.api import BatchApi
from hapenny.batch.engine import BatchEngine
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.message_batches import MessageBatches, told
from hapenny.batch.records import Record
from hapenny.batch.uploads import UploadQuota
from hapenny.config import BatchJobs, ConfigError
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.core.guard import Guard
from hapenny.core.log import get_logger
from hapenny.core.messages import Context, Request
from hapenny.gateway.gateway import Gateway
from hapenny.jobs.providers import translated
from hapenny.jobs.translator import TECHNIQUE, ClientAnswerer, Described, Hold, target_of
from hapenny.protocols.registry import codec

_log = get_logger("hapenny.batches")
DIALECT = "openai"
"""The dialect of records and their answers, where nothing else is said."""
FOLDERS = {"openai": "", "anthropic": "messages"}
"""Where in the journal's folder the batches of a dialect are: each has one of its own."""


class BatchService:
    """The batch jobs of a deployment, worked on from `start` to `aclose`.

    Args:
        options: with the folder of the journal.
        clock: the deployment's.
        hold: the gateway of the moment.
        described: the conditions of somebody's request, as of one that is sent alone.
        dialect: of its records and their answers.

    Raises:
        ConfigError: the journal cannot be opened, or another process has it, or a batch API cannot be used.
    """

    def __init__(
        self, options: BatchJobs, clock: Clock, hold: Hold, described: Described, dialect: str = DIALECT
    ) -> None:
        self.options = options
        self._clock = clock
        self._hold = hold
        try:
            self._journal = Journal(Path(options.journal) / FOLDERS[dialect])
        except (RuntimeError, OSError) as error:
            raise ConfigError(
                [f"$.batch.journal: {options.journal!r}: {error}. Fix: a folder of this process alone"]
            ) from None
        self._answerer = ClientAnswerer(codec(dialect), _patient(described))
        try:
            with hold() as gateway:
                apis = translated(gateway.config, options.apis, dialect, self._answerer, hold, clock)
        except ValueError as error:
            self._journal.close()
            raise ConfigError([f"$.batch.apis: {error}"]) from None
        quota = UploadQuota(int(options.uploads_mb * 1_000_000), options.uploads, options.upload_days * 86_400.0)
        self.engine = BatchEngine(self._journal, apis, Local(self._alone, clock), clock, options)
        self.api = BatchApi(self.engine, quota)
        """Files and batches as functions."""
        self.messages = MessageBatches(self.engine)
        """Batches of messages as functions, where the dialect is Anthropic's."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.guard = Guard("batch jobs" if dialect == DIALECT else "batches of messages", clock)

    def start(self) -> None:
        """Goes on with every batch that is not done."""
        with self._hold() as gateway:
            gateway.watch_over(self.guard)
        for id, batch in self.engine.batches.items():
            if not batch.done:
                self._go(id)

    async def aclose(self) -> None:
        """Stops working; records without an answer are sent again by whoever opens the journal next."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._journal.close()

    async def create(self, who: Identity, asked: dict[str, Any], key: str) -> dict[str, Any]:
        """Takes up a batch; its lines are read and written beside the loop. `key`: its idempotency key.

        Raises:
            Failure: `invalid_request`, with field and fix.
        """
        kept = msgspec.to_builtins(msgspec.structs.replace(who, secret=""))
        if (known := self.api.known(who.tenant, key)) is not None:
            return known
        wanted = await self._clock.work("journal", 1, lambda: self.api.prepare(who.tenant, asked))
        made = self.api.enter(wanted, key=key, more={"who": kept})
        self._go(made["id"])
        return made

    async def create_messages(self, who: Identity, asked: dict[str, Any], key: str) -> dict[str, Any]:
        """Takes up a batch of messages. `key`: its idempotency key.

        Raises:
            Failure: `invalid_request`, with field and fix.
        """
        kept = msgspec.to_builtins(msgspec.structs.replace(who, secret=""))
        prepared = await self._clock.work("journal", 1, lambda: self.messages.prepare(asked))
        id = self.messages.enter(who.tenant, prepared, key=key, more={"who": kept})
        self._go(id)
        return self.messages.retrieve(who.tenant, told(id))

    async def cancel_messages(self, owner: str, id: str) -> dict[str, Any]:
        """Ends a batch of messages; what was answered stays. Raises `Failure`, `not_found`."""
        await self._end(self.messages.own(owner, id).id)
        return self.messages.retrieve(owner, id)

    async def cancel(self, owner: str, id: str) -> dict[str, Any]:
        """Ends a batch; what was answered stays. Raises `Failure`, `not_found`."""
        self.api.retrieve(owner, id)
        await self._end(id)
        return self.api.retrieve(owner, id)

    async def _end(self, id: str) -> None:
        task = self._tasks.get(id)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.engine.cancel(id)
        self._go(id)

    def _go(self, id: str) -> None:
        """A task that works on a batch until it is done, unless there is one."""
        if id not in self._tasks and not self.engine.batches[id].done:
            task = self._tasks[id] = asyncio.get_running_loop().create_task(self.guard.keep(lambda: self._work(id)))
            task.add_done_callback(lambda ended: self._tasks.pop(id) if self._tasks.get(id) is ended else None)

    async def _work(self, id: str) -> None:
        batch = self.engine.batches[id]
        while not batch.done:
            try:
                await self.engine.run(id)
            except (OSError, Failure) as error:
                _log.error("a batch halts and will go on", batch=id, error=type(error).__name__)
                await self._clock.sleep(max(1.0, self.options.poll_s))

    async def _alone(self, record: Record) -> dict[str, Any]:
        """The answer to one record, as its endpoint would have given it."""
        answerer = self._answerer
        request = answerer.request(record)
        with self._hold() as gateway:
            who = gateway.keyring.still(record.who)
            exchange = gateway.open(request, answerer.context(record, request), who)
            if self._clock.wall() + 2 * self.options.margin_s < record.deadline:  # there is time for a slower tier
                flex = flexible(gateway, record.model)
                if flex is not None:
                    exchange.target = flex
                    exchange.step(TECHNIQUE)
            try:
                completion = await (await gateway.answer(exchange)).collect()
                exchange.commit()
            except Failure as failure:
                exchange.failure = failure
                raise
            finally:
                gateway.close(exchange)
        return answerer.written(request, completion)


def flexible(gateway: Gateway, model: str) -> Target | None:
    """The same model at the flex tier, where it is sold and cheaper; None elsewhere."""
    target = target_of(gateway, model)
    if target is None or target.service_tier != "standard":
        return None
    place, wall = gateway.books.prices.place(target), gateway.clock.wall()
    flex, standard = place.rates("flex", wall), place.rates("standard", wall)
    if flex is None or standard is None or not 0 < (flex.input or 0) < (standard.input or 0):
        return None
    return msgspec.structs.replace(target, service_tier="flex")


def _patient(described: Described) -> Described:
    """The same conditions at background priority, under the label `batch` unless there is another."""

    def patient(who: Identity, request: Request) -> Context:
        context = described(who, request)
        feature = context.feature or "batch"
        return msgspec.structs.replace(context, priority=min(-1, context.priority), feature=feature)

    return patient
