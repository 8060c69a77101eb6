"""`--json` for verbs that have none of their own: one JSON object of what they say, also where they fail."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import click
import msgspec

from hapenny.cli.printable import say_json

TALKS = frozenset({"serve", "simulate", "demo", "console"})
"""Verbs that go on until they are ended: there is no answer to be one object."""


def with_json(command: click.Command, path: str) -> click.Command:
    """The command, with a `--json` if it has none; of a group every verb below it.

    What a verb prints as JSON already stays as it is; anything else becomes `{"verb", "said"}`, a list of lines, and a
    failure `{"verb", "error"}`.
    """
    if isinstance(command, click.Group):
        for name, below in list(command.commands.items()):
            command.commands[name] = with_json(below, f"{path} {name}")
        return command
    if path in TALKS or any("--json" in param.opts for param in command.params):
        return command
    told = command.callback
    if told is None:
        return command
    flag = click.Option(["--json", "as_json"], is_flag=True, help="One JSON object.")
    command.params.append(flag)

    def run(*arguments: Any, as_json: bool = False, **options: Any) -> Any:
        if not as_json:
            return told(*arguments, **options)
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                made = told(*arguments, **options)
        except click.ClickException as error:
            say_json(_encoded({"verb": path, "error": error.format_message()}))
            raise SystemExit(error.exit_code) from None
        say_json(_as_json(path, said.getvalue()))
        return made

    command.callback = run
    return command


def _as_json(path: str, text: str) -> str:
    lines = text.strip().splitlines()
    for whole in (text, lines[-1] if lines else ""):
        with contextlib.suppress(msgspec.DecodeError):
            msgspec.json.decode(whole)
            return whole.strip()
    return _encoded({"verb": path, "said": lines})


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()
