"""`hapenny keys`: keys that are kept beside those of the configuration, hashed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from hapenny.admission.options import BudgetOptions
from hapenny.admission.records import KeyRecord, Minted, NewKey
from hapenny.admission.registry import Registry
from hapenny.cli.printable import printable, printable_all
from hapenny.cli.registry import CONFIG, actor, change
from hapenny.cli.report import span
from hapenny.config import Config
from hapenny.core.clock import RealClock


@click.group()
def keys() -> None:
    """Keys that clients send. A running gateway takes changes up within `admission.refresh_s`."""


@keys.command()
@CONFIG
@click.option("--tenant", default="default", show_default=True, help="Whose books and budgets its requests belong to.")
@click.option("--name", default="", help="For people.")
@click.option("--expires", help="After which time it ends: 90d, 12h …")
@click.option("--aws", is_flag=True, help="Also an AWS access key id, for clients that sign.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(["call", "metrics", "admin", "console"]), default=("call",)
)
@click.option(
    "--model", "models", multiple=True, help="A model or tier it may ask for; several: repeat. All if left out."
)
@click.option("--route", "routes", multiple=True, help="A route it may ask for; likewise.")
@click.option("--default-route", help="The route of all its requests.")
@click.option("--group", "groups", multiple=True, help="A document-access group.")
@click.option("--priority", type=click.IntRange(-100, 100), default=0, help="The highest it may ask for.")
@click.option("--budget", "budgets", multiple=True, help="`$5/day`, `100000tokens/month`, `$20/7d`; several: repeat.")
@click.option("--rpm", type=click.IntRange(1), help="Requests a minute.")
@click.option("--tpm", type=click.IntRange(1), help="Tokens a minute.")
@click.option("--secret-env", help="Environment variable with a key that is in use already and moves here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def create(
    path: str,
    tenant: str,
    name: str,
    expires: str | None,
    aws: bool,
    scopes: tuple[Any, ...],
    models: tuple[str, ...],
    routes: tuple[str, ...],
    default_route: str | None,
    groups: tuple[str, ...],
    priority: int,
    budgets: tuple[str, ...],
    rpm: int | None,
    tpm: int | None,
    secret_env: str | None,
    as_json: bool,
) -> None:
    """Make a key. Its secret is shown this once."""
    secret = os.environ.get(secret_env, "") if secret_env else ""
    if secret_env and not secret:
        raise click.ClickException(f"the environment variable {secret_env} is not set")
    try:
        wanted = NewKey(
            tenant=tenant, name=name, aws=aws, scopes=scopes, models=models or ("*",), routes=routes or ("*",),
            default_route=default_route, groups=groups, priority=priority, requests_per_minute=rpm,
            tokens_per_minute=tpm, budgets=tuple(budget(each) for each in budgets),
            expires_in=span(expires) if expires else None,
        )  # fmt: skip
    except ValueError as error:
        raise click.ClickException(str(error)) from None

    async def work(registry: Registry, config: Config) -> tuple[Minted, bool]:
        asked = [*wanted.routes, *([wanted.default_route] if wanted.default_route else [])]
        lost = [route for route in asked if route != "*" and route not in config.routes]
        if lost:
            raise click.ClickException(f"{lost[0]!r} is not a route. Fix: one of {', '.join(sorted(config.routes))}")
        closes = registry.empty and not config.keys
        return await registry.create(wanted, actor(), secret), closes

    minted, closes = change(path, work)
    _shown(minted, as_json, moved=bool(secret))
    if closes and not as_json:
        click.echo("It is the first key: from now on every request to this gateway needs one.")


@keys.command("list")
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def listed(path: str, as_json: bool) -> None:
    """Show all stored keys; those of the configuration stand in its file."""

    async def work(registry: Registry, config: Config) -> list[KeyRecord]:
        return registry.records()

    records, now = change(path, work), RealClock().wall()
    if as_json:
        click.echo(msgspec.json.encode([record.shown(now) for record in records]).decode())
        return
    rows = [("id", "tenant", "name", "scopes", "state", "expires", "budgets")]
    for record in records:
        held = ", ".join(_budget(each) for each in record.budgets)
        rows.append(
            (
                record.id,
                record.tenant,
                record.name,
                " ".join(record.scopes),
                record.state(now),
                _day(record.expires),
                held,
            )
        )
    _columns(rows)


@keys.command()
@CONFIG
@click.argument("id")
def show(path: str, id: str) -> None:
    """Show one key, without its secret."""

    async def work(registry: Registry, config: Config) -> KeyRecord | None:
        return registry.record(id)

    record = change(path, work)
    if record is None:
        raise click.ClickException(f"there is no stored key {id!r}. Fix: hapenny keys list")
    shown = printable_all(msgspec.to_builtins(record.shown(RealClock().wall())))
    click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())


@keys.command()
@CONFIG
@click.argument("id")
def revoke(path: str, id: str) -> None:
    """End a key, for good."""
    change(path, lambda registry, config: registry.revoke(id, actor()))
    click.echo(f"{id} is revoked")


@keys.command()
@CONFIG
@click.argument("id")
@click.option("--overlap", default="0s", show_default=True, help="How long the old secret is still taken: 24h …")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def rotate(path: str, id: str, overlap: str, as_json: bool) -> None:
    """Give a key a new secret. It stays the same key: budgets, objects and books go on."""
    _shown(change(path, lambda registry, config: registry.rotate(id, actor(), span(overlap))), as_json)


@keys.command("log")
@CONFIG
@click.option("--last", default=50, show_default=True, type=click.IntRange(1, 1_000), help="How many entries.")
def log(path: str, last: int) -> None:
    """Show what was done to keys, tenants and the pause switch, newest first."""

    async def work(registry: Registry, config: Config) -> tuple[list[Any], int | None]:
        return await registry.log.newest(last), await registry.log.broken()

    entries, broken = change(path, work)
    rows = [("number", "when", "who", "what", "on", "")]
    for each in entries:
        rows.append((str(each.number), _moment(each.wall), each.actor, each.action, each.subject, each.detail))
    _columns(rows)
    if broken is not None:
        raise click.ClickException(f"entry {broken} is not as it was written, or is missing")


def budget(text: str) -> BudgetOptions:
    """A budget as it is written on the command line. Raises `ClickException`."""
    amount, slash, window = text.partition("/")
    try:
        if not slash:
            raise ValueError
        if amount.startswith("$"):
            return BudgetOptions(usd=float(amount[1:]), window=window)
        if amount.endswith("tokens"):
            return BudgetOptions(tokens=int(amount.removesuffix("tokens")), window=window)
        raise ValueError
    except ValueError as error:
        why = (
            str(error)
            if "window" in str(error) or "budget" in str(error)
            else "write e.g. $5/day or 100000tokens/month"
        )
        raise click.ClickException(f"--budget {text!r}: {why}") from None


def _budget(each: BudgetOptions) -> str:
    said = [f"${each.usd:g}"] if each.usd is not None else []
    said += [f"{each.tokens:,} tokens"] if each.tokens is not None else []
    return f"{' and '.join(said)}/{each.window}"


def _shown(minted: Minted, as_json: bool, moved: bool = False) -> None:
    if as_json:
        click.echo(msgspec.json.encode(minted).decode())
        return
    click.echo(f"id:         {minted.id}")
    if minted.access_key:
        click.echo(f"access key: {minted.access_key}")
    if not moved:
        click.echo(f"key:        {minted.key}\nIt is shown this once, and kept as a hash.")


def _columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Rows in columns; names that people chose are shown as plain text."""
    plain = [tuple(printable(cell).replace("\n", " ").replace("\t", " ") for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    for row in plain:
        click.echo("  ".join(_padded(row, widths)).rstrip())


def _padded(row: Iterable[str], widths: Iterable[int]) -> list[str]:
    return [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]


def _day(wall: float | None) -> str:
    return "never" if wall is None else datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d")


def _moment(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S")
