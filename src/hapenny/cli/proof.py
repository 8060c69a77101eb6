"""`hapenny proof`: the whole study of the reference application, which brings it as an entry point."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path

import click

from hapenny.cli.printable import say_json
from hapenny.simulation.workload.mix import MixError

GROUP = "hapenny.proofs"
"""Entry points of distributions that bring a study: a callable (mix, draws, messages, workers, quick, html, json) ->
text."""


@click.command()
@click.option("--mix", type=click.Path(dir_okay=False), help="A traffic mix of your own (docs/simulation.md).")
@click.option("--draws", default=20, show_default=True, help="Of the hidden world, on each card.")
@click.option("--messages", default=1_500, show_default=True, help="That are measured in each draw.")
@click.option("--workers", default=os.cpu_count() or 1, show_default="all cores")
@click.option("--quick", is_flag=True, help="Small draws, to see what it prints.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with plots to this file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--application", default="mangaassist", show_default=True, help="Whose study is run.")
def proof(
    mix: str | None,
    draws: int,
    messages: int,
    workers: int,
    quick: bool,
    html: Path | None,
    as_json: bool,
    application: str,
) -> None:
    """Run a reference application's traffic with everything off, step by step, and on: money, quality, time.

    Takes an hour and more at its defaults; --quick shows what it prints.
    """
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if application not in known:
        there = ", ".join(sorted(known)) or "none is installed"
        raise click.ClickException(
            f"there is no study of {application!r} ({there}). "
            "Fix: pip install ./examples/mangaassist in hapenny's repository"
        )
    try:
        said = known[application].load()(
            mix=mix, draws=draws, messages=messages, workers=workers, quick=quick, html=html, json=as_json
        )
    except MixError as error:
        raise click.ClickException(str(error)) from None
    (say_json if as_json else click.echo)(said)
