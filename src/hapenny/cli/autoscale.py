"""`hapenny autoscale`: what the scaling controller would have wanted for a log, and what to tell what scales."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hapenny.cli.numbers import Positive
from hapenny.cli.printable import printable, say, say_json

if TYPE_CHECKING:
    from hapenny.capacity.lifecycle import Step

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ABOVE = Positive()
TICK_S = 10.0


@click.command()
@click.option("--dry-run", is_flag=True, required=True, help="Nothing is applied; there is no other way yet.")
@click.option("--trace", type=_FILE, help="CSV of requests: timestamp_s, input_tokens, output_tokens.")
@click.option("--ledger", type=_FILE, help="Instead: the provider calls of a ledger.")
@click.option("--tokens-per-s", type=_ABOVE, required=True, help="Weighted tokens a second that a full server does.")
@click.option("--output-weight", type=_ABOVE, default=5.0, show_default=True, help="Of an answer's token, likewise.")
@click.option("--start-s", type=_ABOVE, default=180.0, show_default=True, help="From a start to its service.")
@click.option("--weights-gb", type=_ABOVE, help="Instead: of the model, by whose size a start takes its time.")
@click.option("--engine", default="vLLM", show_default=True, help="What serves them: vLLM, Triton or DeepSpeed.")
@click.option("--spill-price", type=_ABOVE, help="Price of work that spills over, against a full server's.")
@click.option("--least", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--most", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--keda", metavar="DEPLOYMENT", help="Also: a KEDA ScaledObject for it.")
@click.option("--url", help='What KEDA is to ask: an address that answers {"servers": N}.')
@click.option("--sagemaker", metavar="COMPONENT", help="Also: Application Auto Scaling for an inference component.")
@click.option("--ecs", metavar="CLUSTER/SERVICE", help="Also: Application Auto Scaling for a service.")
@click.option("--json", "as_json", is_flag=True)
def autoscale(
    dry_run: bool, trace: Path | None, ledger: Path | None, tokens_per_s: float, output_weight: float, start_s: float,
    weights_gb: float | None, engine: str, spill_price: float | None, least: int, most: int, keda: str | None,
    url: str | None, sagemaker: str | None, ecs: str | None, as_json: bool,
) -> None:  # fmt: skip
    """How many servers the controller would have wanted, minute by minute.

    \b
    hapenny autoscale --dry-run --trace day.csv --tokens-per-s 2300 --keda vllm
    """
    import msgspec

    from hapenny.capacity import lifecycle, signals
    from hapenny.capacity.autoscaler import Autoscaler, ScalerOptions
    from hapenny.capacity.ledger_trace import from_ledger
    from hapenny.simulation.workload.trace import from_csv

    if (trace is None) == (ledger is None):
        raise click.UsageError("give either --trace or --ledger")
    if least > most:
        raise click.UsageError(f"--least {least} is more than --most {most}")
    if keda is not None and not url:
        raise click.UsageError("--keda wants --url")
    if ecs is not None and ecs.count("/") != 1:
        raise click.UsageError("--ecs wants CLUSTER/SERVICE")
    try:
        arrivals = from_csv(trace) if trace is not None else from_ledger(ledger or Path())
    except (ValueError, OSError) as error:
        raise click.ClickException(printable(str(error))) from None
    life = _life(weights_gb, engine) if weights_gb is not None else None
    scaler = Autoscaler(
        ScalerOptions(
            work_per_s=tokens_per_s,
            output_weight=output_weight,
            start_s=start_s if life is None else lifecycle.start_s(life),
            spill_price=spill_price,
            least=max(1, least),
            most=most,
        )
    )
    wanted, course, next_tick = scaler.wants(0.0), [], TICK_S
    for each in arrivals:
        while each.at >= next_tick:
            wanted = scaler.wants(next_tick, 0.0, wanted.servers)
            if next_tick % 60 < TICK_S:
                course.append({"at_s": next_tick, **msgspec.to_builtins(wanted)})
            next_tick += TICK_S
        scaler.arrived(each.input - each.cached)
        scaler.answered(each.output)
    documents: dict[str, object] = {"prometheus": signals.prometheus(wanted, "own")}
    if keda is not None:
        documents["keda"] = signals.keda(f"{keda}-tokens", keda, url or "", least=least, most=most)
    if sagemaker is not None:
        documents["sagemaker"] = signals.sagemaker(sagemaker, least=least, most=most)
    if ecs is not None:
        documents["ecs"] = signals.ecs(*ecs.split("/"), least=least, most=most)
    if life is not None:
        documents["lifecycle"] = lifecycle.documents(life)
    if as_json:
        say_json(msgspec.json.encode({"course": course, "documents": documents}))
        return
    for row in course:
        say(f"{row['at_s'] / 60:7.0f} min  {row['servers']:3d} servers  {row['why']}")
    for name, document in documents.items():
        shown = document if isinstance(document, str) else msgspec.json.format(msgspec.json.encode(document)).decode()
        say(f"\n{name}:\n{shown}")


def _life(weights_gb: float, engine: str) -> list[Step]:
    """The life of one copy."""
    from hapenny.capacity import lifecycle
    from hapenny.capacity.instances import PROFILES

    profile = next((each for each in PROFILES if each.engine.lower() == engine.lower()), None)
    if profile is None:
        raise click.UsageError(f"--engine {engine}: not known. One of {', '.join(each.engine for each in PROFILES)}")
    try:
        return lifecycle.steps(profile, weights_gb)
    except ValueError as error:
        raise click.ClickException(printable(str(error))) from None
