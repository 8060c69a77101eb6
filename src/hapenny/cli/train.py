"""`hapenny train`: routers and intents from logged outcomes, and data for distillation and fine-tuning."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from hapenny.core.clock import RealClock

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
    out: Path,
) -> None:
    """Fit and certify a router between two tiers. The file is named in `stages.tiers.trained`."""
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
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    out.write_bytes(save_router(trained))
    click.echo(f"{out}: version {trained.scorer.version}, fitted on {trained.scorer.trained_on} rows")
    for one in trained.certificates:
        where = one.about.route + (f"/{one.about.intent}" if one.about.intent else "")
        click.echo(f"  {where}: {one.header()}")


@train.command()
@click.option("--labelled", type=_FILE, required=True, help="JSON lines: text, label.")
@click.option("--precision", default=0.9, show_default=True, type=click.FloatRange(0.5, 0.999))
@click.option("--out", type=_OUT, default=Path("intents.msgpack"), show_default=True)
def intents(labelled: Path, precision: float, out: Path) -> None:
    """Learn intents from labelled texts; under the precision it says `unknown`."""
    from hapenny.intents.classifier import train as learn

    try:
        pairs = [(str(row["text"]), str(row["label"])) for row in map(msgspec.json.decode, lines(labelled))]
        model = learn([text for text, _ in pairs], [label for _, label in pairs], precision)
    except (ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"{labelled}: {error}") from None
    out.write_bytes(msgspec.msgpack.encode(model))
    right = model.accuracy / model.coverage if model.coverage else 0.0
    click.echo(f"{out}: {len(model.labels)} intents, {right:.1%} of {model.coverage:.1%} answered rightly (held out)")


@train.command()
@click.option("--answers", type=_FILE, required=True, help="JSON lines: prompt, answer, score, consent, system.")
@click.option("--format", "shape", type=click.Choice(["openai", "bedrock"]), default="openai", show_default=True)
@click.option("--min-score", default=0.9, show_default=True, help="Only answers verified at least this good.")
@click.option("--consent", is_flag=True, help="You confirm that these texts may be used for training.")
@click.option("--out", type=_OUT, required=True)
def export(answers: Path, shape: str, min_score: float, consent: bool, out: Path) -> None:
    """Write distillation and fine-tuning data: verified answers only, personal data redacted."""
    from hapenny.evidence.export import Example, examples

    if not consent:
        raise click.ClickException("texts of clients leave the store only with --consent")
    try:
        rows = [msgspec.json.decode(line, type=Example) for line in lines(answers)]
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{answers}: {error}") from None
    made = list(examples(rows, shape, min_score))
    out.write_bytes(b"".join(made))
    click.echo(f"{out}: {len(made)} of {len(rows)} answers")


def lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, unpacked if its name ends in .gz."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as data:
        for line in data:
            if line.strip():
                yield line
