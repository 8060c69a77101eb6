"""The command line: `hapenny VERB`. Verbs load when they are used."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import click

from hapenny.cli.json_flag import with_json

VERBS = {
    "init": "init",
    "serve": "serve",
    "simulate": "simulate",
    "demo": "demo",
    "proof": "proof",
    "report": "report",
    "ledger": "ledger",
    "profile": "profile",
    "keys": "keys",
    "pause": "pause",
    "resume": "pause",
    "options": "options",
    "cache": "cache_lint",
    "tokens": "tokens",
    "bench": "bench",
    "capacity": "capacity",
    "plan": "plan",
    "whatif": "whatif",
    "autoscale": "autoscale",
    "compare": "compare",
    "select": "select",
    "train": "train",
    "experiment": "experiment",
    "content": "content",
    "labels": "labels",
    "console": "console",
    "index": "index",
    "batch": "batch",
    "doctor": "doctor",
    "setup": "setup",
}
"""Verb -> module of `hapenny.cli` that holds a command of that name."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = VERBS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f"hapenny.cli.{module}"), cmd_name)
        return with_json(command, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a verb; a module of an extra that is not installed is named with its pip line."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            from hapenny.cli.extras import pip_line

            line = pip_line(error.name or "")
            if not line:
                raise
            raise click.ClickException(f"this needs {error.name}. Fix: {line}") from error


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hapenny")
def main() -> None:
    """hapenny: a bridge between an application and its foundation models; every token is worth its toll."""
    os.umask(0o077)  # what verbs write holds texts and figures of others: files 0600, folders 0700
