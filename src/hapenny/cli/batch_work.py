"""A worker of `hapenny batch work`: leases shards of batch records and answers them through a gateway of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

import click

from hapenny.batch.local import Local
from hapenny.batch.records import Record
from hapenny.batch.shards import Shards
from hapenny.batch.spread import Worker
from hapenny.cli.batching import EMBED, FORMS, answerer_of
from hapenny.cli.printable import say
from hapenny.config import ConfigError, load
from hapenny.core.clock import RealClock
from hapenny.gateway.gateway import Gateway
from hapenny.stores.open_kv import open_kv


def answer(store: str, config: str | None, idle_s: float | None) -> None:
    """Works until SIGTERM or SIGINT, or until there was nothing to do for `idle_s`.

    Raises:
        click.ClickException: the store or the configuration cannot be used.
    """
    clock = RealClock()
    try:
        shards = Shards(open_kv(store, clock), clock)
        gateway = Gateway(load(config), clock=clock)
    except (ValueError, OSError, ImportError, ConfigError) as error:
        raise click.ClickException(str(error)) from None
    forms = (*FORMS, EMBED)

    def sender(form: str) -> Local:
        answerer = answerer_of(form)

        async def send(record: Record) -> dict[str, Any]:
            if answerer is None:
                from hapenny.jobs.embeddings import embed

                return await embed(gateway, record)
            request = answerer.request(record)
            completion, _ = await gateway.complete(request, answerer.context(record, request))
            return answerer.written(request, completion)

        return Local(send, clock)

    senders = {form: sender(form) for form in forms}
    worker = Worker(shards, senders.__getitem__, forms, clock)

    async def run() -> None:
        await gateway.start()
        task = asyncio.get_running_loop().create_task(worker.run(until_idle_s=idle_s))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        say("waiting for records")
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        finally:
            await gateway.aclose()
            await shards.aclose()
        say(f"answered {worker.answered} records", err=True)

    asyncio.run(run())
