"""Metadata at the head of a text file: YAML between `---` lines, TOML between `+++` lines."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from typing import Any

import yaml

from hapenny.retrieval.access import is_access

_LONGEST = 65_536


class FrontMatterError(ValueError):
    """A head that cannot be read and may say who may see the file."""


def split(text: str) -> tuple[dict[str, Any], str]:
    """(metadata, the text behind it). A first rule that opens no metadata is left in the text.

    Raises:
        FrontMatterError: the head is broken and seems to bound access.
    """
    text = text.lstrip("\ufeff\n ")
    first, _, rest = text.partition("\n")
    mark = first.rstrip()
    if mark not in ("---", "+++"):
        return {}, text
    end = _closing(rest, ("---", "...") if mark == "---" else ("+++",))
    if end is None:
        if _bounds(rest[:_LONGEST]):
            raise FrontMatterError(f"the head that {mark} opens is not closed")
        return {}, text
    head, body = rest[: end[0]], rest[end[1] :]
    try:
        data = tomllib.loads(head) if mark == "+++" else yaml.safe_load(head)
    except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        if _bounds(head):
            raise FrontMatterError(f"the head cannot be read ({type(error).__name__})") from None
        return {}, text
    if not isinstance(data, Mapping):
        if _bounds(head):
            raise FrontMatterError("the head holds no fields")
        return {}, text
    return {str(name): _plain(value) for name, value in data.items()}, body.lstrip("\n")


def _closing(rest: str, marks: tuple[str, ...]) -> tuple[int, int] | None:
    """Where the closing line begins, and where the text behind it does."""
    at = 0
    while at <= min(len(rest), _LONGEST):
        end = rest.find("\n", at)
        line = rest[at:] if end < 0 else rest[at:end]
        if line.rstrip() in marks:
            return at, len(rest) if end < 0 else end + 1
        if end < 0:
            return None
        at = end + 1
    return None


def _bounds(head: str) -> bool:
    """Whether a line begins with the name of an access field."""
    return any(is_access(line.replace("=", ":", 1).partition(":")[0].strip(" \"'")) for line in head.splitlines())


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime, datetime.time)) else value
