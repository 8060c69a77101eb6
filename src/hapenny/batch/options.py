"""What an operator may set about batches."""

from __future__ import annotations

import msgspec


class BatchOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How batches are driven to their deadline."""

    attempts: int = 3
    """How often a record is sent in all."""
    margin_s: float = 300.0
    """How long before the deadline what is not done is asked on demand."""
    poll_s: float = 30.0
    """How often a provider's job is looked at."""
    stop_s: float = 120.0
    """How long a stopped job may take to hand over what it has done."""
