"""What every section of the configuration is."""

from __future__ import annotations

from msgspec import Struct


class Section(Struct, kw_only=True, forbid_unknown_fields=True):
    """A part of the configuration."""
