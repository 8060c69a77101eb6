"""How many calls one server gets at once: the contract, the sample it learns from, and the fixed kind.

The adaptive kinds are files of their own: `aimd` (on time to first token and per output token against an SLO) and
`gradient`. A limit never sees the queue in front of the gateway, only what the upstream itself took.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Meta


class Sample(NamedTuple):
    """One call as the upstream served it, in seconds.

    `tpot_s`: time per output token after the first, None for answers of one token. `inflight`: calls at that server
    when this one started, itself included. `dropped`: refused or timed out. `took_s`: start to end.
    """

    ttft_s: float
    tpot_s: float | None
    inflight: int
    dropped: bool = False
    took_s: float = 0.0


class ConcurrencyLimit(Protocol):
    """A limit on calls in flight at one upstream."""

    @property
    def limit(self) -> int:
        """Calls that may be in flight now; at least 1."""
        ...

    def observe(self, sample: Sample) -> None:
        """Learns from a call that ended."""
        ...


class SLO(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What users of a server are promised, in seconds at the upstream: first token, and each further one."""

    ttft_s: Annotated[float, Meta(description="Time to the first token.")] = 1.0
    tpot_s: Annotated[float, Meta(description="Time for each further token.")] = 0.05

    def __post_init__(self) -> None:
        if not (self.ttft_s > 0 and self.tpot_s > 0):
            raise ValueError("ttft_s and tpot_s are seconds above 0")


class FixedLimit:
    """The same limit always."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit: {limit} serves nobody; give at least 1")
        self.limit = limit

    def observe(self, sample: Sample) -> None:
        """Learns nothing."""


class ShadowLimit:
    """Enforces `active` while `candidate` learns from the same calls; `candidate.limit` is only reported."""

    def __init__(self, active: ConcurrencyLimit, candidate: ConcurrencyLimit) -> None:
        self.active = active
        self.candidate = candidate

    @property
    def limit(self) -> int:
        """The active kind's limit."""
        return self.active.limit

    def observe(self, sample: Sample) -> None:
        """Both learn."""
        self.active.observe(sample)
        self.candidate.observe(sample)
