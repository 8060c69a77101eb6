"""What an operator may set about batches."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class BatchOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How batches are driven to their deadline."""

    attempts: Annotated[int, Meta(description="How often a record is sent in all.")] = 3
    margin_s: Annotated[
        float,
        Meta(description="How long before the deadline what is not done is asked on demand."),
    ] = 300.0
    poll_s: Annotated[float, Meta(description="How often a provider's job is looked at.")] = 30.0
    stop_s: Annotated[float, Meta(description="How long a stopped job may take to hand over what it has done.")] = 120.0
