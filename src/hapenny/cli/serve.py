"""`hapenny serve`: the gateway on a port."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable

import click

from hapenny.config import Config, ConfigError, load
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App
from hapenny.server.transport.limits import raise_descriptors


@click.command()
@click.option("-c", "--config", "path", type=click.Path(dir_okay=False), help="YAML file; none: simulated models.")
@click.option("--host", help="Address to listen on, instead of the file's.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on, instead of the file's; 0 takes a free one."
)
def serve(path: str | None, host: str | None, port: int | None) -> None:
    """Serves OpenAI, Anthropic and Bedrock clients. SIGHUP reloads, SIGTERM drains."""
    config = read(path)
    run(lambda: Gateway(config), lambda old: Gateway(load(path), previous=old), host, port)


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
    """Serves until SIGTERM or SIGINT."""
    try:
        import uvloop

        uvloop.run(_serve(build, rebuild, host, port))
    except ImportError:
        asyncio.run(_serve(build, rebuild, host, port))
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"configuration: {problem}", err=True)
        sys.exit(2)


async def _serve(
    build: Callable[[], Gateway], rebuild: Callable[[Gateway], Gateway] | None, host: str | None, port: int | None
) -> None:
    raise_descriptors()
    gateway = build()
    await gateway.start()
    app = App(gateway)
    try:
        bound = await app.start(host, port)
    except ConfigError:
        await app.stop()
        raise
    gc.collect()
    gc.freeze()  # what is loaded by now stays; what comes later dies young, without the collector
    click.echo(f"hapenny listens on http://{app.host}:{bound}", err=False)
    sys.stdout.flush()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
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
        await app.swap(rebuild(app.gateway))
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"reload refused: {problem}", err=True)
        return
    click.echo("configuration reloaded", err=True)
