"""What an operator may set about routing."""

from __future__ import annotations

from msgspec import Struct


class TierOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """The tier choice for `auto`: scores at or above a threshold go to that tier.

    The cold-start score is in [0, 1]; 1 is the hardest.
    """

    balanced_from: float = 1.1
    strong_from: float = 0.5
    max_from: float = 1.1
