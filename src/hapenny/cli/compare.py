"""`hapenny compare`: quality score, cost, latency and price to performance of models on the same prompts."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from hapenny.cli.printable import printable, say, say_json
from hapenny.cli.train import lines
from hapenny.core.clock import RealClock

if TYPE_CHECKING:
    from hapenny.gateway.gateway import Gateway
    from hapenny.routing.performance import Outcomes, Rating, Standing

JUDGES = ("auto", "exact", "numeric", "schema", "llm")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Prompt(Struct, kw_only=True):
    """One line of a prompts file. `json_schema` is what a structured answer must look like."""

    prompt: str
    reference: str | None = None
    system: str | None = None
    json_schema: dict[str, Any] | None = None


@click.command()
@click.option("--models", help="Models, tiers, aliases or prompt-router ARNs, comma-separated.")
@click.option("--prompts", type=_FILE, help="JSON lines: prompt, reference, system, json_schema.")
@click.option("--outcomes", type=_FILE, help="Instead: JSON lines of logged outcomes (score, cost, latency).")
@click.option("--judge", type=click.Choice(JUDGES), default="auto", show_default=True)
@click.option("--judge-model", default="strong", show_default=True, help="Who judges with --judge llm.")
@click.option(
    "--fixed", multiple=True, metavar="MODEL=DOLLARS", help="A month's fixed cost (training, hosting, index)."
)
@click.option("-c", "--config", help="Configuration to ask through; simulated models without.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write cost against quality as SVG.")
@click.option("--json", "as_json", is_flag=True)
def compare(
    models: str | None,
    prompts: Path | None,
    outcomes: Path | None,
    judge: str,
    judge_model: str,
    fixed: tuple[str, ...],
    config: str | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Compare models: quality score / cost per prompt, with an interval, and who is on the Pareto front.

    Outcomes that several evaluators scored (`hapenny experiment import-evaluations`, docs/routing.md) get a column for
    each of them too.
    """
    from hapenny.config import ConfigError
    from hapenny.routing.pareto import dominated
    from hapenny.routing.performance import break_even, standings

    wanted = [name.strip() for name in (models or "").split(",") if name.strip()]
    rated: dict[str, dict[str, Rating]] = {}
    unpriced: list[str] = []
    try:
        if outcomes is not None:
            by_model, rated, unpriced = _logged(outcomes, wanted)
        elif prompts is not None and wanted:
            rows = [msgspec.json.decode(line, type=Prompt) for line in lines(prompts)]
            by_model = asyncio.run(_ask_all(config, wanted, rows, judge, judge_model))
        else:
            raise click.UsageError("give --models and --prompts, or --outcomes")
        table = standings(by_model)
        monthly = {name: float(value) for name, _, value in (one.rpartition("=") for one in fixed)}
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    except (ValueError, msgspec.DecodeError) as error:
        raise click.ClickException(str(error)) from None
    by_name = {line.model: line for line in table}
    points: list[dict[str, Any]] = []
    for first in monthly:
        for second in monthly:
            if first != second and first in by_name and second in by_name:
                volume = break_even(monthly[first], by_name[first].cost, monthly[second], by_name[second].cost)
                points.append({"cheaper": first, "than": second, "from_requests_a_month": volume})
    beaten = dominated({n: f.quality for n, f in by_model.items()}, {n: by_name[n].cost for n in by_model})
    if plot is not None:
        from hapenny.console.html.evidence_charts import pareto

        marks = [(line.model, line.cost, line.quality, line.pareto) for line in table]
        plot.write_text(pareto(marks, "cost against quality"), encoding="utf-8")
    if as_json:
        plain = [{k: _finite(v) for k, v in msgspec.to_builtins(line).items()} for line in table]
        for row in plain:
            row["evaluators"] = msgspec.to_builtins(rated.get(row["model"], {}))
        more = {"break_even": points, "dominated": msgspec.to_builtins(beaten), "without_cost": unpriced}
        say_json(json.dumps({"models": plain, **more}))
        return
    _print(table)
    _print_evaluators(table, rated)
    for name in unpriced:
        say(f"{name} is left out: its outcomes have scores but no cost")
    for one in beaten:
        say(f"{one.model} is dominated by {one.by}: {one.gap:.3f} worse at {one.cost_ratio:.1f} times the cost")
    for point in points:
        least = point["from_requests_a_month"]
        said = "never" if least is None else f"from {least:,.0f} requests a month"
        say(f"{point['cheaper']} is cheaper than {point['than']}: {said}")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _logged(path: Path, wanted: list[str]) -> tuple[dict[str, Outcomes], dict[str, dict[str, Rating]], list[str]]:
    """Outcomes by model, prompt by prompt (NaN: unknown); ratings by model and evaluator; models without any cost."""
    from hapenny.routing.performance import Outcomes, rating
    from hapenny.routing.training import TrainingOutcome, read_outcomes

    rows = read_outcomes(lines(path))
    named = dict.fromkeys(name for row in rows for name in row.models)
    names = [name for name in named if not wanted or name in wanted]
    by_model: dict[str, Outcomes] = {}
    rated: dict[str, dict[str, Rating]] = {}
    unpriced = []
    for name in names:
        done = [row.models.get(name) or TrainingOutcome() for row in rows]
        known = [one.score is not None and one.cost is not None for one in done]
        if not any(known):
            if any(one.score is not None for one in done):
                unpriced.append(name)
            continue
        by_model[name] = Outcomes(
            quality=[_or_nan(one.score) if ok else math.nan for one, ok in zip(done, known, strict=True)],
            cost=[_or_nan(one.cost) if ok else math.nan for one, ok in zip(done, known, strict=True)],
            latency=[_or_nan(one.latency) for one in done],
        )
        by: dict[str, list[float]] = {}
        for one in done:
            for evaluator, score in one.scores.items():
                by.setdefault(evaluator, []).append(score)
        rated[name] = {evaluator: rating(scores) for evaluator, scores in by.items()}
    if not by_model:
        raise ValueError(f"{path}: no model has both score and cost")
    return by_model, rated, unpriced


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


async def _ask_all(
    config: str | None, models: list[str], rows: list[Prompt], judge: str, judge_model: str
) -> dict[str, Outcomes]:
    from hapenny.config import load
    from hapenny.core.errors import Failure
    from hapenny.core.messages import Message, Request, Text
    from hapenny.gateway.gateway import Gateway
    from hapenny.routing.performance import Outcomes

    loaded = load(config)
    loaded.ledger = loaded.ledger if config else None
    clock = RealClock()
    by_model = {name: Outcomes(quality=[], cost=[]) for name in models}
    async with Gateway(loaded) as gateway:
        for row in rows:
            answers: dict[str, str] = {}
            for name in models:
                request = Request(
                    protocol="openai",
                    model=name,
                    messages=(Message("user", (Text(row.prompt),)),),
                    system=(Text(row.system),) if row.system else (),
                )
                began = clock.now()
                try:
                    done, exchange = await gateway.complete(request)
                except Failure as failure:
                    raise ValueError(f"{name}: {failure}") from None
                answers[name] = done.text
                costs = [call.cost for call in exchange.calls]
                known = [cost for cost in costs if cost is not None]
                by_model[name].cost.append(sum(known) / 1e9 if len(known) == len(costs) else math.nan)
                by_model[name].latency.append(clock.now() - began)
            for name in models:
                against = answers[models[-1]]
                by_model[name].quality.append(await quality(gateway, row, answers[name], against, judge, judge_model))
    return by_model


async def quality(gateway: Gateway, row: Prompt, answer: str, against: str, judge: str, judge_model: str) -> float:
    """Score in [0, 1] of an answer: by reference, schema, or an LLM judge against another answer."""
    from hapenny.evidence import json_schema, judges, llm

    if judge == "llm":

        async def ask(prompt: str) -> str:
            return await gateway.chat(prompt, judge_model)

        return (await llm.compare(ask, row.prompt, answer, against, row.reference or "")).score
    if judge == "schema" or (judge == "auto" and row.json_schema is not None):
        return json_schema.schema(answer, row.json_schema or {})
    if row.reference is None:
        raise ValueError(f"the judge {judge!r} needs a reference for {row.prompt[:40]!r}; or use --judge llm")
    if judge == "numeric" or (judge == "auto" and judges.number(row.reference) is not None):
        return judges.numeric(answer, row.reference)
    return judges.exact(answer, row.reference)


def _print(table: list[Standing]) -> None:
    """Names are never cut: whoever compares models wants to know which."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    timed = any(line.latency_p50 is not None for line in table)
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
    shown.add_column("model", overflow="fold", no_wrap=False, min_width=12)
    for name in ("n", "quality", "$ a prompt", "quality / $", *(("p50 s", "p95 s") if timed else ())):
        shown.add_column(name, justify="right", no_wrap=True)
    for line in table:
        times = ("", "") if line.latency_p50 is None else (f"{line.latency_p50:.2f}", f"{line.latency_p95:.2f}")
        shown.add_row(
            escape(printable(f"{line.model} *" if line.pareto else line.model)),
            f"{line.prompts:,}",
            f"{line.quality:.3f} ±{(line.quality_high - line.quality_low) / 2:.3f}",
            f"{line.cost:.6f}",
            f"{line.ratio:,.0f} ({line.ratio_low:,.0f}–{line.ratio_high:,.0f})",
            *(times if timed else ()),
        )
    Console().print(shown)
    say("* on the Pareto front: no model is better and cheaper\n")


_WIDTH, _NAME, _EACH = 80, 30, 15
"""Columns of a plain terminal; of a model's name and of an evaluator's score in it, gap included."""


def _print_evaluators(table: list[Standing], rated: dict[str, dict[str, Rating]]) -> None:
    """One column an evaluator, what counts as quality first; as many tables as their columns need."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    evaluators = list(dict.fromkeys(name for line in table for name in rated.get(line.model, ())))
    wide = min(_NAME, max(len(line.model) for line in table))
    fit = (_WIDTH - wide - 2) // _EACH
    for start in range(0, len(evaluators), fit):
        shown = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
        shown.add_column("quality by", overflow="fold", width=max(wide, len("quality by")))
        columns = evaluators[start : start + fit]
        for name in columns:
            shown.add_column(escape(printable(name)), justify="right", overflow="fold", width=_EACH - 3)
        for line in table:
            cells = [rated.get(line.model, {}).get(name) for name in columns]
            shown.add_row(escape(printable(line.model)), *(_rated(cell, line.prompts) for cell in cells))
        Console(width=_WIDTH).print(shown)


def _rated(cell: Rating | None, prompts: int) -> str:
    if cell is None:
        return "–"
    text = f"{cell.quality:.3f}"
    if cell.quality_low is not None and cell.quality_high is not None:
        text += f" ±{(cell.quality_high - cell.quality_low) / 2:.3f}"
    return text if cell.prompts == prompts else f"{text}\n{cell.prompts:,} prompts"
