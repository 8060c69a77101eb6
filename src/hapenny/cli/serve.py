"""`hapenny serve`: the gateway on a port."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

import click

from hapenny.cli.start_problems import problems_of
from hapenny.cli.workers import VARIABLE, Supervisor, WorkerLink, adapted
from hapenny.config import Config, ConfigError, load
from hapenny.config.checking_shared import worker_problems
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App
from hapenny.server.transport.limits import raise_descriptors

BESIDE = "hapenny.yaml"
"""How `hapenny init` and the documentation name the file."""


@click.command()
@click.option("-c", "--config", "path", type=click.Path(dir_okay=False), help="YAML file; none: simulated models.")
@click.option("--host", help="Address to listen on, instead of the file's.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on, instead of the file's; 0 takes a free one."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that share the port, answers, calls under way, quotas, budgets and the ledger.",
)
@click.option("--simulated", is_flag=True, help="Simulated models, although there is a hapenny.yaml here.")
def serve(path: str | None, host: str | None, port: int | None, workers: int, simulated: bool) -> None:
    """Serves OpenAI, Anthropic and Bedrock clients. SIGHUP reloads, SIGTERM drains."""
    if path is not None and simulated:
        raise click.UsageError("--simulated, or -c FILE: not both")
    if path is None and not simulated and Path(BESIDE).exists():
        # Nobody who has written a configuration means invented answers.
        click.echo(
            f"configuration: there is a {BESIDE} here that was not named. "
            f"Fix: hapenny serve -c {BESIDE}, or --simulated for simulated models",
            err=True,
        )
        sys.exit(2)
    place = os.environ.get(VARIABLE)
    if place is not None:
        work(path, place)
    elif workers > 1:
        watch(path, workers, host, port)
    else:
        config = read(path)
        run(lambda: Gateway(config), lambda old: Gateway(load(path, running=old.config), previous=old), host, port)


def watch(path: str | None, workers: int, host: str | None, port: int | None) -> None:
    """Serves with several workers until SIGTERM or SIGINT."""
    config = read(path)

    def wrong(config: Config) -> list[str]:
        return [f"{problem}" for problem in worker_problems(config)]

    def check() -> list[str]:
        try:
            return wrong(load(path, running=config))
        except ConfigError as error:
            return problems_of(error)

    problems = wrong(config)
    if not hasattr(socket, "SO_REUSEPORT"):
        problems.append("--workers: this system cannot share a port among processes. Fix: one worker")
    for problem in problems:
        click.echo(f"configuration: {problem}", err=True)
    if problems:
        sys.exit(2)
    more = []
    if config.simulated:
        more.append(f"{_simulated(config.simulated, len(config.backends))} Its answers carry x-hapenny-simulated.")
    supervisor = Supervisor(config, workers, host, port, check, more)
    try:
        runner()(supervisor.run())
    except OSError as error:
        click.echo(f"configuration: {problems_of(error)[0]}", err=True)
        sys.exit(2)
    except RuntimeError as error:
        click.echo(f"{error}", err=True)
        sys.exit(2)


def work(path: str | None, place: str) -> None:
    """Serves as one of several workers."""
    link = WorkerLink(place)

    async def begin() -> None:
        hello = await link.open()
        config = adapted(read(path), hello)

        def rebuild(old: Gateway) -> Gateway:
            return Gateway(adapted(load(path, running=old.config), hello), previous=old)

        await _serve(lambda: Gateway(config), rebuild, hello.host, hello.port, link)

    _run(begin())


def read(path: str | None) -> Config:
    """The configuration, or its problems on stderr and exit status 2."""
    try:
        return load(path)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"configuration: {problem}", err=True)
        sys.exit(2)


def run(
    build: Callable[[], Gateway], rebuild: Callable[[Gateway], Gateway] | None, host: str | None, port: int | None
) -> None:
    """Serves until SIGTERM or SIGINT; what keeps it from that is told on stderr, exit status 2."""
    _run(_serve(build, rebuild, host, port))


def runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    """What runs the loop."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run
    return asyncio.run


def _run(serving: Coroutine[Any, Any, None]) -> None:
    try:
        runner()(serving)
    except _NotStarted as error:
        cause = error.__cause__
        assert isinstance(cause, Exception)
        for problem in problems_of(cause):
            click.echo(f"configuration: {problem}", err=True)
        sys.exit(2)


class _NotStarted(Exception):
    """The gateway did not come up; the cause says why."""


async def _serve(
    build: Callable[[], Gateway],
    rebuild: Callable[[Gateway], Gateway] | None,
    host: str | None,
    port: int | None,
    link: WorkerLink | None = None,
) -> None:
    raise_descriptors()
    try:
        gateway = build()
        await gateway.start()
        app = App(gateway)
        app.services.siblings = link
        try:
            bound = await app.start(host, port, together=link is not None)
        except BaseException:
            await app.stop()
            raise
    except Exception as error:
        raise _NotStarted from error
    gc.collect()
    gc.freeze()  # what is loaded by now stays; what comes later dies young, without the collector
    if link is None:
        click.echo(f"hapenny listens on http://{app.host}:{bound}", err=False)
    if gateway.simulated and link is None:
        click.echo(f"{_simulated(gateway.simulated, len(gateway.backends))} Its answers carry x-hapenny-simulated.")
    sys.stdout.flush()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if link is not None:
        link.page, link.orphaned = (lambda: app.gateway.recorder.metrics.render()), stop.set
        link.ready()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if rebuild is not None:
        reloads: set[asyncio.Task[None]] = set()

        def hup() -> None:
            task = loop.create_task(_reload(app, rebuild))
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, hup)
    await stop.wait()
    await app.stop()


async def _reload(app: App, rebuild: Callable[[Gateway], Gateway]) -> None:
    """Builds the new gateway beside the old one; a wrong file changes nothing."""
    try:
        gateway = rebuild(app.gateway)
        await app.swap(gateway)
    except Exception as error:  # whatever is wrong with it, the old one goes on
        for problem in problems_of(error):
            click.echo(f"reload refused: {problem}", err=True)
        return
    if not getattr(app.services.siblings, "number", 0):
        click.echo("configuration reloaded", err=True)
    if gateway.simulated:
        click.echo(_simulated(gateway.simulated, len(gateway.backends)), err=True)


def _simulated(backends: Collection[str], of: int) -> str:
    names = ", ".join(sorted(backends))
    whose = "all models are" if len(backends) == of else f"models of backend {names} are"
    return f"Simulated: {whose} played by this process, no provider is called for them."
