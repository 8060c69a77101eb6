"""The terms on which a provider says it served, in the catalog's words."""

from __future__ import annotations

from typing import Any

from hapenny.core.events import Served

_TIERS = {"": "", "default": "standard", "standard": "standard", "on_demand": "standard", "standard_only": "standard"}
"""Wire words for the standard tier. All others keep their names: the catalog knows them or has no price."""
_ANYWHERE = {"", "global", "not_available", "default", "any"}


def served(*, tier: Any = None, speed: Any = None, geo: Any = None) -> Served | None:
    """The terms, or None where the provider says nothing of them.

    Args:
        tier: the service tier, as the wire says it.
        speed: `fast` (Anthropic's fast mode), `optimized` (Bedrock's latency), `standard`.
        geo: the geography of the inference; only one that was paid for counts.
    """
    words = [_TIERS.get(word, word) for word in (_word(tier), _SPEEDS.get(_word(speed), _word(speed))) if word]
    # Two departures from the standard at once are sold as neither.
    special = sorted({word for word in words if word and word != "standard"})
    name = "+".join(special) or ("standard" if words else "")
    place = _word(geo)
    place = "" if place in _ANYWHERE else place
    return Served(name, place) if name or place else None


_SPEEDS = {"fast": "fast_mode", "normal": "standard"}


def _word(value: Any) -> str:
    return value.lower() if type(value) is str and len(value) <= 64 else ""
