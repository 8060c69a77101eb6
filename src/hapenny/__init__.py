"""hapenny: a bridge between an application and its foundation models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hapenny.gateway.gateway import Gateway

__all__ = ["Gateway"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for, so that `hapenny --help` and the rooms below do not pay for the whole house.
    if name == "Gateway":
        from hapenny.gateway.gateway import Gateway

        return Gateway
    raise AttributeError(f"module 'hapenny' has no attribute {name!r}")
