"""`hapenny experiment export-evaluations` and `import-evaluations`: Bedrock Evaluations datasets and results."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import click
import msgspec

from hapenny.cli.printable import say
from hapenny.cli.train import lines
from hapenny.core.clock import RealClock

_OUT = click.Path(dir_okay=False, path_type=Path)


@click.command("export-evaluations")
@click.option("-c", "--config", required=True, help="Configuration whose content store and ledger are read.")
@click.option("--route", help="Only this route's texts.")
@click.option("--out", type=_OUT, required=True)
def export_evaluations(config: str, route: str | None, out: Path) -> None:
    """Write a Bedrock Evaluations dataset (bring your own responses) of what was asked and answered."""
    from hapenny.cli.train import kept
    from hapenny.evidence.bedrock_evaluations import Evaluated, to_bedrock
    from hapenny.telemetry.redact import redact

    try:
        examples = [(model, one) for model, one in kept(config, route) if one.consent]
    except (ValueError, ImportError) as error:
        raise click.ClickException(f"{config}: {error}") from None
    rows = [Evaluated(prompt=redact(one.prompt), model=model, response=redact(one.answer)) for model, one in examples]
    out.write_bytes(b"".join(to_bedrock(rows)))
    say(f"{out}: {len(rows)} responses")


@click.command("import-evaluations")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--metric", "metrics", multiple=True, required=True,
    help="The metric whose score counts, e.g. Builtin.Correctness; again for others that `compare` shows beside it.",
)  # fmt: skip
@click.option("--evaluator", help="Whose score counts: human, judge, automatic or a judge model.")
@click.option(
    "--model", "same", multiple=True, metavar="NAME=ID",
    help="Which model of the catalog NAME is, where the results name a source of your own responses.",
)  # fmt: skip
@click.option("-c", "--config", help="Configuration whose prices hold; list prices without.")
@click.option("--out", type=_OUT, required=True)
def import_evaluations(
    files: tuple[Path, ...],
    metrics: tuple[str, ...],
    evaluator: str | None,
    same: tuple[str, ...],
    config: str | None,
    out: Path,
) -> None:
    """Turn results of Bedrock Evaluations jobs into outcomes, as `train router` and `compare --outcomes` read them.

    Jobs with programmatic metrics, a judge model or people, several files of them together. An answer's cost is its
    counted tokens at the price of its model (docs/routing.md, "Bedrock Evaluations").
    """
    from hapenny.catalog import default, overrides
    from hapenny.config import ConfigError, load
    from hapenny.evidence.bedrock_evaluations import Evaluated, from_bedrock
    from hapenny.routing.evaluated import AnswerPrices, outcomes

    def read(file: Path) -> list[Evaluated]:
        try:
            return list(from_bedrock(lines(file)))
        except ValueError as error:
            raise click.ClickException(f"{file}: {error}") from None

    catalog = default()
    try:
        means = dict(_pair(one) for one in same)
        if config is not None and (prices := load(config).prices):
            catalog = overrides.load(prices, catalog)
        for model in means.values():
            if catalog.resolve(model) is None and catalog.served(model) is None:
                raise ValueError(
                    f"--model: {model!r} is not a model of the catalog. Fix: give its id, e.g. amazon.nova-pro-v1:0"
                )
        priced = AnswerPrices(catalog, means, RealClock().wall())
        done = outcomes(chain.from_iterable(read(file) for file in files), metrics, priced, evaluator)
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    out.write_bytes(b"".join(msgspec.json.encode(_plain(msgspec.to_builtins(row))) + b"\n" for row in done.rows))
    names = sorted({name for row in done.rows for name in row.models})
    say(f"{out}: {len(done.rows)} prompts, answered by {', '.join(names)}")
    beside = f"; beside it {', '.join(done.evaluators[1:])}" if done.evaluators[1:] else ""
    say(f"  what counts: {done.counts}{beside}")
    for name in done.unpriced:
        say(f"  {name}: no known price, so no cost. Fix: --model {name}=ID, or its price under `prices` of --config")


def _pair(text: str) -> tuple[str, str]:
    name, _, model = text.rpartition("=")
    if not name or not model:
        raise ValueError(f"--model {text!r}: it has to be NAME=ID")
    return name, model


def _plain(value: object) -> object:
    """A row without what is not known."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return value
