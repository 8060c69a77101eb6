"""`hapenny profile`: where time and money go, whether model, retrieval, processing, queue or network is the bottleneck,
and whether connections are as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from hapenny.cli.printable import printable, say, say_json
from hapenny.console.html.charts import money, seconds, short
from hapenny.core.clock import RealClock

if TYPE_CHECKING:
    from rich.console import Console

    from hapenny.config import Config
    from hapenny.studies.connection_checks import Check
    from hapenny.telemetry.searched import Line


@click.command()
@click.option("-c", "--config", help="Configuration: its ledger, and the connections it sets.")
@click.option("--ledger", "path", help="The ledger file itself.")
@click.option("--since", default="24h", show_default=True, help="Only the last 24h, 7d, 30m …")
@click.option("--tenant", help="Only this tenant.")
@click.option("--route", help="Only this route.")
@click.option("--feature", help="Only this feature.")
@click.option("--most", default=5, show_default=True, type=click.IntRange(1, 50), help="Requests in each list.")
@click.option("--probe", is_flag=True, help="Open connections to the providers and time them; nothing is asked there.")
@click.option("--url", default="", help="A running gateway: how its connections fare.")
@click.option("--key", envvar="HAPENNY_KEY", default="", help="With --url: a hapenny key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; money in nano-dollars, times in seconds.")
def profile(
    config: str | None,
    path: str | None,
    since: str,
    tenant: str | None,
    route: str | None,
    feature: str | None,
    most: int,
    probe: bool,
    url: str,
    key: str,
    as_json: bool,
) -> None:
    """Say where requests spend time and money, what the bottleneck is, and what to do about it."""
    from hapenny.cli.report import configuration, configured, reading, span
    from hapenny.telemetry.figures import Scope
    from hapenny.telemetry.rolled import Rolled

    loaded = configuration(config) if config is not None else None
    place = path or configured(loaded)
    with reading(place):
        rolled = Rolled(place)
    scope = Scope(since=RealClock().wall() - span(since), tenant=tenant, route=route, feature=feature)
    try:
        spending = looked(rolled, scope, most)
    finally:
        rolled.close()
    checks = _checks(loaded, spending, probe, url, key)
    if as_json:
        say_json(msgspec.json.encode({**spending, "checks": checks}).decode())
        return
    from rich.console import Console

    show(spending, checks, since, Console())


def looked(rolled: Any, scope: Any, most: int) -> dict[str, Any]:
    """Everything that the ledger tells, as one object."""
    from hapenny.console.budgeted import budgeted
    from hapenny.telemetry import sampled, searched
    from hapenny.telemetry.bottleneck import bottleneck

    with rolled.look():
        totals = rolled.totals(scope)
        calls = rolled.calls(scope)
        spending = sampled.spending(rolled.connection, scope)
        connecting, opened = sampled.connecting(rolled.connection, scope)
        verdict = bottleneck(spending, calls, connecting)
        slow = searched.by_number(rolled.connection, rolled.peaks(scope, "slow", 100), scope)[:most]
        dear = searched.by_number(rolled.connection, rolled.peaks(scope, "costly", 100), scope)[:most]
        budget = budgeted(rolled.connection, scope)
        features = rolled.groups(scope, "feature", most)
        busiest = sampled.busiest(rolled.connection, scope)
    searching = {name: told for name, told in spending.stages.items() if name in ("retrieval", "semantic")}
    return {
        "requests": totals.requests, "paid": totals.actual, "saved": totals.saved, "failed": totals.failed,
        "ttft": totals.ttft, "e2e": totals.e2e, "verdict": verdict, "overhead": spending.overhead,
        "stages": spending.stages, "vector_queries": searching, "budget": budget, "slowest": slow, "dearest": dear,
        "features": [{"name": group.name, "requests": group.totals.requests, "paid": group.totals.actual}
                     for group in features],
        "calls": calls, "connections_opened": opened, "calls_at_once": busiest,
        "prompt_p95": sampled.prompt_p95(rolled.connection, scope),
    }  # fmt: skip


def _checks(config: Config | None, spending: dict[str, Any], probe: bool, url: str, key: str) -> list[Check]:
    from hapenny.studies import connection_checks as checking

    checks = checking.calls(spending["calls"], spending["requests"], spending["prompt_p95"])
    if url:
        from hapenny.cli.cache import call_gateway

        told = call_gateway((url.rstrip("/"), key), "GET", "/v1/throughput")
        checks += checking.pools(told.get("connections", {}))
    if config is None:
        if probe:
            raise click.UsageError("--probe needs -c: whom to connect to")
        return checks
    checks += checking.settings(config, spending["calls_at_once"])
    if probe:
        for name, place in checking.hosts(config).items():
            try:
                checks += checking.probed(name, checking.probe(place, RealClock()))
            except OSError as error:
                checks.append(
                    checking.Check(
                        name=f"{name}: connection",
                        now=f"none ({error})",
                        wanted="one",
                        state="bad",
                        fix=f"is {place} right, and may this machine reach it?",
                    )
                )
    return checks


def _helps(fix: str) -> None:
    import textwrap

    say(textwrap.fill(f"what helps: {fix}", 80, initial_indent="  ", subsequent_indent="    "))


def show(spending: dict[str, Any], checks: list[Check], since: str, console: Console) -> None:
    """Prints the profile; names that clients chose are shown as plain text."""
    sums = f"{money(spending['paid'])} paid, {money(spending['saved'])} saved"
    say(f"{spending['requests']:,} requests in {since}: {sums}, {spending['failed']:,} failed")
    if not spending["requests"]:
        say("nothing arrived. Fix: a longer --since, or serve first")
    verdict = spending["verdict"]
    rows: list[tuple[str, ...]]
    if verdict.worst is not None:
        say(f"\nbottleneck: {verdict.worst.name}, {verdict.worst.share:.0%} of a request's time")
        say(f"  {verdict.worst.about}")
        _helps(verdict.worst.fix)
        rows = [("where time goes", "mean", "share")]
        rows += [(part.name, seconds(part.seconds), f"{part.share:.1%}") for part in verdict.parts if part.seconds > 0]
        _columns(rows)
    if spending["overhead"] is not None:
        over = spending["overhead"]
        say(f"\nour own overhead: p50 {seconds(over.p50)}, p95 {seconds(over.p95)}, p99 {seconds(over.p99)}")
    if spending["stages"]:
        rows = [("stage", "p50", "p95", "p99")]
        for name, each in sorted(spending["stages"].items(), key=lambda item: -item[1].p95)[:8]:
            rows.append((name, seconds(each.p50), seconds(each.p95), seconds(each.p99)))
        _columns(rows)
    if spending["vector_queries"]:
        say("\nvector queries")
        for name, each in spending["vector_queries"].items():
            say(f"  {name}: {each.count:,} of the newest requests, p50 {seconds(each.p50)}, p95 {seconds(each.p95)}")
        _helps("hapenny index tune, fewer candidates (stages.retrieval.candidates), an int8 index")
    for title, name in (("slowest requests", "slowest"), ("dearest requests", "dearest")):
        if spending[name]:
            say(f"\n{title}")
            _columns([("id", "whole", "paid", "answered by", "feature"), *(_line(each) for each in spending[name])])
    if spending["features"]:
        say("\ntop costs by feature")
        _columns([("feature", "requests", "paid"), *(
            (short(printable(each["name"]), 30) or "(none)", f"{each['requests']:,}", money(each["paid"]))
            for each in spending["features"]
        )])  # fmt: skip
    if checks:
        say("\nconnections and calls")
        for each in checks:
            mark = {"good": "ok     ", "differs": "differs", "bad": "BAD    ", "unknown": "unknown"}[each.state]
            say(f"  {mark} {each.name}: {each.now} (wanted: {each.wanted})")
            if each.measured and each.state != "good":
                say(f"          measured: {each.measured}")
            if each.fix:
                say(f"          fix: {each.fix}")


def _line(each: Line) -> tuple[str, ...]:
    by = f"{each.cache_layer} cache" if each.cache_hit else each.model_served or each.failure or "nobody"
    whole = "–" if each.e2e is None else seconds(each.e2e)
    paid = "–" if each.actual is None else money(each.actual)
    return (printable(each.id), whole, paid, short(printable(by), 28), short(printable(each.feature), 18))


def _columns(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
