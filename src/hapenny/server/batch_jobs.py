"""Batch jobs of a deployment: requests that can wait, answered through the gateway.

Each record is a request of its own, with a row and a baseline of its own, at background priority and under the identity
of whoever handed the batch in. Providers' batch APIs answer what can wait at half the price, the gateway the rest. The
journal outlives the process: what was answered is kept, the rest goes on at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec

from hapenny.admission.keys import OPEN, Identity
from hapenny.batch.api import BatchApi
from hapenny.batch.engine import BatchEngine
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.records import Record
from hapenny.config import BatchJobs, ConfigError
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.core.messages import Context, Request
from hapenny.gateway.gateway import Gateway
from hapenny.jobs.service import TECHNIQUE, flexible, providers
from hapenny.protocols.http1.request import Headers
from hapenny.protocols.registry import codec
from hapenny.server.auth import context_of

_log = get_logger("hapenny.batches")
_CODEC = codec("openai")
ENDPOINT = "/v1/chat/completions"
"""The only endpoint whose requests a batch may hold."""

_NO_HEADERS = Headers()
_WHO: ContextVar[Identity] = ContextVar("batch_identity", default=OPEN)
_DEADLINE: ContextVar[float] = ContextVar("batch_deadline", default=0.0)


class Batches:
    """The batch jobs of a deployment, worked on from `start` to `aclose`.

    Args:
        options: with the folder of the journal.
        clock: the deployment's.
        hold: the gateway of the moment; it is not closed while it is held.

    Raises:
        ConfigError: the journal cannot be opened, or another process has it.
    """

    def __init__(self, options: BatchJobs, clock: Clock, hold: Callable[[], AbstractContextManager[Gateway]]) -> None:
        self.options = options
        try:
            self._journal = Journal(Path(options.journal))
        except (RuntimeError, OSError) as error:
            raise ConfigError(
                [f"$.batch.journal: {options.journal!r}: {error}. Fix: a folder of this process alone"]
            ) from None
        self._clock = clock
        self._hold = hold
        try:
            with hold() as gateway:
                apis = providers(gateway.config, options.apis, _CODEC, hold, clock, self._described)
        except ValueError as error:
            self._journal.close()
            raise ConfigError([f"$.batch.apis: {error}"]) from None
        self._engine = BatchEngine(self._journal, apis, Local(self._record, clock), clock, options)
        self.api = BatchApi(self._engine)
        """Files and batches as functions."""
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Goes on with every batch that is not done."""
        for id, batch in self._engine.batches.items():
            if not batch.done:
                self._go(id)

    async def aclose(self) -> None:
        """Stops working; records without an answer are sent again by whoever opens the journal next."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._journal.close()

    def create(self, who: Identity, asked: dict[str, Any], key: str) -> dict[str, Any]:
        """Takes up a batch; `key`: its idempotency key. Raises `Failure`, `invalid_request`."""
        kept = msgspec.to_builtins(msgspec.structs.replace(who, secret=""))
        made = self.api.create(who.tenant, asked, key=key, more={"who": kept})
        self._go(made["id"])
        return made

    async def cancel(self, owner: str, id: str) -> dict[str, Any]:
        """Ends a batch; what was answered stays. Raises `Failure`, `not_found`."""
        self.api.retrieve(owner, id)
        task = self._tasks.get(id)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.api.cancel(owner, id)
        self._go(id)
        return self.api.retrieve(owner, id)

    def _go(self, id: str) -> None:
        """A task that works on a batch until it is done, unless there is one."""
        if id not in self._tasks and not self._engine.batches[id].done:
            task = self._tasks[id] = asyncio.get_running_loop().create_task(self._work(id))
            task.add_done_callback(lambda ended: self._tasks.pop(id) if self._tasks.get(id) is ended else None)

    async def _work(self, id: str) -> None:
        batch = self._engine.batches[id]
        _DEADLINE.set(batch.deadline)
        _WHO.set(msgspec.convert(batch.metadata.get("who") or {}, Identity))
        while not batch.done:
            try:
                await self._engine.run(id)
            except (OSError, Failure) as error:
                _log.error("a batch halts and will go on", batch=id, error=type(error).__name__)
                await self._clock.sleep(max(1.0, self.options.poll_s))

    async def _record(self, model: str, record: Record) -> dict[str, Any]:
        """The answer to one record, as its endpoint would have given it."""
        body = msgspec.json.encode({**record.body, "model": model})
        asked = _CODEC.decode_request(body, model=None, stream=False, headers=_NO_HEADERS)
        context, who = self._described(asked)
        with self._hold() as gateway:
            exchange = gateway.open(asked, context, who)
            if self._clock.wall() + 2 * self.options.margin_s < _DEADLINE.get():  # there is time for a slower tier
                flex = flexible(gateway, model)
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
        answer: dict[str, Any] = msgspec.json.decode(_CODEC.encode_answer(completion, asked))
        return answer

    @staticmethod
    def _described(asked: Request) -> tuple[Context, Identity]:
        """The context of a record: its batch's tenant, background priority."""
        who = _WHO.get()
        context = context_of(who, _NO_HEADERS, asked)
        feature = context.feature or "batch"
        return msgspec.structs.replace(context, priority=min(-1, context.priority), feature=feature), who
