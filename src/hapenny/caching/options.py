"""What an operator may set about the cache."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

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

    ttl_s: Annotated[
        float,
        Meta(
            description="How long an answer is served. A route with few questions a day meets none of them again "
            "within an hour.",
        ),
    ] = 86_400.0
    max_mb: Annotated[
        float,
        Meta(description="Memory for answers; what is least likely to be asked again goes first."),
    ] = 256.0
    stale_s: Annotated[
        float,
        Meta(description="How long past its TTL an answer may be served while a fresh one is fetched."),
    ] = 0.0

    def __post_init__(self) -> None:
        _within(self, ttl_s=(0.0, _YEAR), stale_s=(0.0, _YEAR), max_mb=(LEAST_MB, _MOST_MB))


class EdgeOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a CDN may do with published answers (routes with `cache_scope: shared`)."""

    shared_s: Annotated[
        float,
        Meta(description="How long it may keep an answer; never longer than the answer is served here."),
    ] = 300.0
    stale_s: Annotated[float, Meta(description="How long after that it may serve it while it asks again.")] = 60.0
    max_mb: Annotated[float, Meta(description="Memory for published answers.")] = 64.0
    questions: Annotated[
        list[str],
        Meta(
            description="Routes whose questions alone decide the answer (one system prompt, one model): a published "
            "answer can be fetched there by the hash of its question, by somebody who never asked before.",
        ),
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        _within(self, shared_s=(0.0, _YEAR), stale_s=(0.0, _YEAR), max_mb=(LEAST_MB, _MOST_MB))


class FlightOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Coalescing of identical calls under way."""

    max_flights: Annotated[int, Meta(description="Calls that are shared at once; further ones fly alone.")] = 10_000

    def __post_init__(self) -> None:
        _within(self, max_flights=(0, 10_000_000))


class SemanticOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """The semantic layer. What it promises: at most so many wrong answers, with that confidence."""

    max_error: Annotated[float, Meta(description="Wrong answers served / requests.")] = 0.01
    max_wrong_hits: Annotated[
        float | None,
        Meta(description="Wrong answers served / hits; the stricter of both binds."),
    ] = 0.05
    confidence: Annotated[float, Meta(description="How sure the promise is.")] = 0.95
    audit_share: Annotated[
        float,
        Meta(description="Share of hits that are also asked of the model, so that errors are seen."),
    ] = 0.08
    similarity: Annotated[
        float | None,
        Meta(
            description="A fixed cosine threshold instead of the promise; such hits are marked unproven. See "
            "`hapenny cache calibrate`.",
        ),
    ] = None
    label_share: Annotated[
        float,
        Meta(
            description="What verdicts of the judge may cost, as a share of what the requests cost that are "
            "looked up and answered by a model. Verdicts beyond it are not asked for: evidence then "
            "comes more slowly.",
        ),
    ] = 0.05
    ttl_s: Annotated[
        float,
        Meta(
            description="How long an answer is served: a week, so that a route of two hundred questions a day "
            "meets paraphrases of them. `knowledge_epoch` and changed documents end it sooner.",
        ),
    ] = 604_800.0
    max_mb: Annotated[float, Meta(description="Memory for answers and their paraphrases.")] = 256.0
    embedder: Annotated[
        str,
        Meta(
            description="`local` is MiniLM where it is set up (`hapenny setup local`), else hashed words; "
            "`hashed` is always those; or a name under `embedders`: a paid model, whose calls are "
            "booked to this layer.",
        ),
    ] = "local"
    opensearch: Annotated[
        str,
        Meta(
            description="Index in which gateways that share (`shared`) keep what they learn together, "
            "`https://USER:PASSWORD@HOST:9200/INDEX`: one that comes later then knows all that lives, not the last "
            "10,000 messages alone. Empty: the shared store.",
        ),
    ] = ""
    judge: Annotated[
        str | None,
        Meta(
            description="Model, alias or tier that is asked, off the path, whether two answers say the same where "
            "text and vectors leave it open; its calls are in the ledger, its error is estimated and "
            "priced into the promise. None: what is open counts as different, so the cache serves "
            "less.",
        ),
    ] = None

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

    ttl: Annotated[
        Literal["auto", "5m", "1h"],
        Meta(
            description="Lifetime to ask for: 5m, 1h, or whichever is expected to gain more. A model that offers "
            "only one gets that one; the longer one is only used where it pays.",
        ),
    ] = "auto"
    arrange: Annotated[
        How,
        Meta(
            description="Brings static text into the prefix: `split` cuts a block behind the lines that all "
            "prompts begin with, `move` also puts static lines and documents in front of what "
            "changes; an answer may turn out differently.",
        ),
    ] = "off"
    stagger_s: Annotated[
        float,
        Meta(
            description="How long the others of a fan-out wait for the first one's prefix to be written; 0 does "
            "not wait.",
        ),
    ] = 2.0


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
