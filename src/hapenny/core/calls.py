"""What a request asks of providers: what its model name means, under which policy, where a call goes, how long it may
take, and one paid attempt."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.messages import Json, Request

Purpose: TypeAlias = Literal[
    "serve",
    "retry",
    "hedge",
    "escalate",
    "continue",
    "audit",
    "judge",
    "embed",
    "rerank",
    "guard",
    "summary",
    "precompute",
]
SERVING: frozenset[str] = frozenset({"serve", "retry", "hedge", "escalate", "continue"})

CallOutcome: TypeAlias = Literal["open", "complete", "failed", "abandoned"]
Provenance: TypeAlias = Literal["reported", "estimated", "unknown"]


class Target(Struct, frozen=True, gc=False):
    """Where a call goes. Only routing changes `model`; throughput may change the rest."""

    model: str
    """The provider's model id, as the catalog knows it."""
    backend: str = ""
    """Name of the configured backend."""
    region: str = ""
    service_tier: str = "standard"
    endpoint: str = ""
    geo: str = ""
    """The geography in which inference ran, where that has a price of its own (Anthropic's `inference_geo`)."""


class Limits:
    """The two limits that travel, in `clock.now()` seconds: `begin_by` for queues and the provider's first byte,
    `finish_by` for all of it. Stages may only shorten them; a flight extends its own to the latest of its readers.

    `idle`: the longest pause within a stream, in seconds. `head_after`: after how long a silent stream that the
    provider has accepted counts as begun, so that its client can be told. `patience`: the longest wait for a model's
    own quota, in seconds, also after a throttle; shorter where another model may answer."""

    __slots__ = ("begin_by", "finish_by", "head_after", "idle", "patience")

    def __init__(
        self,
        begin_by: float,
        finish_by: float,
        idle: float = 60.0,
        head_after: float = 1.0,
        patience: float = float("inf"),
    ) -> None:
        self.begin_by = begin_by
        self.finish_by = finish_by
        self.idle = idle
        self.head_after = head_after
        self.patience = patience

    def shorten(self, *, begin_by: float | None = None, finish_by: float | None = None) -> None:
        """Brings a limit forward; a later one is ignored."""
        if begin_by is not None and begin_by < self.begin_by:
            self.begin_by = begin_by
        if finish_by is not None and finish_by < self.finish_by:
            self.finish_by = finish_by

    def extend(self, other: Limits) -> None:
        """Takes the later of both: for flights alone."""
        self.begin_by = max(self.begin_by, other.begin_by)
        self.finish_by = max(self.finish_by, other.finish_by)

    def copy(self) -> Limits:
        """Limits of their own."""
        return Limits(self.begin_by, self.finish_by, self.idle, self.head_after, self.patience)


class Call:
    """One paid attempt at a provider. Money is the sum of calls."""

    __slots__ = (
        "accepted",
        "began",
        "cached",
        "cost",
        "ended",
        "extras",
        "failure",
        "id",
        "lesson",
        "opened",
        "outcome",
        "output",
        "provenance",
        "purpose",
        "request",
        "sent",
        "started",
        "target",
        "technique",
        "tokens",
        "waited",
    )

    def __init__(
        self, id: str, target: Target, purpose: Purpose, technique: str, request: Request | None, started: float
    ) -> None:
        self.id = id
        self.target = target
        """Where it went; once its provider has said how it was served, that."""
        self.sent = target
        """Where it was sent."""
        self.purpose: Purpose = purpose
        self.technique = technique
        """Who pays unless this call delivers the answer."""
        self.request = request
        self.started = started
        self.accepted: Tokens | None = None
        """What the provider said of the prompt when it accepted the call, before any usage (Anthropic)."""
        self.began: float | None = None
        self.cached: tuple[int, int, int] | None = None
        """What the provider's prompt cache is expected to do with it: tokens read, written, written for an hour."""
        self.ended: float | None = None
        self.outcome: CallOutcome = "open"
        self.tokens: Tokens | None = None
        self.cost: int | None = None
        """Nano-dollars; None while open and where the price is unknown."""
        self.provenance: Provenance = "unknown"
        self.lesson = False
        """Whether its report is still to be learnt from."""
        self.extras: dict[str, Json] = {}
        """What the provider said beside content and counts, by dialect: how the call was served, what it used."""
        self.failure: Failure | None = None
        self.output: list[str] = []
        """What was generated so far, for an estimate where no usage was reported."""
        self.waited: float | None = None
        """Seconds spent waiting for upstream after the first content; None: not measured."""
        self.opened: tuple[float, float, float] | None = None
        """Seconds that its connection took to open: name, TCP, TLS; None: one that was kept, or not measured."""


class Asked(Struct, frozen=True, kw_only=True):
    """What a name means. A `model` is answered by that model; only `tier` and `auto` are routed."""

    name: str
    kind: Literal["model", "tier", "auto"]
    target: Target | None
    """None: unknown (kind model) or still to be chosen (kind auto)."""
    fallbacks: tuple[Target, ...] = ()
    named: Target | None = None
    """The model that the client named where the operator has this name treated as another (`treat_as`): what the
    request is compared with, and what answers it where the strongest is wanted."""

    @property
    def policy(self) -> str:
        """What of it belongs in a cache key."""
        return f"{self.kind}:{self.name}" if self.target is None else f"{self.kind}:{self.target.model}"


class Policy(Struct, frozen=True, array_like=True, gc=False):
    """The policy an answer is given under. All of it is part of every cache key."""

    model: str = ""
    """What the name asked for means (`Asked.policy`)."""
    config_version: str = ""
    """Of the configuration, as far as it can change an answer."""
    prompt_version: str = ""
    """The route's."""
    knowledge_epoch: str = ""
    """The route's."""
    arms: tuple[str, ...] = ()
    """Arms of experiments that change the answer, in the order they were applied."""
