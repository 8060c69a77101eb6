"""`hapenny labels`: what people say of answers, by CSV; and the judge of audits, calibrated on it."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from hapenny.cli.printable import cell, say, say_json
from hapenny.core.clock import RealClock

if TYPE_CHECKING:
    from hapenny.console.queue import Queue

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)


@click.group()
def labels() -> None:
    """Human labels: by CSV here, by page with `hapenny console`."""


@labels.command("export")
@click.option("-c", "--config", required=True, help="Configuration whose content store is read.")
@click.option("--route", help="Only this route's answers.")
@click.option("--count", default=200, show_default=True, help="How many at most.")
@click.option("--consent", is_flag=True, help="Texts of clients may leave the store.")
@click.option("--out", type=_OUT, required=True)
def write(config: str, route: str | None, count: int, consent: bool, out: Path) -> None:
    """Write answers to label as CSV: fill in the column `said`, then `import` it."""
    if not consent:
        raise click.ClickException("texts of clients leave the store only with --consent")
    queue = _queue(config, route)
    written = 0
    with out.open("w", encoding="utf-8", newline="") as to:
        sheet = csv.writer(to)
        sheet.writerow(["request_id", "conversation", "answer_a", "answer_b", "said"])
        for one in queue.items()[:count]:
            turns = "\n".join(f"{role}: {text}" for role, text in one.turns)
            answers = [one.answers[0], one.answers[1] if len(one.answers) > 1 else ""]
            sheet.writerow([cell(text) for text in (one.id, turns, *answers, "")])
            written += 1
    say(f"{out}: {written} answers; said is a, b or tie for two, right, partly or wrong for one")


@labels.command("import")
@click.argument("file", type=_FILE)
@click.option("-c", "--config", required=True, help="Configuration whose ledger takes the labels.")
@click.option("--who", required=True, help="Who labelled.")
def read(file: Path, config: str, who: str) -> None:
    """Read labels from a CSV: request_id and said (of `export`), or request_id and score (0-1, up or down)."""
    from hapenny.console.queue import PREFIX, book
    from hapenny.evidence.labels import read_csv
    from hapenny.telemetry.opened import open_ledger
    from hapenny.telemetry.schema import find_row

    clock = RealClock()
    taken = 0
    with file.open(encoding="utf-8", newline="") as source:
        names = csv.DictReader(source).fieldnames or []
        source.seek(0)
        try:
            if "said" in names:
                queue = _queue(config, None)
                for number, row in enumerate(csv.DictReader(source), start=2):
                    said = (row.get("said") or "").strip().lower()
                    if said:
                        try:
                            queue.say(row.get("request_id") or "", said, who)
                        except ValueError as error:
                            raise ValueError(f"line {number}: {error}") from None
                        taken += 1
            else:
                ledger = open_ledger(_ledger(config))
                for number, verdict in enumerate(read_csv(source), start=2):
                    if find_row(ledger, verdict.request_id) is None:
                        raise ValueError(f"line {number}: no request {verdict.request_id[:64]!r} in the ledger")
                    book(ledger, verdict.request_id, verdict.value(), PREFIX + who.strip()[:40], clock.wall())
                    taken += 1
        except ValueError as error:
            raise click.ClickException(f"{file}: {error}. {taken} labels before it were taken") from None
    say(f"{taken} labels by {who}")


@labels.command()
@click.option("-c", "--config", required=True, help="Configuration whose labels and texts are read.")
@click.option("--route", help="Only this route's pairs.")
@click.option("--json", "as_json", is_flag=True)
def judge(config: str, route: str | None, as_json: bool) -> None:
    """Compare the judge of audits with people, and calibrate its limits on labelled pairs."""
    from hapenny.caching.options import SEMANTIC_STAGE
    from hapenny.console.judging import pairs
    from hapenny.evidence.answers import agreement, calibrate
    from hapenny.vectors.chosen_embedder import ChosenEmbedder

    queue = _queue(config, route)
    loaded = queue.config
    labelled = asyncio.run(pairs(queue, ChosenEmbedder(loaded.stages[SEMANTIC_STAGE].embedder, RealClock())))
    if not labelled:
        raise click.ClickException("nobody has labelled a pair yet. Fix: hapenny console, or labels export and import")
    options = loaded.routes.get(route or "default")
    now = agreement(labelled, options.audit_alike, options.audit_apart) if options else agreement(labelled)
    try:
        best = calibrate(labelled)
    except ValueError as error:
        best = None
        why = str(error)
    if as_json:
        say_json(msgspec.json.encode({"now": now, "best": best}).decode())
        return
    say(f"{now.pairs} labelled pairs. Now (audit_alike {now.alike}, audit_apart {now.apart}):")
    say(f"  agrees with people on {now.agreed:.0%} ({now.low:.0%} to {now.high:.0%}), bias {now.bias:+.3f}")
    if best is None:
        say(why)
        return
    say(f"Best (audit_alike: {best.alike}, audit_apart: {best.apart}), measured on the same pairs:")
    say(f"  agrees with people on {best.agreed:.0%} ({best.low:.0%} to {best.high:.0%}), bias {best.bias:+.3f}")


def _queue(config: str, route: str | None) -> Queue:
    from hapenny.config import ConfigError, load
    from hapenny.console.queue import Queue

    try:
        return Queue(load(config), RealClock(), route)
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    except (ValueError, ImportError) as error:
        raise click.ClickException(f"{config}: {error}") from None


def _ledger(config: str) -> str:
    from hapenny.config import load

    ledger = load(config).ledger
    if ledger is None:
        raise ValueError("this configuration keeps no ledger")
    return ledger.path
