"""What an operator may set about the cache."""

from __future__ import annotations

from msgspec import Struct


class ExactOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """The exact layer."""

    ttl_s: float = 3600.0
    """How long an answer is served."""
    max_mb: float = 256.0
    """Memory for answers; what is least likely to be asked again goes first."""
    stale_s: float = 0.0
    """How long past its TTL an answer may be served while a fresh one is fetched."""


class EdgeOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a CDN may do with published answers (routes with `cache_scope: shared`)."""

    shared_s: float = 300.0
    """How long it may keep an answer; never longer than the answer is served here."""
    stale_s: float = 60.0
    """How long after that it may serve it while it asks again."""
    max_mb: float = 64.0
    """Memory for published answers."""


class FlightOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Coalescing of identical calls under way."""

    max_flights: int = 10_000
    """Calls that are shared at once; further ones fly alone."""


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
    ttl_s: float = 3600.0
    """How long an answer is served."""
    max_mb: float = 256.0
    """Memory for answers and their paraphrases."""
    embedder: str = "local"
    """`local` is MiniLM where it is set up (`hapenny setup local`), else hashed words; `hashed` is always those; or a
    name under `embedders`: a paid model, whose calls are booked to this layer."""
    judge: str | None = None
    """Model, alias or tier that is asked, off the path, whether two answers say the same where text and vectors leave
    it open; its calls are in the ledger, its error is estimated and priced into the promise. None: what is open counts
    as different, so the cache serves less."""
