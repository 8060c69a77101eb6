"""`hapenny experiment`: start, status, stop, analyse. The state is a JSON file that `serve` reads."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import click
import msgspec

from hapenny.cli.compare import JUDGES, Prompt, quality
from hapenny.cli.evaluations import export_evaluations, import_evaluations
from hapenny.cli.printable import say, say_json
from hapenny.cli.train import lines
from hapenny.core.clock import RealClock
from hapenny.core.strict_yaml import read_yaml
from hapenny.evidence.analysis import Effect
from hapenny.tuning.experiments import Experiment

_STATE = Path(".hapenny/experiments.json")


@click.group()
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), default=_STATE, show_default=True)
@click.pass_context
def experiment(ctx: click.Context, state: Path) -> None:
    """Compare arms over anything configurable; look at the results whenever you like."""
    ctx.obj = state


@experiment.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def start(state: Path, file: Path) -> None:
    """Start the experiment described in FILE (YAML: name, arms, metric, horizon, guardrails ...)."""
    import yaml

    try:
        given = msgspec.convert(read_yaml(file.read_text(encoding="utf-8")), Experiment)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise click.ClickException(f"{file}: {error}") from None
    if problems := given.problems():
        raise click.ClickException("\n".join(problems))
    known = _read(state)
    if given.name in known:
        how = "is running" if known[given.name].running else "has run before"
        raise click.ClickException(
            f"{given.name} {how}: its rows in the ledger would be mixed with the new ones. "
            f"Fix: give the new experiment another name, e.g. {_free(given.name, known)}"
        )
    known[given.name] = msgspec.structs.replace(given, design=given.assignment())
    _write(state, known)
    say(f"{given.name}: {', '.join(f'{arm} {share:.0%}' for arm, share in given.shares().items())}")


@experiment.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def status(state: Path, as_json: bool) -> None:
    """List experiments."""
    known = _read(state)
    if as_json:
        say_json(msgspec.json.encode(list(known.values())).decode())
        return
    for one in known.values():
        arms = ", ".join(f"{arm} {share:.0%}" for arm, share in one.shares().items())
        say(f"{one.name}: {'running' if one.running else 'stopped'}; {one.metric} by {one.unit}; {arms}")
    if not known:
        say("no experiments")


@experiment.command()
@click.argument("name")
@click.pass_obj
def stop(state: Path, name: str) -> None:
    """Stop NAME; its rows stay in the ledger."""
    known = _read(state)
    if name not in known:
        raise click.ClickException(f"no experiment {name!r}; known: {', '.join(known) or 'none'}")
    known[name] = msgspec.structs.replace(known[name], running=False)
    _write(state, known)
    say(f"{name}: stopped")


@experiment.command()
@click.argument("name")
@click.option("--ledger", default=".hapenny/ledger.db", show_default=True, help="The ledger with the exposures.")
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CSV: request_id, score.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the intervals as SVG.")
@click.option("--cloudwatch", "metrics", is_flag=True, help="Print a PutMetricData request instead.")
@click.option("--sagemaker", "runs", is_flag=True, help="Print SageMaker experiment runs instead.")
@click.option("--send", is_flag=True, help="With either: write them there (needs credentials and hapenny[aws]).")
@click.option("--region", default="us-east-1", show_default=True, help="With --send.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def analyse(
    state: Path,
    name: str,
    ledger: str,
    labels: Path | None,
    plot: Path | None,
    metrics: bool,
    runs: bool,
    send: bool,
    region: str,
    as_json: bool,
) -> None:
    """Analyse NAME from the ledger: sample ratio, the metric, guardrails, secondary metrics."""
    from hapenny.console.html import evidence_charts as charts
    from hapenny.evidence import formats
    from hapenny.evidence.labels import Labels, read_csv
    from hapenny.tuning.experiment_results import results

    if send and not (metrics or runs):
        raise click.UsageError("--send needs --cloudwatch or --sagemaker: where to")
    known = _read(state)
    if name not in known:
        raise click.ClickException(f"no experiment {name!r}; known: {', '.join(known) or 'none'}")
    one = known[name]
    book = Labels()
    try:
        if labels is not None:
            with labels.open(encoding="utf-8", newline="") as source:
                for verdict in read_csv(source):
                    book.add(verdict)
        result, seen = results(ledger, one, book.score)
    except FileNotFoundError:
        raise click.ClickException(f"there is no ledger at {ledger}; name one with --ledger") from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    wall = RealClock().wall()
    if plot is not None:
        plot.write_text(charts.intervals([*result.effects, *result.secondary], one.name), encoding="utf-8")
    settings = {arm: msgspec.to_builtins(what) for arm, what in one.arms.items()}
    if send:
        from hapenny.cli.sending import send_metrics, send_runs

        if metrics:
            say(send_metrics(formats.cloudwatch(name, seen, wall), region))
        if runs:
            say(send_runs(formats.sagemaker(name, result, settings, wall), name, region))
        return
    if metrics:
        say_json(msgspec.json.encode(formats.cloudwatch(name, seen, wall)).decode())
        return
    if runs:
        say_json(msgspec.json.encode(formats.sagemaker(name, result, settings, wall)).decode())
        return
    if as_json:
        say_json(msgspec.json.encode(result).decode())
        return
    say(f"{name}: {', '.join(f'{arm} {count}' for arm, count in result.counts.items())} units")
    if result.changed_arm:
        say(f"{result.changed_arm} {one.unit}s were seen in more than one arm and left out")
    say(f"sample ratio p = {result.sample_ratio_p:.4f}")
    for effect in result.effects:
        say(f"{effect.arm}: {result.verdicts[effect.arm]}; {_said(effect)}")
    for rail in result.guardrails:
        say(f"  guardrail {rail.metric} (margin {rail.margin:g}): {rail.state}; {_said(rail.effect)}")
    for effect in result.secondary:
        say(f"  {_said(effect)}")


@experiment.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--prompts", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--judge", type=click.Choice(JUDGES), default="auto", show_default=True)
@click.option("--judge-model", default="strong", show_default=True)
@click.option("--model", default="auto", show_default=True, help="What arms ask for that name no model.")
@click.option("-c", "--config", help="Configuration to ask through; simulated models without.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the intervals as SVG.")
@click.option("--json", "as_json", is_flag=True)
def replay(
    file: Path,
    prompts: Path,
    judge: str,
    judge_model: str,
    model: str,
    config: str | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Run every arm of FILE on the same logged prompts and compare in pairs; no traffic is touched."""
    import yaml

    from hapenny.config import ConfigError
    from hapenny.evidence.analysis import paired_effect

    try:
        one = msgspec.convert(read_yaml(file.read_text(encoding="utf-8")), Experiment)
        rows = [msgspec.json.decode(line, type=Prompt) for line in lines(prompts)]
        if problems := one.problems():
            raise ValueError("\n".join(problems))
        replayed = asyncio.run(_replayed(one, rows, judge, judge_model, model, config))
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    except (yaml.YAMLError, msgspec.DecodeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    control, *variants = one.arms
    level = one.alpha / max(1, len(variants))
    effects = [
        paired_effect(metric, arm, replayed[control][metric], replayed[arm][metric], alpha=level, horizon=len(rows))
        for arm in variants
        for metric in _REPLAYED
    ]
    if plot is not None:
        from hapenny.console.html.evidence_charts import intervals

        plot.write_text(intervals(effects, f"{one.name}, replayed"), encoding="utf-8")
    if as_json:
        say_json(msgspec.json.encode(effects).decode())
        return
    for effect in effects:
        say(f"{effect.arm}: {_said(effect)}")


_REPLAYED = ("quality", "cost", "ttft", "e2e", "length", "escalated")


async def _replayed(
    one: Experiment, rows: list[Prompt], judge: str, judge_model: str, usual: str, config: str | None
) -> dict[str, dict[str, list[float]]]:
    from hapenny.config import load
    from hapenny.core.errors import Failure
    from hapenny.core.messages import Context, Message, Request, Text
    from hapenny.gateway.gateway import Gateway
    from hapenny.tuning.experiments import carry

    loaded = load(config)
    loaded.ledger = loaded.ledger if config else None
    by_arm: dict[str, dict[str, list[float]]] = {arm: {metric: [] for metric in _REPLAYED} for arm in one.arms}
    control = next(iter(one.arms))
    async with Gateway(loaded) as gateway:
        for row in rows:
            against = ""
            for name, arm in one.arms.items():
                request = Request(
                    protocol="openai",
                    model=arm.model or usual,
                    messages=(Message("user", (Text(row.prompt),)),),
                    system=(Text(row.system),) if row.system else (),
                )
                try:
                    # A stored answer would be the other arm's, or none of today's.
                    exchange = gateway.open(request, Context(cache_control=("no-cache", "no-store")))
                    carry(exchange, one.name, name, arm)
                    try:
                        done = await (await gateway.answer(exchange)).collect()
                    finally:
                        gateway.close(exchange)
                except Failure as failure:
                    raise ValueError(f"{name}: {failure}") from None
                against = done.text if name == control else against
                into, began = by_arm[name], exchange.calls[-1].began if exchange.calls else None
                into["ttft"].append((began if began is not None else gateway.clock.now()) - exchange.arrived)
                into["e2e"].append((exchange.finished or gateway.clock.now()) - exchange.arrived)
                into["cost"].append(sum(call.cost or 0 for call in exchange.calls) / 1e9)
                into["length"].append(float(len(done.text)))
                into["escalated"].append(float(any(call.purpose == "escalate" for call in exchange.calls)))
                into["quality"].append(await quality(gateway, row, done.text, against, judge, judge_model))
    return by_arm


def _free(name: str, known: dict[str, Experiment]) -> str:
    """A name like this one that nobody has."""
    return next(f"{name}-{number}" for number in itertools.count(2) if f"{name}-{number}" not in known)


def _said(effect: Effect) -> str:
    from hapenny.console.html.evidence_charts import said

    return f"{effect.metric} {effect.control_mean:.4g} -> {effect.arm_mean:.4g} ({said(effect)})"


def _read(state: Path) -> dict[str, Experiment]:
    if not state.exists():
        return {}
    try:
        return {one.name: one for one in msgspec.json.decode(state.read_bytes(), type=list[Experiment])}
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{state}: {error}") from None


def _write(state: Path, known: dict[str, Experiment]) -> None:
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_bytes(msgspec.json.format(msgspec.json.encode(list(known.values())), indent=1) + b"\n")


experiment.add_command(export_evaluations)
experiment.add_command(import_evaluations)
