"""`hapenny train`: routers and intents from logged outcomes, and data for distillation and fine-tuning."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from hapenny.cli.printable import say
from hapenny.core.clock import RealClock

if TYPE_CHECKING:
    from hapenny.config import Config
    from hapenny.evidence.export import Example

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)


@click.group()
def train() -> None:
    """Learn from what was logged."""


@train.command()
@click.option("--outcomes", type=_FILE, required=True, help="JSON lines: prompt, models with scores, intent.")
@click.option("--weak", required=True, help="The cheap model's name in the file.")
@click.option("--strong", required=True, help="The strong model's name in the file.")
@click.option("--weak-tier", default="fast", show_default=True)
@click.option("--strong-tier", default="strong", show_default=True)
@click.option("--max-quality-loss", default=0.02, show_default=True, type=click.FloatRange(0.001, 0.5))
@click.option("--confidence", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.999))
@click.option("--n-min", default=200, show_default=True, help="Fewest calibration pairs for a certificate.")
@click.option("-c", "--config", help="The deployment it is for: certificates name its models, prices, prompt versions.")
@click.option("--out", type=_OUT, default=Path("router.msgpack"), show_default=True)
def router(
    outcomes: Path,
    weak: str,
    strong: str,
    weak_tier: str,
    strong_tier: str,
    max_quality_loss: float,
    confidence: float,
    n_min: int,
    config: str | None,
    out: Path,
) -> None:
    """Fit and certify a router between two tiers. The file is named in `stages.tiers.trained`."""
    from hapenny.config import ConfigError
    from hapenny.routing.training import read_outcomes, save_router, train_router

    try:
        trained = train_router(
            read_outcomes(lines(outcomes)),
            weak=weak,
            strong=strong,
            weak_tier=weak_tier,
            strong_tier=strong_tier,
            max_quality_loss=max_quality_loss,
            confidence=confidence,
            least=n_min,
            wall=RealClock().wall(),
        )
        if config is not None:
            from hapenny.config import load
            from hapenny.gateway.gateway import Gateway
            from hapenny.routing.options import TIERS_STAGE

            loaded = load(config)
            loaded.ledger = loaded.content = loaded.traces = None
            loaded.stages[TIERS_STAGE].trained = None
            trained = Gateway(loaded).parts.certificates.stamp(trained)
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    out.write_bytes(save_router(trained))
    say(f"{out}: version {trained.scorer.version}, fitted on {trained.scorer.trained_on} rows")
    for one in trained.certificates:
        where = one.about.route + (f"/{one.about.intent}" if one.about.intent else "")
        say(f"  {where}: {one.header()}")
    for lost in trained.dominated:
        said = f"{lost.by} is {lost.gap:.3f} better at 1/{lost.cost_ratio:.1f} the cost"
        say(f"  {lost.model} gets nothing: {said}")


@train.command()
@click.option("--labelled", type=_FILE, required=True, help="JSON lines: text, label.")
@click.option("--precision", default=0.9, show_default=True, type=click.FloatRange(0.5, 0.999))
@click.option("--out", type=_OUT, default=Path("intents.msgpack"), show_default=True)
def intents(labelled: Path, precision: float, out: Path) -> None:
    """Learn intents from labelled texts; under the precision it says `unknown`."""
    from hapenny.routing.intents.classifier import train as learn

    try:
        pairs = [(str(row["text"]), str(row["label"])) for row in map(msgspec.json.decode, lines(labelled))]
        model = learn([text for text, _ in pairs], [label for _, label in pairs], precision)
    except (ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"{labelled}: {error}") from None
    out.write_bytes(msgspec.msgpack.encode(model))
    right = model.accuracy / model.coverage if model.coverage else 0.0
    say(f"{out}: {len(model.labels)} intents, {right:.1%} of {model.coverage:.1%} answered rightly (held out)")


@train.command()
@click.option("--answers", type=_FILE, help="JSON lines: prompt, answer, score, consent, system.")
@click.option("-c", "--config", help="Instead: read the content store and the ledger of this configuration.")
@click.option("--route", help="With --config: only this route's texts.")
@click.option("--format", "shape", type=click.Choice(["openai", "bedrock"]), default="openai", show_default=True)
@click.option("--teacher", help="With --config, for distillation: the model, tier or alias whose answers are taught.")
@click.option("--min-score", default=0.9, show_default=True, help="Only answers verified at least this good.")
@click.option("--validation", type=_OUT, help="A tenth of the questions, by their hash, goes to this file instead.")
@click.option("--consent", is_flag=True, help="You confirm that these texts may be used for training.")
@click.option("--out", type=_OUT, required=True)
def export(
    answers: Path | None,
    config: str | None,
    route: str | None,
    shape: str,
    teacher: str | None,
    min_score: float,
    validation: Path | None,
    consent: bool,
    out: Path,
) -> None:
    """Write distillation and fine-tuning data: verified answers only, personal data redacted.

    With --teacher only what that model said: answers that it served and that were verified, and those that audits asked
    of it and held another answer against, which count as right.
    """
    from hapenny.evidence.export import Example, examples, kept_apart

    if not consent:
        raise click.ClickException("texts of clients leave the store only with --consent")
    try:
        if answers is not None:
            rows = [msgspec.json.decode(line, type=Example) for line in lines(answers)]
        elif config is not None:
            rows = [example for _, example in kept(config, route, teacher)]
        else:
            raise click.UsageError("give --answers or --config")
    except (msgspec.DecodeError, ValueError, ImportError) as error:
        raise click.ClickException(f"{answers or config}: {error}") from None
    if teacher is not None and config is None:
        raise click.UsageError("--teacher needs --config: a file of answers does not say whose they are")
    parts = {out: rows}
    if validation is not None:
        parts = {
            out: [row for row in rows if not kept_apart(row.prompt)],
            validation: [row for row in rows if kept_apart(row.prompt)],
        }
    for path, chosen in parts.items():
        made = list(examples(chosen, shape, min_score))
        path.write_bytes(b"".join(made))
        say(f"{path}: {len(made)} of {len(chosen)} answers")


@train.command()
@click.option("-c", "--config", required=True, help="Configuration whose content store and ledger are read.")
@click.option("--route", help="Only this route's answers.")
@click.option("--consent", is_flag=True, help="Texts of clients may leave the store.")
@click.option("--out", type=_OUT, required=True)
def outcomes(config: str, route: str | None, consent: bool, out: Path) -> None:
    """Write what audits and people found as outcomes, as `train router` and `compare --outcomes` read them.

    The baseline's answer counts as right, the other one as the verdict says. Costs are those that were paid.
    """
    from hapenny.config import ConfigError, load
    from hapenny.console.outcomes import collected
    from hapenny.console.queue import Queue

    if not consent:
        raise click.ClickException("texts of clients leave the store only with --consent")
    try:
        queue = Queue(load(config), RealClock(), route)
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    except (ValueError, ImportError) as error:
        raise click.ClickException(f"{config}: {error}") from None
    rows = list(collected(queue))
    out.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    say(f"{out}: {len(rows)} prompts with two models' outcomes")


def kept(config: str, route: str | None = None, teacher: str | None = None) -> list[tuple[str, Example]]:
    """(model, example) of every single question in the content store, with its verdict in the ledger. Texts are there
    only where their route opted in; those of a route that has opted out since are without consent. A corrected answer
    stands in for the one that was given, and counts as verified. `teacher`: a model, tier or alias whose answers alone
    are wanted, also where an audit asked for them.

    Raises:
        ValueError: the teacher is unknown, or the configuration has no content store or no ledger.
    """
    from hapenny.config import ConfigError, load
    from hapenny.evidence.export import Example
    from hapenny.stores.sqlite import SqliteFile, SqliteRows
    from hapenny.telemetry.content import Content, ContentStore
    from hapenny.telemetry.opened import open_ledger
    from hapenny.telemetry.rows import Row
    from hapenny.telemetry.schema import find_row

    try:
        loaded = load(config)
    except ConfigError as error:
        raise ValueError("; ".join(error.problems)) from None
    if loaded.content is None or loaded.ledger is None:
        raise ValueError("no content store or no ledger. Fix: set content and ledger")
    wanted = _model(loaded, teacher) if teacher is not None else None
    options, clock = loaded.content.options, RealClock()
    path = loaded.content.path

    async def texts() -> list[Content]:
        rows = SqliteRows(SqliteFile(path, clock))
        try:
            return await ContentStore(options, rows, clock).find(route=route, limit=1_000_000)
        finally:
            await rows.aclose()

    examples = []
    ledger = open_ledger(loaded.ledger.path, read_only=True)
    try:
        for content in asyncio.run(texts()):
            system = [text for role, text in content.messages if role == "system"]
            turns = [text for role, text in content.messages if role != "system"]
            row: Row | None = find_row(ledger, content.request)
            if len(turns) != 1 or content.cut or row is None or row.outcome != "delivered":
                continue
            model, answer, score = row.model_served, content.answer, row.scores.get("quality")
            rival = content.rival
            if content.corrected is not None:
                answer, score = content.corrected, 1.0
            elif wanted is not None and rival is not None and not rival.candidate and rival.model == wanted != model:
                # The audit's yardstick: the served answer was held against it.
                model, answer, score = rival.model, rival.text, 1.0
            elif wanted is not None and rival is not None and rival.candidate and model == wanted and score is None:
                score = 1.0  # the served answer was the yardstick of a probe
            if wanted is not None and model != wanted:
                continue
            example = Example(
                prompt=turns[0], answer=answer, system=system[0] if system else None, score=score,
                consent=content.route in options.routes,
            )  # fmt: skip
            examples.append((model, example))
    finally:
        ledger.close()
    return examples


def _model(config: Config, name: str) -> str:
    """The model's id behind a name. Raises ValueError."""
    from hapenny.gateway.gateway import Gateway

    quiet = msgspec.structs.replace(config, ledger=None, content=None, traces=None, batch=None, state="")
    target = Gateway(quiet).names.resolve(name).target
    if target is None:
        raise ValueError(f"--teacher {name}: is not one model here. Fix: a model, a tier or an alias")
    return target.model


def lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, unpacked if its name ends in .gz."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as data:
        for line in data:
            if line.strip():
                yield line
