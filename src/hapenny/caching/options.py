"""What an operator may set about the cache."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from hapenny.core.stage_spec import Phase, StageSpec

How: TypeAlias = Literal["off", "split", "move"]
"""How static text is brought into the prefix."""
LEAST_MB = 0.0656
"""Below that a store holds nothing."""
_MOST_MB = 1e6
_YEAR = 366 * 86_400.0


def _within(options: Struct, **bounds: tuple[float, float]) -> None:
    """Refuses options outside their bounds."""
    for name, (least, most) in bounds.items():
        value = getattr(options, name)
        if not least <= value <= most:
            raise ValueError(f"{name}: {value:g} is outside {least:g} to {most:g}")


class ExactOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """The exact layer."""

    ttl_s: float = 86_400.0
    """How long an answer is served. A route with few questions a day meets none of them again within an hour."""
    max_mb: float = 256.0
    """Memory for answers; what is least likely to be asked again goes first."""
    stale_s: float = 0.0
    """How long past its TTL an answer may be served while a fresh one is fetched."""

    def __post_init__(self) -> None:
        _within(self, ttl_s=(0.0, _YEAR), stale_s=(0.0, _YEAR), max_mb=(LEAST_MB, _MOST_MB))


class EdgeOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a CDN may do with published answers (routes with `cache_scope: shared`)."""

    shared_s: float = 300.0
    """How long it may keep an answer; never longer than the answer is served here."""
    stale_s: float = 60.0
    """How long after that it may serve it while it asks again."""
    max_mb: float = 64.0
    """Memory for published answers."""

    def __post_init__(self) -> None:
        _within(self, shared_s=(0.0, _YEAR), stale_s=(0.0, _YEAR), max_mb=(LEAST_MB, _MOST_MB))


class FlightOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Coalescing of identical calls under way."""

    max_flights: int = 10_000
    """Calls that are shared at once; further ones fly alone."""

    def __post_init__(self) -> None:
        _within(self, max_flights=(0, 10_000_000))


class SemanticOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """The semantic layer. `max_error`, `max_wrong_hits`, `confidence` and `audit_share` are the promise."""

    max_error: float = 0.01
    """Wrong answers served / requests."""
    max_wrong_hits: float | None = 0.05
    """Wrong answers served / hits; the stricter of both binds."""
    confidence: float = 0.95
    audit_share: float = 0.08
    similarity: float | None = None
    """A fixed cosine threshold instead of the promise; such hits are marked unproven. See `hapenny cache calibrate`."""
    label_share: float = 0.05
    """What verdicts of the judge may cost, as a share of what the requests cost that are looked up and answered by a
    model. Verdicts beyond it are not asked for: evidence then comes more slowly."""
    ttl_s: float = 604_800.0
    """How long an answer is served: a week, so that a route of two hundred questions a day meets paraphrases of them.
    `knowledge_epoch` and changed documents end it sooner."""
    max_mb: float = 256.0
    """Memory for answers and their paraphrases."""
    embedder: str = "local"
    """`local` is MiniLM where it is set up (`hapenny setup local`), else hashed words; `hashed` is always those; or a
    name under `embedders`: a paid model, whose calls are booked to this layer."""
    judge: str | None = None
    """Model, alias or tier that is asked, off the path, whether two answers say the same where text and vectors leave
    it open; its calls are in the ledger, its error is estimated and priced into the promise. None: what is open counts
    as different, so the cache serves less."""

    def __post_init__(self) -> None:
        _within(
            self, label_share=(0.0, 1.0), max_error=(1e-6, 0.999), confidence=(0.5, 0.9999), audit_share=(1e-6, 0.1)
        )
        _within(self, ttl_s=(0.0, _YEAR), max_mb=(LEAST_MB, _MOST_MB))
        for name in ("max_wrong_hits", "similarity"):
            if getattr(self, name) is not None:
                _within(self, **{name: (1e-6, 1.0)})


class PrefixOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """What an operator may set about provider prompt caching."""

    ttl: Literal["auto", "5m", "1h"] = "auto"
    """Lifetime to ask for: 5m, 1h, or whichever is expected to gain more. A model that offers only one gets that one;
    the longer one is only used where it pays."""
    arrange: How = "off"
    """Brings static text into the prefix: `split` cuts a block behind the lines that all prompts begin with, `move`
    also puts static lines and documents in front of what changes; an answer may turn out differently."""
    stagger_s: float = 2.0
    """How long the others of a fan-out wait for the first one's prefix to be written; 0 does not wait."""


EXACT_STAGE = StageSpec(
    name="exact", options=ExactOptions, phase=Phase.KEY, safe="on",
    does="answers what was asked before in the same scope, and keeps whole answers",
)  # fmt: skip
FLIGHTS_STAGE = StageSpec(
    name="flights", options=FlightOptions, phase=Phase.KEY, safe="on", ahead=False,
    does="lets identical requests under way share one call",
)  # fmt: skip
SEMANTIC_STAGE = StageSpec(
    name="semantic", options=SemanticOptions, phase=Phase.KEY, safe="shadow", balanced="on", lossy=True, ahead=False,
    does="answers a question that was asked before in other words, within a stated bound on wrong answers",
)  # fmt: skip
PREFIX_STAGE = StageSpec(
    name="prefix", options=PrefixOptions, phase=Phase.SEND, safe="on", ahead=False, answer_options=("arrange",),
    does="marks the prompt's prefix for the provider's cache where that pays",
)  # fmt: skip
