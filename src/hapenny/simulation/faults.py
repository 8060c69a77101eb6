"""Faults on request: by chance in a time window, for one call, or asked for in a request's metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from hapenny.core.errors import Failure

FaultKind: TypeAlias = Literal[
    "throttle", "error", "unavailable", "exception", "truncate", "drop", "slow", "hang", "retry_after", "poison"
]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

METADATA = "simulate_fault"
"""The metadata key (OpenAI `metadata`, Bedrock `requestMetadata`) by which a request asks for a fault."""


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share of calls that go wrong in one way.

    `throttle` 429, `error` 500, `unavailable` 503, before the answer begins; `exception` an error event, `truncate` a
    clean early end, `drop` a cut connection, in its middle; `slow` takes `factor` times as long; `hang` never answers;
    `retry_after` 429 with the word to come back in `factor` seconds; `poison` reports a thousand million tokens.
    """

    kind: FaultKind
    share: float = 1.0
    models: tuple[str, ...] = ()
    """Catalog ids; empty: all."""
    regions: tuple[str, ...] = ()
    begin: float = 0.0
    end: float = float("inf")
    """Only while the clock's `now()` is in [begin, end)."""
    factor: float = 8.0
    at: float = 0.5
    """The share of the output after which a fault in the middle strikes."""


class Faults:
    """Decides, deterministically from a number in [0, 1), whether a call goes wrong."""

    def __init__(self, plan: Sequence[Fault] = ()) -> None:
        self.plan = list(plan)

    def pick(self, model: str, region: str, now: float, draw: float) -> Fault | None:
        """The fault of a call; shares of faults that hold at once add up."""
        for fault in self.plan:
            if not fault.begin <= now < fault.end:
                continue
            if (fault.models and model not in fault.models) or (fault.regions and region not in fault.regions):
                continue
            if draw < fault.share:
                return fault
            draw -= fault.share
        return None


def asked(metadata: object) -> Fault | None:
    """The fault a request asks for, e.g. `truncate` or `slow:3`."""
    text = metadata.get(METADATA) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        return None
    kind, _, factor = text.partition(":")
    if kind not in KINDS:
        return None
    try:
        return Fault(kind=kind, factor=float(factor or 8.0))
    except ValueError:
        return None


def before(fault: Fault) -> Failure | None:
    """The failure of a fault that strikes before the answer begins."""
    match fault.kind:
        case "throttle" | "retry_after":
            return Failure(
                "rate_limited",
                "Too many requests, please wait before trying again.",
                upstream_status=429,
                upstream_type="ThrottlingException",
                retry_after=fault.factor if fault.kind == "retry_after" else None,
            )
        case "error":
            return Failure(
                "upstream",
                "The system encountered an unexpected error during processing. Try your request again.",
                upstream_status=500,
                upstream_type="InternalServerException",
            )
        case "unavailable":
            return Failure(
                "overloaded",
                "Bedrock is unable to process your request.",
                upstream_status=503,
                upstream_type="ServiceUnavailableException",
            )
        case _:
            return None


def midway(fault: Fault) -> Failure | None:
    """The failure of a fault that strikes within the answer; None: it ends without a word."""
    match fault.kind:
        case "exception":
            return Failure(
                "upstream",
                "The system encountered an unexpected error during processing. Try your request again.",
                upstream_status=424,
                upstream_type="modelStreamErrorException",
            )
        case "drop":
            return Failure("upstream", "the connection to the provider was lost", upstream_type="ConnectionError")
        case _:
            return None
