"""`hapenny ledger`: the ledger as a table for spreadsheets, warehouses and chargeback."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click

from hapenny.cli.printable import printable, say
from hapenny.core.clock import RealClock

_BATCH = 20_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@click.group()
def ledger() -> None:
    """What the ledger holds."""


@ledger.command()
@click.option("-c", "--config", help="Configuration whose ledger is read.")
@click.option("--ledger", "path", help="The ledger file itself.")
@click.option("--shape", type=click.Choice(["focus", "requests"]), default="focus", show_default=True,
              help="focus: a row a day with FOCUS columns, for chargeback; requests: a row a request.")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), help="By the name of --out; else csv.")
@click.option("--since", help="Only the last 24h, 7d, 30d …")
@click.option("--tenant", help="Only this tenant.")
@click.option("--route", help="Only this route.")
@click.option("--feature", help="Only this feature.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file; else standard output (csv).")
def export(
    config: str | None,
    path: str | None,
    shape: str,
    kind: str | None,
    since: str | None,
    tenant: str | None,
    route: str | None,
    feature: str | None,
    out: Path | None,
) -> None:
    """Write the ledger as CSV or Parquet. It holds no text of any request; money is in dollars."""
    from hapenny.cli.report import configured, reading, span
    from hapenny.telemetry import export as tables
    from hapenny.telemetry.figures import Scope
    from hapenny.telemetry.opened import open_ledger

    place = path or configured(config)
    start = RealClock().wall() - span(since) if since else None
    scope = Scope(since=start, tenant=tenant, route=route, feature=feature)
    kind = kind or ("parquet" if out is not None and out.suffix == ".parquet" else "csv")
    if kind == "parquet" and out is None:
        raise click.UsageError("parquet needs a file. Fix: --out ledger.parquet")
    with reading(place):
        connection = open_ledger(place, read_only=True)
    try:
        connection.execute("BEGIN")
        columns: Sequence[str]
        if shape == "focus":
            columns, rows = tables.FOCUS, tables.focus(connection, scope)
        else:
            columns, rows = tables.REQUEST, tables.requests(connection, scope)
        if kind == "parquet":
            assert out is not None
            count = _parquet(out, columns, rows)
        elif out is None:
            count = _csv(sys.stdout, columns, rows)
        else:
            with out.open("w", encoding="utf-8", newline="") as file:
                count = _csv(file, columns, rows)
    finally:
        connection.close()
    say(f"{count:,} rows{f' in {out}' if out is not None else ''}", err=True)


def _csv(file: Any, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> int:
    writer = csv.writer(file)
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        count += 1
    return count


def _cell(value: Any) -> Any:
    """A value for a spreadsheet; names that clients chose are no formulas there."""
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    if not isinstance(value, str):
        return value
    value = printable(value).replace("\n", " ")
    return f"'{value}" if value.startswith(_FORMULA) else value


def _parquet(out: Path, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise click.ClickException("Parquet needs pyarrow. Fix: pip install 'hapenny[parquet]'") from None
    count = 0
    writer: Any = None
    schema: Any = None
    try:
        while batch := list(islice(rows, _BATCH)):
            data = {name: [row[place] for row in batch] for place, name in enumerate(columns)}
            if schema is None:
                schema = pyarrow.schema([(name, _type(pyarrow, name)) for name in columns])
                writer = parquet.ParquetWriter(out, schema)
            writer.write_table(pyarrow.table(data, schema=schema))
            count += len(batch)
        if writer is None:
            schema = pyarrow.schema([(name, _type(pyarrow, name)) for name in columns])
            writer = parquet.ParquetWriter(out, schema)
    finally:
        if writer is not None:
            writer.close()
    return count


_NUMBERS = frozenset({
    "BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "x_Saved", "ttft_s", "e2e_s", "baseline_usd",
    "saved_usd", "estimate_error_usd", "paid_usd",
})  # fmt: skip
_WHOLE = frozenset({
    "ConsumedQuantity", "PricingQuantity", "x_Requests", "x_InputTokens", "x_OutputTokens", "x_CacheReadTokens",
    "x_CacheWriteTokens", "prompt_tokens", "output_tokens",
})  # fmt: skip
_YES_NO = frozenset({"cache_hit", "holdout", "reported"})


def _type(pyarrow: Any, name: str) -> Any:
    if name in _NUMBERS:
        return pyarrow.float64()
    if name in _WHOLE:
        return pyarrow.int64()
    return pyarrow.bool_() if name in _YES_NO else pyarrow.string()
