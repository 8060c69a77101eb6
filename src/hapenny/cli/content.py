"""`hapenny content`: texts that routes let the gateway keep."""

from __future__ import annotations

import asyncio

import click

from hapenny.cli.printable import say
from hapenny.core.clock import RealClock


@click.group()
def content() -> None:
    """Kept texts of requests."""


@content.command("erase")
@click.option("-c", "--config", required=True, help="Configuration whose content store is meant.")
@click.option("--user", required=True, help="Whose texts, as the application names its users.")
@click.option("--tenant", default="default", show_default=True, help="The tenant that the user belongs to.")
def erase(config: str, user: str, tenant: str) -> None:
    """Erase all kept texts of one user."""
    say(f"{asyncio.run(_erase(config, tenant, user))} texts of {user!r} erased")


async def _erase(path: str, tenant: str, user: str) -> int:
    from hapenny.config import ConfigError, load
    from hapenny.stores.sqlite import SqliteFile, SqliteRows
    from hapenny.telemetry.content import ContentStore

    try:
        kept = load(path).content
    except ConfigError as error:
        raise click.ClickException("; ".join(str(problem) for problem in error.problems)) from None
    if kept is None:
        raise click.ClickException(f"{path} keeps no texts. Fix: the file of the gateway that has a `content` section")
    clock = RealClock()
    rows = SqliteRows(SqliteFile(kept.path, clock))
    try:
        return await ContentStore(kept.options, rows, clock).erase_user(tenant, user)
    except (ImportError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        await rows.aclose()
