"""`hapenny report`: what was saved, by which technique, and how fast the answers were."""

from __future__ import annotations

import contextlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from hapenny.catalog import spoken
from hapenny.console.html.charts import money, seconds, short, shown
from hapenny.core.clock import RealClock
from hapenny.telemetry.summary import Group, Latency, Scope, Summary, summarise

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hapenny.config import Config

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@click.command()
@click.option("-c", "--config", help="Configuration whose ledger is read.")
@click.option("--ledger", "path", help="The ledger file itself.")
@click.option("--since", help="Only the last 24h, 7d, 30m …")
@click.option("--tenant", help="Only this tenant.")
@click.option("--route", help="Only this route.")
@click.option("--feature", help="Only this feature.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; money in nano-dollars, times in seconds.")
@click.option("--html", "html", type=click.Path(dir_okay=False), help="Write a page with plots to this file.")
def report(
    config: str | None,
    path: str | None,
    since: str | None,
    tenant: str | None,
    route: str | None,
    feature: str | None,
    as_json: bool,
    html: str | None,
) -> None:
    """Print the savings waterfall with latency percentiles, from the ledger."""
    played: list[str] = []
    if not path:
        loaded = configuration(config)
        played, path = loaded.simulated, configured(loaded)
    start = RealClock().wall() - span(since) if since else None
    with reading(path):
        summary = summarise(path, Scope(since=start, tenant=tenant, route=route, feature=feature))
    if html is not None:
        from hapenny.console.html.report import page

        Path(html).write_text(page(summary), encoding="utf-8")
    if as_json:
        click.echo(msgspec.json.encode(as_plain(summary) | {"simulated": played}).decode())
        return
    from rich.console import Console

    show(summary, Console())
    from hapenny.cli.printable import say

    asked = {"--since": since, "--tenant": tenant, "--route": route, "--feature": feature}
    if not summary.exchange_rows and any(asked.values()):
        only = " ".join(f"{name} {value}" for name, value in asked.items() if value)
        say(f"No request of this ledger fits {only}. Without that, the report is of all there are.")
    if played:
        say(
            f"Simulated: the models of {', '.join(played)} are played by hapenny. No provider was paid for their "
            "answers; the money is what the price list says."
        )
    if html is not None:
        click.echo(f"\nThe page: {Path(html).resolve()}")


@contextlib.contextmanager
def reading(place: str) -> Iterator[None]:
    """What keeps a ledger from being read, as one line with its fix."""
    try:
        yield
    except FileNotFoundError:
        raise click.ClickException(f"there is no ledger at {place}; name one with --ledger, or serve first") from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def as_plain(summary: Summary) -> dict[str, object]:
    """The summary as one JSON object, with `by_technique` in nano-dollars beside the details."""
    plain: dict[str, object] = msgspec.to_builtins(summary)
    plain["by_technique"] = summary.by_technique
    return plain


def span(text: str) -> float:
    """Seconds of `24h`, `7d`, `90m` …"""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is no span of time; write 30m, 24h, 7d …", param_hint="--since")
    return float(match[1]) * _SECONDS[match[2]]


def show(summary: Summary, console: Console) -> None:
    """Prints the report as tables; names that clients chose are shown as plain text."""
    from hapenny.cli.printable import printable_all
    from hapenny.console.html.report import period

    summary = msgspec.convert(printable_all(msgspec.to_builtins(summary)), Summary)

    console.print(f"\n[bold]hapenny report[/]  [dim]{period(summary)}[/]")
    console.print(
        f"{summary.exchange_rows:,} requests, {summary.errors:,} failed; background work:"
        f" {summary.background_rows:,} rows for {money(summary.background_cost)}\n",
        highlight=False,
    )
    _headline(summary, console)
    console.print(waterfall(summary, console.width))
    console.print("[dim]alone: what would be lost without this one technique, the others as they were[/]")
    _explained(summary, console)
    _checks(summary, console)
    console.print(_latencies(summary))
    if len(summary.tenants) > 1:
        console.print(_groups("tenant", summary.tenants, console.width))
    if summary.features:
        console.print(_groups("feature", summary.features, console.width))
    if summary.models:
        console.print(_groups("model", summary.models, console.width))
    if summary.parts:
        console.print(_prompts(summary))
    if summary.quota_freed:
        console.print(f"answer limits left {summary.quota_freed:,} output tokens of quota unreserved")
    _quality(summary, console)
    for promise in summary.certificates:
        where = promise.route if promise.intent == "unknown" else f"{promise.route}/{promise.intent}"
        console.print(f"certificate of {where}: {promise.certificate} [dim]({promise.requests:,} requests)[/]")
    for audit in summary.audits:
        console.print(
            f"audits of {audit.route}: {audit.audits:,} answers compared with the baseline's, mean loss"
            f" {audit.loss:.4f}, for {money(audit.cost)}"
        )
    if summary.judging:
        spent = ", ".join(f"{shown(each.technique)} {money(each.cost)}" for each in summary.judging)
        console.print(f"evidence, by technique: {spent}")
    if summary.would_save:
        watched = ", ".join(f"{name} {money(nano)}" for name, nano in summary.would_save.items())
        console.print(f"[dim]In shadow, in no sum: {watched}[/]")


def _quality(summary: Summary, console: Console) -> None:
    """What is known of the quality beside the saving: the loss budget, and the holdout."""
    from hapenny.console.html.quality import NOTHING, budget_lines, holdout_lines, known

    if summary.budgets:
        table = _table(
            ("loss budget", "left"), ("state", "left"), ("may lose", "right"), ("at most", "right"), ("seen", "right"),
            ("pairs", "right"), ("acts on", "right"),
        )  # fmt: skip
        table.columns[1].no_wrap = False  # it has words enough for two lines where the others have figures
        for row in budget_lines(summary.budgets):
            table.add_row(*row)
        console.print(table)
    for line in holdout_lines(summary.holdout):
        console.print(line)
    if summary.saved > 0 and not known(summary.holdout, sum(each.audits for each in summary.audits)):
        console.print(NOTHING)


def _headline(summary: Summary, console: Console) -> None:
    """What is on saved, what else would save, and what that takes."""
    from hapenny.console.html.quality import underway

    share = f" ({summary.saved_share:.1%} of {money(summary.baseline)})" if summary.baseline else ""
    total = summary.advised
    more = ""
    if summary.advice:
        more = f"; switch these on: + {money(total.saves)} ± {money((total.high - total.low) // 2)}"
        if total.at_once < total.saves:
            more += f" once evidence bears it, {money(total.at_once)} of it at once"
    console.print(f"on now: saved {money(summary.saved)}{share}{more}", highlight=False)
    for step in summary.advice:
        gain = f"{money(step.saves)} ± {money((step.high - step.low) // 2)} ({step.share:.1%})"
        _wrapped(console, f"  + {'up to ' if step.after else ''}{gain}  ", step.what)
        _wrapped(console, "      seen: ", step.evidence, style="dim")
        _wrapped(console, "      missing: ", step.missing, style="dim")
    if len(summary.advice) > 1:
        console.print("  [dim]they overlap: all together save what stands in the first line[/]")
    for way in summary.underway:
        _wrapped(console, "  on, as evidence bears it: ", underway(way, several=len(summary.routes) > 1))
    console.print()


def _wrapped(console: Console, head: str, text: str, style: str = "") -> None:
    """A line whose continuation stands under its beginning."""
    lines = textwrap.wrap(text, max(30, console.width - 8), initial_indent=head, subsequent_indent=" " * 8)
    for line in lines:
        console.print(line, highlight=False, markup=False, style=style)


def waterfall(summary: Summary, width: int) -> Table:
    """From what it would have cost, technique by technique, to what was paid; `width` in columns of the terminal."""
    figures = ("amount", "of the bill", "alone", "requests")
    table = _table(("", "left"), *((name, "right") for name in figures), ("", "left"))
    room = max(4, min(40, width - 74))
    whole = max(summary.baseline, summary.actual, 1)

    def bar(start: int, end: int, style: str) -> str:
        low, high = sorted((max(0, start), max(0, end)))
        before = round(room * min(low, whole) / whole)
        size = max(1 if high > low else 0, round(room * min(high, whole) / whole) - before)
        return f"{' ' * before}[{style}]{'█' * size}[/]"

    def share(nano: int) -> str:
        return f"{nano / summary.baseline:.1%}" if summary.baseline else "–"

    table.add_row(
        "without hapenny", money(summary.baseline), "100%", "", f"{summary.exchange_rows:,}",
        bar(0, summary.baseline, "bright_black"),
    )  # fmt: skip
    at = summary.baseline
    for technique in summary.techniques:
        style = "green" if technique.saved >= 0 else "red"
        table.add_row(
            f"  {shown(technique.name)}", f"[{style}]{money(-technique.saved, sign=True)}[/]", share(-technique.saved),
            "–" if technique.alone is None else money(-technique.alone, sign=True),
            f"{technique.requests:,}", bar(at, at - technique.saved, style),
        )  # fmt: skip
        at -= technique.saved
    if summary.estimate_error:
        table.add_row("  estimate error", money(-summary.estimate_error, sign=True), share(-summary.estimate_error))
    table.add_row(
        "[bold]really paid[/]", f"[bold]{money(summary.actual)}[/]", share(summary.actual), "", "",
        bar(0, summary.actual, "yellow"),
    )  # fmt: skip
    table.add_row("[bold]saved[/]", f"[bold green]{money(summary.saved)}[/]", f"[bold]{summary.saved_share:.1%}[/]")
    return table


def _explained(summary: Summary, console: Console) -> None:
    """What the techniques of the table are, in plain words."""
    from hapenny.console.html.words import words

    for technique in summary.techniques:
        if words(technique.name):
            _wrapped(console, f"  {shown(technique.name)}: ", words(technique.name), style="dim")


def _checks(summary: Summary, console: Console) -> None:
    if summary.identity_violations:
        console.print(f"[bold red]{summary.identity_violations:,} rows do not add up[/]")
    else:
        console.print("[green]every row adds up to the nano-dollar[/]")
    console.print(
        f"[dim]estimates off by {summary.estimate_error_share:.2%}; {summary.unpriced_rows:,} unpriced,"
        f" {summary.estimated_rows:,} with estimated usage[/]\n"
    )


def _latencies(summary: Summary) -> Table:
    table = _table(("latency", "left"), ("n", "right"), *((f"p{p}", "right") for p in (50, 90, 95, 99)))
    for name, latency in (("first content", summary.ttft), ("whole answer", summary.e2e)):
        table.add_row(name, f"{latency.count:,}", *_times(latency))
    return table


def _times(latency: Latency) -> list[str]:
    return ["–" if value is None else seconds(value) for value in (latency.p50, latency.p90, latency.p95, latency.p99)]


def _groups(name: str, groups: list[Group], width: int) -> Table:
    said = [spoken(group.name) for group in groups]
    # Where there is little room: the share can be read off the two amounts before it, and of background work and times
    # only one is told, background work where there is any.
    narrow, paid_beside = width < 92, any(group.background for group in groups)
    left_out = {"share", "first p95" if paid_beside else "background"} if narrow else set()
    heads = ("requests", "without", "saved", "paid", "background", "share", "first p95")
    names, rows = [], [tuple(head for head in heads if head not in left_out)]
    for group, brief in zip(groups[:12], said, strict=False):
        share = f"{group.saved / group.baseline:.1%}" if group.baseline else "–"
        first = "–" if group.ttft_p95 is None else seconds(group.ttft_p95)
        beside = money(group.background) if group.background else "–"
        amounts = (money(group.baseline), money(group.saved), money(group.actual), beside)
        names.append(brief if said.count(brief) == 1 else group.name)
        cells = zip(heads, (f"{group.requests:,}", *amounts, share, first), strict=True)
        rows.append(tuple(cell for head, cell in cells if head not in left_out))
    figures = sum(max(map(len, column)) + 3 for column in zip(*rows, strict=True))
    room = max(12, width - figures - 2)  # the figures are read whole, a long name is cut in its middle
    table = _table((name, "left"), *((title, "right") for title in rows[0]))
    from rich.markup import escape

    for label, row in zip(names, rows[1:], strict=True):
        table.add_row(escape(short(label, room)), *row)
    return table


def _prompts(summary: Summary) -> Table:
    """Prompt tokens by part, in all and by tenant, feature and model where there are several."""
    from rich.markup import escape

    parts = list(summary.parts)
    table = _table(("estimated tokens", "left"), *((part, "right") for part in parts), ("in all", "right"))

    def add(name: str, by_part: dict[str, int]) -> None:
        figures = [rounded(by_part[part]) if part in by_part else "–" for part in parts]
        table.add_row(name, *figures, rounded(sum(by_part.values())))

    add("all", summary.parts)
    for dimension, groups in summary.prompts.items():
        if len(groups) > 1:
            for name, by_part in list(groups.items())[:8]:
                add(escape(short(f"{dimension} {spoken(name)}", 27)), by_part)
    return table


def rounded(count: int) -> str:
    """A number of tokens in at most five characters."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 10 * size:
            return f"{count / size:,.0f}{unit}"
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def _table(*columns: tuple[str, str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for name, justify in columns:
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=bool(name))
    return table


def configured(config: str | Config | None) -> str:
    """The ledger's file of a configuration, or of the one at a path. Raises `ClickException` where it keeps none."""
    loaded = configuration(config) if config is None or isinstance(config, str) else config
    options = loaded.ledger
    if options is None:
        raise click.ClickException("this configuration keeps no ledger; name a file with --ledger")
    return options.path


def configuration(path: str | None) -> Config:
    """The configuration at a path; None: the usual one. Raises `ClickException` where it is wrong."""
    from hapenny.config import ConfigError, load

    try:
        return load(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
