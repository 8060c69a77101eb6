"""`hapenny proof`: the whole study of the reference application, which brings it as an entry point."""

from __future__ import annotations

from importlib.metadata import entry_points

import click

GROUP = "hapenny.proofs"
"""Entry points of distributions that bring a study: a callable that takes the arguments of the command line."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
@click.option("--application", default="mangaassist", show_default=True, help="Whose study is run.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def proof(application: str, arguments: tuple[str, ...]) -> None:
    """Run a reference application's whole traffic with everything off, step by step, and on: money, quality, time.

    Takes hours at its defaults; --quick shows what it prints. --help lists the study's own options.
    """
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if application not in known:
        there = ", ".join(sorted(known)) or "none is installed"
        raise click.ClickException(
            f"there is no study of {application!r} ({there}). "
            "Fix: pip install ./examples/mangaassist in hapenny's repository"
        )
    known[application].load()(list(arguments))
