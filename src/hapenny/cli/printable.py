"""Text that clients choose, made safe where people look at it: terminals and spreadsheets."""

from __future__ import annotations

import re
from typing import Any

import click

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and what turns the direction of writing: escape sequences begin with one."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula."""


def printable(text: str) -> str:
    """`text` without what a terminal obeys; each such character is shown as `\N{REPLACEMENT CHARACTER}`."""
    return _CONTROL.sub("\ufffd", text)


def printable_all(value: Any) -> Any:
    """A value of lists and mappings with all its text made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable_all(key): printable_all(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable_all(item) for item in value]
    return value


def cell(text: str) -> str:
    """`text` for a cell of a CSV file: what would be a formula begins with an apostrophe."""
    clean = printable(text)
    return f"'{clean}" if text.startswith(_FORMULA) or clean.lstrip("\ufffd \t\n").startswith(_FORMULA) else clean


def escaped(json: str) -> str:
    """JSON text that a terminal obeys as little: what it would take for a command is escaped, which JSON reads back."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", json)


def say(text: str, **how: Any) -> None:
    """Prints a line for people; `how` as of `click.echo`."""
    click.echo(printable(text), **how)


def say_json(text: str | bytes) -> None:
    """Prints JSON."""
    click.echo(escaped(text.decode() if isinstance(text, bytes) else text))
