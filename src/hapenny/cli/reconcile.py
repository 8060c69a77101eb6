"""`hapenny doctor --reconcile`: the ledger against CloudWatch and Cost Explorer."""

from __future__ import annotations

import sqlite3
from typing import Any

import click
import msgspec

from hapenny.catalog import default
from hapenny.cli.printable import printable, say, say_json
from hapenny.cli.sending import client, told
from hapenny.config import Config
from hapenny.core.clock import RealClock
from hapenny.telemetry import reconciling, schema
from hapenny.telemetry.opened import open_ledger

KINDS = frozenset({"bedrock", "bedrock-openai"})
_RIGHTS = "cloudwatch:ListMetrics, cloudwatch:GetMetricData, ce:GetCostAndUsage, ce:GetDimensionValues"


def reconcile(config: Config, region: str, days: int, tag: str, as_json: bool) -> int:
    """Compares, shows, and writes the result into the ledger; how many figures are apart."""
    if config.ledger is None or config.ledger.path == ":memory:":
        raise click.ClickException("this configuration keeps no ledger. Fix: ledger: {path: .hapenny/ledger.db}")
    backends = [name for name, options in config.backends.items() if options.kind in KINDS]
    if not backends:
        raise click.ClickException("no backend is Bedrock's, and others have nothing to compare with")
    try:
        elsewhere = "://" in config.ledger.path  # books in a database are compared, and nothing is written into a copy
        connection = open_ledger(config.ledger.path, read_only=elsewhere)
    except (sqlite3.Error, ValueError, OSError) as error:
        raise click.ClickException(f"{config.ledger.path}: {error}") from None
    wall = RealClock().wall()
    try:
        with told("AWS", _RIGHTS):
            compared = compare(
                connection, backends, wall, days, tag, client("cloudwatch", region), client("ce", region)
            )
        written = reconciling.entries(compared, *reconciling.window(wall, days), wall)
        if not elsewhere:
            schema.insert(connection, "entries", schema.ENTRY, [schema.entry_values(each) for each in written])
    finally:
        connection.close()
    apart = [each for each in compared if not each.agrees]
    if as_json:
        rows = [{**msgspec.to_builtins(each), "apart": each.apart, "agrees": each.agrees} for each in compared]
        say_json(msgspec.json.encode({"days": days, "region": region, "compared": rows}).decode())
        return len(apart)
    for each in compared:
        amounts = (
            f"${value:,.4f}" if each.unit == "usd" else f"{value:,.0f} tokens" for value in (each.ours, each.theirs)
        )
        ours, theirs = amounts
        mark = "agrees" if each.agrees else "APART"
        say(f"{mark:6} {each.source}: {printable(each.what)}: ledger {ours}, {each.source} {theirs} ({each.apart:.2%})")
    if not compared:
        say(f"neither the ledger nor AWS has anything in the last {days} whole days")
    if apart:
        say(
            "Fix: does all of the account's traffic go through this gateway? Is a ledger of another gateway missing?"
            " Are prices negotiated (prices in the configuration)? Application inference profiles with tags tell"
            " traffic apart: --tag NAME"
        )
    return len(apart)


def compare(
    connection: sqlite3.Connection,
    backends: list[str],
    wall: float,
    days: int,
    tag: str,
    cloudwatch: Any,
    explorer: Any,
) -> list[reconciling.Compared]:
    """Both comparisons, through boto3's clients."""
    since, until = reconciling.window(wall, days)
    cards = default()

    def name(model: str) -> str:
        card = cards.resolve(model)
        return card.id if card is not None else model

    tokens = reconciling.tokens_compared(
        reconciling.our_tokens(connection, backends, since, until, name),
        reconciling.their_tokens(cloudwatch, since, until, name),
    )
    cost = reconciling.cost_compared(
        reconciling.our_cost(connection, backends, since, until),
        reconciling.their_cost(explorer, since, until, tag), tag,
    )  # fmt: skip
    return [each for each in [*cost, *tokens] if each.ours or each.theirs]
