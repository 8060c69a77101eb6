"""`hapenny plan`: what capacity to buy for a trace, or for the traffic in a ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hapenny.cli.numbers import MOST_TOKENS, Positive
from hapenny.cli.printable import printable, say_json

if TYPE_CHECKING:
    from rich.console import Console

    from hapenny.capacity.planner import CapacityPlan

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--trace", type=_FILE, help="CSV of requests: timestamp_s, input_tokens, output_tokens[, cached_tokens].")
@click.option("--ledger", type=_FILE, help="Instead: the provider calls of a ledger.")
@click.option("--model", required=True, help="Whose prices and burndown hold.")
@click.option("--slo-ttft-p95", type=Positive(), default=1.5, show_default=True, metavar="S")
@click.option(
    "--window",
    type=Positive(),
    default=60.0,
    show_default=True,
    help="Seconds over which the provider counts tokens.",
)
@click.option("--tpm", type=Positive(), help="The account's quota, tokens a minute.")
@click.option("--rpm", type=Positive(), help="The account's quota, requests a minute.")
@click.option("--max-tokens", type=click.IntRange(1, MOST_TOKENS), help="The answer's limit that requests state.")
@click.option("--unit-tokens-per-s", type=Positive(), help="What a bought unit carries.")
@click.option("--unit-usd-per-h", type=Positive(), help="What it costs.")
@click.option("--server-usd-per-h", type=Positive(), help="What a server of your own costs.")
@click.option("--server", type=_FILE, help="What such a server is: measured points, or a model on an instance.")
@click.option("--deferrable", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share that can wait.")
@click.option("--growth", type=Positive(1_000), help="The rate to come; default: the trace's drift.")
@click.option("--own-weights/--hosted-weights", default=None, help="Weights or decoding that nobody hosts.")
@click.option("--special-architecture/--known-architecture", default=None, help="Bedrock neither has nor imports it.")
@click.option("--own-pipelines/--no-pipelines", default=None, help="Serving is to join training of yours.")
@click.option("--operations-usd-per-month", type=click.FloatRange(min=0), help="People and upkeep of own servers.")
@click.option("--weights-gb", type=Positive(), help="Of a model you would serve yourself.")
@click.option("--json", "as_json", is_flag=True)
def plan(
    trace: Path | None, ledger: Path | None, model: str, slo_ttft_p95: float, window: float, tpm: float | None,
    rpm: float | None, max_tokens: int | None, unit_tokens_per_s: float | None, unit_usd_per_h: float | None,
    server_usd_per_h: float | None, server: Path | None, deferrable: float, growth: float | None,
    own_weights: bool | None, special_architecture: bool | None, own_pipelines: bool | None,
    operations_usd_per_month: float | None, weights_gb: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Capacity for a trace: the ways to serve it, what each costs an hour, which quotas to ask for, and whether Bedrock
    or servers of your own, with the reasons and inference servers side by side.

    \b
    hapenny plan --ledger ledger.db --model MODEL --tpm 400000
    hapenny plan --trace day.csv --model MODEL --unit-tokens-per-s 2000
    """
    import msgspec

    from hapenny.capacity.ledger_trace import from_ledger
    from hapenny.capacity.planner import Wanted
    from hapenny.capacity.planner import plan as make
    from hapenny.capacity.server_file import read
    from hapenny.capacity.where import Needs, where
    from hapenny.catalog import resolve
    from hapenny.cli.plan_tables import as_plain, show
    from hapenny.simulation.workload.trace import from_csv

    if (trace is None) == (ledger is None):
        raise click.UsageError("give either --trace or --ledger")
    if (unit_tokens_per_s is None) != (unit_usd_per_h is None):
        raise click.UsageError("a unit needs both --unit-tokens-per-s and --unit-usd-per-h")
    card = resolve(model)
    if card is None:
        raise click.ClickException(f"the catalog has no model {model!r}. Fix: a provider's model id")
    if server is not None and server_usd_per_h is None:
        raise click.UsageError("--server wants --server-usd-per-h")
    try:
        own = read(server) if server is not None else None
    except (ValueError, OSError) as error:
        raise click.ClickException(printable(str(error))) from None
    wanted = Wanted(
        ttft_p95_s=slo_ttft_p95, window_s=window, tokens_per_minute=tpm, requests_per_minute=rpm, max_tokens=max_tokens,
        deferrable=deferrable, unit_tokens_per_s=unit_tokens_per_s, unit_usd_per_h=unit_usd_per_h,
        server_usd_per_h=server_usd_per_h, server=own.card if own is not None else None, growth=growth,
    )  # fmt: skip
    try:
        arrivals = from_csv(trace) if trace is not None else from_ledger(ledger or Path())
        made = make(arrivals, card, wanted)
        if own is not None:
            made = msgspec.structs.replace(made, assumed=[*made.assumed, *own.notes])
    except (ValueError, OSError) as error:
        raise click.ClickException(printable(str(error))) from None
    needs = Needs(
        own_weights=own_weights, special_architecture=special_architecture, own_pipelines=own_pipelines,
        operations_usd_a_month=operations_usd_per_month,
    )  # fmt: skip
    advice = where(made, needs)
    if as_json:
        plain = {**msgspec.to_builtins(made), "requests_to_send": _requests(made), **as_plain(advice, weights_gb)}
        say_json(msgspec.json.encode(plain))
    else:
        show(advice, weights_gb, _show(made))


def _requests(made: CapacityPlan) -> list[dict[str, object]]:
    """`RequestServiceQuotaIncrease` calls of a Bedrock model, but for the quota's code: `hapenny doctor --quotas` shows
    what the account has."""
    if made.provider != "bedrock":
        return []
    return [
        {"ServiceCode": "bedrock", "QuotaName": f"{name} for {made.model}", "DesiredValue": value}
        for name, value in made.increase.items()
    ]


def _show(made: CapacityPlan) -> Console:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"{made.requests:,} requests over {made.hours:.2f} h for {made.model}; the rate to come is taken as "
        f"{made.expected_growth:.2f} of the trace's.", highlight=False, soft_wrap=True,
    )  # fmt: skip
    table = Table(box=None, title="Need a minute", title_justify="left")
    for name in ("", "p50", "p95", "p99", "most"):
        table.add_column(name, justify="left" if not name else "right")
    for name, spread in (
        ("tokens", made.need.tokens), ("tokens reserved", made.need.reserved), ("requests", made.need.requests)
    ):  # fmt: skip
        table.add_row(name, *(f"{value:,.0f}" for value in (spread.p50, spread.p95, spread.p99, spread.most)))
    console.print(table)
    table = Table(box=None, title="Ways to serve it", title_justify="left")
    table.add_column("")
    table.add_column("$/h", justify="right")
    table.add_column("80 %", justify="right")
    table.add_column("holds")
    table.add_column("why")
    for option in made.options:
        table.add_row(
            option.name, f"{option.usd_per_h:,.2f}", f"{option.low:,.2f}-{option.high:,.2f}",
            "yes" if option.holds else "no", option.why,
        )  # fmt: skip
    console.print(table)
    table = Table(box=None, title="If the traffic changes", title_justify="left")
    table.add_column("")
    table.add_column("$/h", justify="right")
    for name, usd in made.sensitivity.items():
        table.add_row(name, f"{usd:,.2f}")
    console.print(table)
    for request in _requests(made):
        console.print(f"Ask for: {json.dumps(request)}", highlight=False, soft_wrap=True)
    if made.provider != "bedrock":
        for name, value in made.increase.items():
            console.print(f"Ask {made.provider} for: {value:,.0f} {name}", highlight=False, soft_wrap=True)
    for line in made.assumed:
        console.print(f"Note: {line}", highlight=False, soft_wrap=True)
    return console
