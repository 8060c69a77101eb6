"""`hapenny console`: the pages people look at, in a process of their own."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click


@click.command()
@click.option("-c", "--config", required=True, help="Configuration whose ledger and content store are shown.")
@click.option("--route", help="Only label this route's answers.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where other machines reach it, it asks for a key of scope admin or console; put TLS in front of it.",
)
@click.option("--port", default=8791, show_default=True, help="0 takes a free one.")
@click.option("--url", default="", help="The running gateway; left out: where this configuration serves.")
@click.option("--key", envvar="HAPENNY_KEY", default="", help="A key of it: scopes call and admin show everything.")
def console(config: str, route: str | None, host: str, port: int, url: str, key: str) -> None:
    """Money, speed, techniques and requests as pages, from the ledger; and answers to label by hand."""
    from hapenny.config import ConfigError, load
    from hapenny.console.live import Live
    from hapenny.console.login import Logins
    from hapenny.console.render import environment
    from hapenny.console.site import Console
    from hapenny.core.clock import RealClock
    from hapenny.server.perimeter import beyond_loopback

    clock = RealClock()
    try:
        environment()
        loaded = load(config)
        served = "127.0.0.1" if beyond_loopback(loaded.server.host) else loaded.server.host
        live = Live(url or f"http://{served}:{loaded.server.port}", key, clock)
        logins = Logins(loaded, clock) if beyond_loopback(host) else None
        pages = Console(loaded, clock, route, logins, live, Path(config))
        bound = pages.listen(host, port)
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    except ImportError as error:
        raise click.ClickException(str(error)) from None
    except ValueError as error:
        raise click.ClickException(f"{host} can be reached by other machines, and {error}") from None
    except OSError as error:
        raise click.ClickException(f"{host}:{port}: {error}. Fix: another --port, or 0 for a free one") from None
    click.echo(f"hapenny console on http://{host}:{bound}")

    def stop(*_: object) -> None:
        threading.Thread(target=pages.stop).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    pages.run()
