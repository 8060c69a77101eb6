"""What an operator may set about batches."""

from __future__ import annotations

from typing import Annotated, Literal

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
    in_doubt: Annotated[
        Literal["again", "hold"],
        Meta(
            description="Records that were sent alone by a process that was killed before it had kept their answers:"
            " nobody can know whether they were paid for. They are asked `again` after all others, or `hold`: they"
            " end as errors that say so until `hapenny batch again` is given. Both are counted."
        ),
    ] = "again"
