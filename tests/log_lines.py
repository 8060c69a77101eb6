"""What the package logs, for a test to read."""

import contextlib
import io
import json
from collections.abc import Iterator
from typing import Any

from hapenny.core import log


class _Lines(io.TextIOBase):
    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines = lines

    def write(self, text: str) -> int:
        if text.startswith("{"):
            self._lines.append(json.loads(text))
        return len(text)


@contextlib.contextmanager
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """The lines that are logged meanwhile, of every level; none of them is written to standard error."""
    lines: list[dict[str, Any]] = []
    log.configure("debug")
    try:
        with contextlib.redirect_stderr(_Lines(lines)):
            yield lines
    finally:
        log.configure("info")
