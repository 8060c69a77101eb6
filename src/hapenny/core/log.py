"""Logs that cannot hold prompts or keys: only declared fields pass, short, with anything that looks like a key masked.

A line is one write to standard error: JSON, or readable. Logging never fails whoever logs: where standard error cannot
be written, the line is dropped.
"""

from __future__ import annotations

import json as jsons
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from hapenny.core.clock import RealClock

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
_NUMBERS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}

FIELDS = frozenset(
    [
        "active",
        "address",
        "again_in_s",
        "attempt",
        "backend",
        "batch",
        "bytes",
        "call",
        "calls",
        "capacity",
        "connections",
        "cost",
        "count",
        "delay",
        "endpoint",
        "error",
        "failures",
        "field",
        "fix",
        "folded",
        "folder",
        "host",
        "instance",
        "intent",
        "job",
        "kind",
        "limit",
        "live",
        "mode",
        "model",
        "models",
        "name",
        "number",
        "outcome",
        "output_tokens",
        "path",
        "pid",
        "pool",
        "port",
        "problems",
        "prompt_tokens",
        "quota",
        "reason",
        "region",
        "request",
        "requests",
        "retry_after",
        "route",
        "rows",
        "seconds",
        "share",
        "source",
        "stage",
        "state",
        "status",
        "streams",
        "table",
        "target",
        "task",
        "technique",
        "tenant",
        "tier",
        "url",
        "version",
        "waiting",
        "where",
        "why",
        "workers",
        "code",
        "worker",
    ]
)
"""Names a log field may have. None of them could carry what a client wrote; new ones are added here."""

MAX_TEXT = 240

_KEYS = re.compile(
    r"(?i)\b(?:sk|pk|rk|hk)-[\w-]{8,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|bearer\s+\S+|\beyJ[\w-]{10,}\.[\w.-]+"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)|\b[A-Za-z0-9+/]{40,}={0,2}"
)

_threshold = _NUMBERS["info"]
_json = True


def configure(level: Level = "info", *, json: bool = True) -> None:
    """Sets what is written to standard error: lines of JSON, or readable ones."""
    global _threshold, _json
    _threshold, _json = _NUMBERS[level], json


class Log:
    """A logger by name. `event` is a constant sentence; everything that varies is a field."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, **fields: Any) -> None:
        """For developers."""
        if _threshold <= 10:
            self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What an operator may want to know."""
        if _threshold <= 20:
            self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What an operator should look at."""
        if _threshold <= 30:
            self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """What is broken."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        known = {name: clean(value) for name, value in fields.items() if name in FIELDS}
        if len(known) < len(fields):
            known["fields_dropped"] = len(fields) - len(known)
        when = datetime.fromtimestamp(RealClock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if _json:
            line = jsons.dumps({"logger": self._name, **known, "event": event, "level": level, "timestamp": when})
        else:
            told = "".join(f" {name}={_shown(value)}" for name, value in sorted(known.items()))
            line = f"{when} [{level:<9}] {event:<30} [{self._name}]{told}"
        try:
            if sys.stderr is not None:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
        except (OSError, ValueError):  # no room, or standard error is closed
            return


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else repr(value)


def get_logger(name: str) -> Log:
    """The logger of a room."""
    return Log(name)


def clean(value: Any) -> Any:
    """A value as it may be logged: numbers as they are, texts short and without keys, the rest by its type's name."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, str):
        return _KEYS.sub("[key]", value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…")
    return type(value).__name__
