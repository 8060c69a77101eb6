"""What an operator may set about the cache."""

from __future__ import annotations

from msgspec import Struct


class ExactOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """The exact layer."""

    ttl_s: float = 3600.0
    max_mb: float = 256.0
    stale_s: float = 0.0
    """How long past its TTL an answer may be served while a fresh one is fetched."""


class FlightOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Coalescing of identical calls under way."""

    max_flights: int = 10_000
