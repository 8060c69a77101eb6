"""Logs that cannot hold prompts or keys: only declared fields pass, short, with anything that looks like a key masked.

structlog does the writing. It is loaded by `ready`, which servers call before they listen, or else with the first line
that is written: its import costs more than all of ours. Logging never fails whoever logs: where structlog cannot be
loaded or standard error cannot be written, the line is dropped.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias

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
_configured = False
_json = True


def configure(level: Level = "info", *, json: bool = True) -> None:
    """Sets what is written to standard error: lines of JSON, or readable ones."""
    global _threshold, _configured, _json
    _threshold, _json, _configured = _NUMBERS[level], json, False


def ready() -> None:
    """Loads what writing takes, so that the first line needs no file to be opened."""
    _structlog()


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
        try:
            getattr(_structlog().get_logger(), level)(event, logger=self._name, **known)
        except (OSError, ImportError, ValueError):  # no descriptor, no room, or standard error is closed
            return


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


def _structlog() -> Any:
    global _configured
    import structlog

    if not _configured:
        import sys

        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer() if _json else structlog.dev.ConsoleRenderer(colors=False),
            ],
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=False,
        )
        _configured = True
    return structlog
