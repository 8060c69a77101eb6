"""hapenny: a bridge between an application and its foundation models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hapenny.config import Config, load
    from hapenny.core.errors import Failure
    from hapenny.core.messages import Request
    from hapenny.gateway.gateway import Gateway

__all__ = ["Config", "Failure", "Gateway", "Request", "load"]

_HOMES = {
    "Config": "hapenny.config",
    "Failure": "hapenny.core.errors",
    "Gateway": "hapenny.gateway.gateway",
    "Request": "hapenny.core.messages",
    "load": "hapenny.config",
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for, so that `hapenny --help` and the rooms below do not pay for the whole house.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hapenny' has no attribute {name!r}")
