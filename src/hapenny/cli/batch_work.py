"""A worker of `hapenny batch work`: leases shards of batch records and answers them through a gateway of its own."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import click

from hapenny.batch.local import Local
from hapenny.batch.open_shards import open_shards
from hapenny.batch.records import Record
from hapenny.batch.spool import sweep
from hapenny.batch.worker import Worker
from hapenny.cli.batching import EMBED, FORMS, answerer_of
from hapenny.cli.printable import say
from hapenny.config import ConfigError, load
from hapenny.core.awake import AwakeClock, AwakeLoop
from hapenny.gateway.gateway import Gateway

LEAST_LEASE_S = 2.0


def answer(store: str, config: str | None, idle_s: float | None, lease_s: float) -> None:
    """Works until SIGTERM or SIGINT, after which what is under way is still answered (a second one cuts that off), or
    until there was nothing to do for `idle_s`.

    Raises:
        click.ClickException: the store or the configuration cannot be used.
    """
    if lease_s < LEAST_LEASE_S:
        raise click.ClickException(f"a lease of {lease_s:g} s ends before it can be renewed; give it at least 2s")
    with asyncio.Runner(loop_factory=AwakeLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, AwakeLoop)
        clock = AwakeClock(loop)
        try:
            sweep(clock.wall())
            shards = open_shards(store, clock, lease_s)
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

        async def run() -> None:
            worker = Worker(shards, senders.__getitem__, forms, clock)
            await gateway.start()
            task = loop.create_task(worker.run(until_idle_s=idle_s))

            def leave() -> None:
                if worker.leaving:
                    task.cancel()
                worker.leave()

            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, leave)
            say("waiting for records")
            try:
                await asyncio.gather(task, return_exceptions=True)
                if not task.cancelled():
                    task.result()
            finally:
                await gateway.aclose()
                await shards.aclose()
            say(f"answered {worker.answered} records", err=True)

        runner.run(run())
