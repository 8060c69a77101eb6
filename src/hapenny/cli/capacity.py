"""`hapenny capacity`: how much of each place's quota is used, when it runs out, and what is in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hapenny.cli.printable import printable, say, say_json

if TYPE_CHECKING:
    from rich.console import Console

    from hapenny.capacity.utilisation import Limits, Pattern, PlaceUse, Utilisation


@click.command()
@click.option("-c", "--config", help="Configuration whose ledger and quotas are read.")
@click.option("--ledger", "path", help="The ledger file itself.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="Only the last so many of the ledger.")
@click.option("--quota", "quotas", multiple=True, metavar="MODEL=TPM[/RPM]", help="A quota that nobody configured.")
@click.option("--url", default="", help="A running gateway, to compare with what it counts as in flight.")
@click.option("--key", envvar="HAPENNY_KEY", default="", help="A key of it; HAPENNY_KEY by default.")
@click.option("--json", "as_json", is_flag=True)
def capacity(
    config: str | None, path: str | None, hours: float | None, quotas: tuple[str, ...], url: str, key: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Use of quotas by model, region and tier, when they run out at the present trend, calls in flight by the books
    and in the gateway, and prompts by intent and hour.

    \b
    hapenny capacity --ledger ledger.db --quota MODEL=400000/1000
    hapenny capacity -c hapenny.yaml --url http://127.0.0.1:8790
    """
    import msgspec

    from hapenny.capacity.utilisation import utilisation
    from hapenny.cli.report import configured
    from hapenny.config import load
    from hapenny.throughput.options import THROUGHPUT_STAGE
    from hapenny.throughput.place_limits import burndown, in_flight, place_limits

    live: list[dict[str, Any]] = []
    if url:
        from hapenny.cli.cache import call_gateway

        live = call_gateway((url.rstrip("/"), key), "GET", "/v1/throughput").get("utilisation", [])
    try:
        loaded = load(config) if config is not None else None
        limits = place_limits(loaded.stages[THROUGHPUT_STAGE] if loaded is not None else None, _stated(quotas), live)
        used = utilisation(
            path or configured(loaded), limits, hours=hours, burndown=burndown, seen=in_flight(live),
            recent_s=live[0]["little_s"] if live else None,
        )  # fmt: skip
    except (ValueError, OSError) as error:
        raise click.ClickException(printable(str(error))) from None
    if as_json:
        say_json(msgspec.json.encode({**msgspec.to_builtins(used), "gateway": live}))
    else:
        _show(used, live)


def _stated(quotas: tuple[str, ...]) -> dict[str, Limits]:
    from hapenny.capacity.utilisation import Limits

    stated = {}
    for each in quotas:
        model, _, amounts = each.rpartition("=")
        tokens, _, requests = amounts.partition("/")
        try:
            limits = Limits(tokens=float(tokens), requests=float(requests) if requests else None)
            if not model or not (limits.tokens or 0) > 0 or (requests and not (limits.requests or 0) > 0):
                raise ValueError
        except ValueError:
            raise click.UsageError(f"--quota {printable(each)}: give MODEL=TPM or MODEL=TPM/RPM") from None
        stated[model] = limits
    return stated


def _show(used: Utilisation, live: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    hours = (used.until - used.since) / 3600
    cut = "" if used.complete else "; older calls were left out"
    say(f"{sum(each.calls for each in used.places):,} calls over {hours:.2f} h; {used.turned_away:,} requests were "
        f"turned away for lack of capacity{cut}.")  # fmt: skip
    table = Table(box=None, title="Places", title_justify="left")
    table.add_column("")
    for name in ("tokens/min p50", "p95", "most", "quota", "used p95", "most", "in flight", "waited p95", "throttled"):
        table.add_column(name, justify="right")
    for each in used.places:
        tokens, quota = each.tokens_a_minute, each.limits.tokens
        table.add_row(
            _name(each), f"{tokens.p50:,.0f}", f"{tokens.p95:,.0f}", f"{tokens.most:,.0f}",
            f"{quota:,.0f}" if quota else "not known", _share(each.used_p95), _share(each.used_most),
            f"{each.in_flight_tokens:,.0f} tok", f"{each.waited_p95_s:.2f} s", f"{each.throttled:,}",
        )  # fmt: skip
    console.print(table)
    for each in used.places:
        _tell(each)
    _patterns(console, "By intent", used.by_intent)
    _patterns(console, "By hour of the day (UTC)", used.by_hour)
    for row in live:
        alerts = f"; alerts: {', '.join(row['alerting'])}" if row["alerting"] else ""
        say(printable(f"now: {row['model']} ({row['endpoint']}): {row['in_flight']} calls and "
                      f"{row['in_flight_tokens']:,.0f} tokens in flight, {_share(row['used'])} of the quota in the "
                      f"last minute{alerts}"))  # fmt: skip


def _tell(each: PlaceUse) -> None:
    little = each.little
    line = (f"{_name(each)}: {little.calls_per_s:.3g} calls/s x {little.seconds_a_call:.3g} s = "
            f"{little.expected:.3g} in flight by the books")  # fmt: skip
    if little.seen is not None:
        line += f", {little.seen:.3g} in the gateway: " + ("they agree" if little.agrees else "they DISAGREE")
    say(printable(line))
    if each.outlook is None:
        say("  forecast: none, as the quota is not known (--quota, or -c with stages.throughput.models.NAME.quota)")
        return
    left = each.outlook.runs_out_in_s
    if left is None:
        verdict = "does not run out at the present trend, as far as can be told"
    elif left <= 0:
        verdict = "is reached in the busy minutes"
    else:
        latest = each.outlook.latest_s
        until = _in(latest) if latest is not None else "beyond what can be told"
        verdict = f"runs out in {_in(left)} ({_in(each.outlook.soonest_s or 0.0)} to {until})"
    say(f"  the quota {verdict}. Stands on: {each.outlook.stands_on}")


def _patterns(console: Console, title: str, patterns: list[Pattern]) -> None:
    from rich.table import Table

    table = Table(box=None, title=title, title_justify="left")
    table.add_column("")
    for name in ("requests", "prompt p50", "p95", "answer p50", "p95", "of tokens"):
        table.add_column(name, justify="right")
    for each in patterns[:24]:
        table.add_row(
            printable(each.name), f"{each.requests:,}", f"{each.prompt_p50:,.0f}", f"{each.prompt_p95:,.0f}",
            f"{each.output_p50:,.0f}", f"{each.output_p95:,.0f}", _share(each.share_of_tokens),
        )  # fmt: skip
    console.print(table)


def _name(each: PlaceUse) -> str:
    return printable(" ".join(word for word in (each.model, each.region, each.service_tier) if word))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _in(seconds: float) -> str:
    if seconds >= 172_800:
        return f"{seconds / 86_400:.1f} days"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
