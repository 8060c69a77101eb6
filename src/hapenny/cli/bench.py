"""`hapenny bench`: how fast a server answers under load, and whether another one is faster."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hapenny.cli.printable import say, say_json

if TYPE_CHECKING:
    from hapenny.simulation.workload.trace import Arrival
    from hapenny.studies.loadtest.plan import Planned
    from hapenny.studies.loadtest.sender import Sent

DIALECTS = ("openai", "anthropic", "bedrock")
_ROUNDS = 4
"""Two servers are asked in turn, in so many parts, so that both meet the same hours of the machine."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _objective(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    from hapenny.studies.loadtest.figures import OBJECTIVES

    short = {"ttft": "time_to_first_token", "itl": "inter_token_latency", "e2e": "request_latency"}
    bounds = {}
    for value in values:
        name, _, number = value.partition("=")
        name = short.get(name, name)
        try:
            bounds[name] = float(number)
        except ValueError:
            name = ""
        if name not in OBJECTIVES or bounds.get(name, 0) <= 0:
            raise click.BadParameter(f"{value!r}: e.g. ttft=1500, itl=50 or e2e=3000, milliseconds")
    return bounds


@click.command()
@click.argument("url")
@click.argument("other", required=False)
@click.option("--url", "more", hidden=True, multiple=True)
@click.option("--model", default="auto", show_default=True, help="The model that is asked for.")
@click.option("--dialect", type=click.Choice(DIALECTS), default="openai", show_default=True)
@click.option("--key", envvar="HAPENNY_BENCH_KEY", help="A key for the server; better in HAPENNY_BENCH_KEY.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Requests a second (open loop).")
@click.option("--concurrency", type=click.IntRange(min=1), help="Callers who send one after the other (closed loop).")
@click.option("--trace", type=_FILE, help="CSV of arrivals: timestamp_s, input_tokens, output_tokens.")
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="Of a trace."
)
@click.option("--requests", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--prompts", type=_FILE, help="JSON lines: prompt, system.")
@click.option("--input-tokens", type=click.IntRange(min=1), default=512, show_default=True, help="Of made-up prompts.")
@click.option("--output-tokens", type=click.IntRange(min=1), default=128, show_default=True, help="At most.")
@click.option("--slo", "objectives", multiple=True, callback=_objective, metavar="NAME=MS", help="ttft, itl or e2e.")
@click.option("--whole", is_flag=True, help="Asks for answers that are not streamed.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=120.0, show_default=True, help="Seconds for an answer."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def bench(
    url: str, other: str | None, more: tuple[str, ...], model: str, dialect: str, key: str | None, rate: float | None,
    concurrency: int | None, trace: Path | None, speed: float, requests: int, prompts: Path | None, input_tokens: int,
    output_tokens: int, objectives: dict[str, float], whole: bool, timeout: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Sends requests to the server at URL and tells its times, throughput, errors and list price.

    With a second URL both get the same requests, in turn, and are compared with 95 % intervals.

    \b
    hapenny bench http://127.0.0.1:8790 --rate 5 --slo ttft=1500 --slo e2e=3000
    hapenny bench http://127.0.0.1:8790 http://127.0.0.1:8000 --model NAME
    """
    from hapenny.core.clock import RealClock
    from hapenny.simulation.workload.trace import from_csv
    from hapenny.studies.loadtest.plan import plan, prompts_of

    if sum(each is not None for each in (rate, concurrency, trace)) > 1:
        raise click.UsageError("give one of --rate, --concurrency and --trace")
    urls = [each for each in (url, other, *more) if each]
    if len(urls) > 2:
        raise click.UsageError("one URL, or two to compare")
    for each in urls:
        if not each.startswith(("http://", "https://")):
            raise click.BadParameter(f"{each!r} is no URL. Fix: e.g. http://127.0.0.1:8790", param_hint="URL")
    try:
        arrivals: list[Arrival] = from_csv(trace) if trace is not None else []
        asked = prompts_of(prompts) if prompts is not None else []
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from None
    planned = plan(
        requests, RealClock(seed), rate=rate, trace=arrivals, speed=speed, prompts=asked, input_tokens=input_tokens,
        output_tokens=output_tokens,
    )  # fmt: skip
    failed = False
    runs = asyncio.run(_run(urls, planned, model, dialect, key, concurrency or 1, not whole, timeout))
    reports = _reports(urls, runs, objectives, model)
    if as_json:
        say_json(json.dumps(reports if len(urls) > 1 else reports["systems"][urls[0]]))
    else:
        _show(reports)
    for each, run in zip(urls, runs, strict=True):
        if all(sent.error for sent in run):
            say(f"{each} answered nothing: {run[0].why or run[0].error}", err=True)
            failed = True
    if failed:
        sys.exit(1)


async def _run(
    urls: Sequence[str], planned: Sequence[Planned], model: str, dialect: str, key: str | None, callers: int,
    stream: bool, timeout: float,
) -> list[list[Sent]]:  # fmt: skip
    from msgspec.structs import replace

    from hapenny.backends.kinds import KINDS
    from hapenny.core.clock import RealClock
    from hapenny.studies.loadtest.sender import Sender

    clock = RealClock()
    runs: list[list[Sent]] = [[] for _ in urls]
    done = 0

    def watch(sent: Sent) -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {len(planned) * len(urls)} answered", nl=False, err=True)

    senders = []
    for url in urls:
        kind = KINDS[dialect]
        base = url.rstrip("/")
        if dialect == "openai" and not base.endswith("/v1"):
            base += "/v1"
        options = kind.options(base_url=base, api_key=key or "none", connections=10_000, idle_s=timeout)  # type: ignore[call-arg]
        senders.append(
            Sender(kind.build("bench", options, clock, None), model, clock, stream=stream, timeout_s=timeout)
        )
    rounds = _ROUNDS if len(urls) > 1 else 1
    size = -(-len(planned) // rounds)
    try:
        for start in range(0, len(planned), size):
            part = planned[start : start + size]
            first = part[0].at
            if first is not None:
                part = [replace(each, at=(each.at or 0.0) - first) for each in part]
            for place, sender in enumerate(senders):
                offset = max((each.at + (each.whole or 0.0) for each in runs[place]), default=0.0)
                sent = await sender.run(part, callers=callers, watch=watch)
                runs[place] += [replace(each, at=each.at + offset) for each in sent]
    finally:
        if sys.stderr.isatty():
            click.echo("\r\033[K", nl=False, err=True)
        for sender in senders:
            await sender.aclose()
    return runs


def _reports(
    urls: Sequence[str], runs: Sequence[Sequence[Sent]], objectives: dict[str, float], model: str
) -> dict[str, Any]:
    from hapenny.catalog import resolve
    from hapenny.studies.loadtest.figures import against, report

    card = resolve(model)
    names = [url if url not in urls[:place] else f"{url} (again)" for place, url in enumerate(urls)]
    systems = {name: report(run, objectives, card) for name, run in zip(names, runs, strict=True)}
    return {"systems": systems, **({"compared": against(runs[0], runs[1])} if len(urls) > 1 else {})}


def _show(reports: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for url, figures in reports["systems"].items():
        table = Table(title=url, title_justify="left", box=None)
        table.add_column("")
        for name in ("mean", "p50", "p95", "p99"):
            table.add_column(name, justify="right")
        for name, unit in (
            ("time_to_first_token", "ms"), ("inter_token_latency", "ms"), ("request_latency", "ms"),
            ("input_sequence_length", "tokens"), ("output_sequence_length", "tokens"),
        ):  # fmt: skip
            block = figures[name]
            cells = (
                [f"{block[key]:,.1f}" if block["count"] else "-" for key in ("avg", "p50", "p95", "p99")]
                if block["count"]
                else ["-"] * 4
            )
            table.add_row(f"{name.replace('_', ' ')}, {unit}", *cells)
        if figures["request_count"]["avg"]:
            console.print(table)
        else:
            console.print(url, highlight=False, markup=False)
        good, bad = figures["request_count"]["avg"], figures["error_request_count"]["avg"]
        console.print(
            f"{good} answers in {figures['benchmark_duration']['avg']:.1f} s: "
            f"{figures['request_throughput']['avg']:.2f} a second, "
            f"{figures['output_token_throughput']['avg']:.0f} tokens a second; {bad} errors"
            + (f" ({', '.join(f'{kind} {count}' for kind, count in figures['errors'].items())})" if bad else ""),
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        if "goodput" in figures:
            bounds = ", ".join(
                f"{name.replace('_', ' ')} {each['avg']:g} ms" for name, each in figures["objectives"].items()
            )
            console.print(
                f"goodput {figures['goodput']['avg']:.2f} a second, {figures['good_request_share']['avg']:.1%} of all "
                f"requests within {bounds}", highlight=False, soft_wrap=True,
            )  # fmt: skip
        if "cost" in figures:
            console.print(f"list price {figures['cost']['avg']:.6f} $", highlight=False)
        console.print()
    for name, row in reports.get("compared", {}).items():
        parts = [
            f"{q} {each['ratio']:.2f}x [{each['ci95'][0]:.2f}, {each['ci95'][1]:.2f}]{_verdict(*each['ci95'])}"
            for q, each in row.items()
        ]
        console.print(
            f"first against second, {name.replace('_', ' ')}: {'; '.join(parts)}", highlight=False, soft_wrap=True
        )


def _verdict(low: float, high: float) -> str:
    """What an interval of a ratio of times says of the first server."""
    return " slower" if low > 1 else " faster" if high < 1 else " (not told apart)"
