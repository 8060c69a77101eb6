"""hapenny: a bridge between an application and its foundation models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hapenny.config import Config, ConfigError, load
    from hapenny.core.errors import Failure
    from hapenny.core.events import Collector, TextDelta
    from hapenny.core.exchange import Exchange
    from hapenny.core.messages import Context, Message, Parameters, Request, Text, Tool, ToolResult, ToolUse
    from hapenny.gateway.gateway import Gateway

__all__ = [
    "Collector", "Config", "ConfigError", "Context", "Exchange", "Failure", "Gateway", "Message", "Parameters",
    "Request", "Text", "TextDelta", "Tool", "ToolResult", "ToolUse", "load",
]  # fmt: skip

_HOMES = {
    "Collector": "hapenny.core.events",
    "Config": "hapenny.config",
    "ConfigError": "hapenny.config",
    "Context": "hapenny.core.messages",
    "Exchange": "hapenny.core.exchange",
    "Failure": "hapenny.core.errors",
    "Gateway": "hapenny.gateway.gateway",
    "Message": "hapenny.core.messages",
    "Parameters": "hapenny.core.messages",
    "Request": "hapenny.core.messages",
    "Text": "hapenny.core.messages",
    "TextDelta": "hapenny.core.events",
    "Tool": "hapenny.core.messages",
    "ToolResult": "hapenny.core.messages",
    "ToolUse": "hapenny.core.messages",
    "load": "hapenny.config",
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for, so that `hapenny --help` and the rooms below do not pay for the whole house.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hapenny' has no attribute {name!r}")
