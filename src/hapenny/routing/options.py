"""What an operator may set about routing."""

from __future__ import annotations

from msgspec import Struct


class TierOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """The tier choice for `auto`: scores at or above a threshold go to that tier.

    The cold-start score is in [0, 1]; 1 is the hardest. On support questions (banking77, hint3) a tenth scores above
    .25 and a twentieth above .30; questions that ask for a comparison, a plan or a derivation score .30 and more.
    """

    balanced_from: float = 0.25
    strong_from: float = 0.30
    max_from: float = 1.1
    trained: str | None = None
    """File that `hapenny train router` wrote; its certificates override thresholds and use-case table."""
    sticky_s: float = 300.0
    """A session keeps its tier this long (the provider's cache lifetime) unless moving down saves money."""
    cascade: bool = False
    """Two cheap answers first, the strong model where they disagree: for batch, extraction and classification."""
