"""`hapenny whatif`: what configurations would have done with logged traffic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hapenny.cli.printable import printable, say, say_json

if TYPE_CHECKING:
    from hapenny.studies.whatif import Outcome, Span

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--log", type=_FILE, required=True, help="A ledger, or a CSV trace.")
@click.option("-c", "--config", "files", type=_FILE, multiple=True, required=True, help="A configuration; several.")
@click.option("--from", "since", help="Only requests from this time on (UTC): 2026-11-30 or 2026-11-30T17:00.")
@click.option("--to", "until", help="Only requests before this time.")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--route", help="Only this route's.")
@click.option("--feature", help="Only this feature's.")
@click.option("--requests", "most", type=click.IntRange(min=1), default=20_000, show_default=True,
              help="The newest so many at most.")  # fmt: skip
@click.option("--progress", is_flag=True, help="Say on standard error how far it is.")
@click.option("--json", "as_json", is_flag=True)
def whatif(
    log: Path, files: tuple[Path, ...], since: str | None, until: str | None, tenant: str | None, route: str | None,
    feature: str | None, most: int, progress: bool, as_json: bool,
) -> None:  # fmt: skip
    """Replays logged traffic through configurations, side by side; no model is called.

    \b
    hapenny whatif --log ledger.db -c now.yaml -c new.yaml
    """
    import msgspec

    from hapenny.config import load
    from hapenny.config.problems import ConfigError
    from hapenny.studies.traffic_log import read
    from hapenny.studies.whatif import cheaper, compare, settled
    from hapenny.telemetry.figures import Scope

    scope = Scope(
        since=_moment(since, "--from"), until=_moment(until, "--to"), tenant=tenant, route=route, feature=feature
    )
    try:
        configs = {str(path): load(str(path)) for path in files}
        outcomes = compare(read(log, scope, most), configs, _progress if progress else lambda share: None)
    except (ValueError, OSError, ConfigError) as error:
        raise click.ClickException(printable(str(error))) from None
    left = {name: settled(config)[1] for name, config in configs.items()}
    first = next(iter(outcomes.values()))
    less = {name: cheaper(each, first) for name, each in outcomes.items()}
    if as_json:
        shown = {
            name: {**msgspec.to_builtins(each), "left_out": left[name], "cheaper_usd": less[name][0],
                   "cheaper_interval_usd": msgspec.to_builtins(less[name][1])}
            for name, each in outcomes.items()
        }  # fmt: skip
        say_json(msgspec.json.encode(shown))
    else:
        _show(outcomes, left, {name: _less(*each) for name, each in less.items()})


def _moment(text: str | None, option: str) -> float | None:
    from hapenny.console.place import moment

    known = moment(text) if text is not None else None
    if text is not None and known is None:
        raise click.UsageError(f"{option} {printable(text)}: write 2026-11-30 or 2026-11-30T17:00 (UTC)")
    return known


def _progress(share: float) -> None:
    say(f"{share:.0%}", err=True)


def _less(usd: float, span: Span) -> str:
    return f"${usd:,.4f} (${span.low:,.4f} to ${span.high:,.4f})" if usd or span.high else "-"


def _show(outcomes: dict[str, Outcome], left: dict[str, list[str]], less: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None)
    table.add_column("")
    for name in outcomes:
        table.add_column(Path(name).name, justify="right")
    lines: dict[str, Callable[[Outcome], str]] = {
        "requests": lambda each: f"{each.requests:,}",
        "paid": lambda each: f"${each.paid_usd:,.4f}",
        "saved of the baseline": lambda each: _span(each.saved_share.low, each.saved_share.high),
        "  from hour to hour (95 %)": lambda each: _span(each.sampled.low, each.sampled.high),
        "answered by a cache": lambda each: f"{each.answered_by_cache:.1%}",
        "turned away": lambda each: f"{each.turned_away:.1%}",
        "first token p50 / p95": lambda each: f"{each.first_p50_s:.2f} / {each.first_p95_s:.2f} s",
        "whole answer p50 / p95": lambda each: f"{each.whole_p50_s:.2f} / {each.whole_p95_s:.2f} s",
        "waited for a quota p95": lambda each: f"{each.queued_p95_s:.2f} s",
    }
    for label, show in lines.items():
        table.add_row(label, *(show(each) for each in outcomes.values()))
    if len(outcomes) > 1:
        table.add_row("cheaper than the first", *less.values())
    for name in sorted({name for each in outcomes.values() for name in each.by_technique_usd}):
        table.add_row(f"  {name}", *(f"${each.by_technique_usd.get(name, 0.0):,.4f}" for each in outcomes.values()))
    console.print(table)
    for name, each in outcomes.items():
        if each.watched_usd:
            console.print(f"{Path(name).name}: the interval is what {', '.join(each.watched_usd)} noted in the log.")
        if each.unknown_pace:
            console.print(f"{Path(name).name}: {each.unknown_pace:.0%} of calls go to models the log has no times of.")
        if left[name]:
            console.print(f"{Path(name).name}: not replayed, since it hangs on text: {', '.join(left[name])}.")


def _span(low: float, high: float) -> str:
    return f"{low:.1%}" if high - low < 0.0005 else f"{low:.1%} to {high:.1%}"
