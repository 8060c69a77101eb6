"""How limits a minute stand, in the headers that each dialect's clients read.

OpenAI: `x-ratelimit-(limit|remaining|reset)-(requests|tokens)`, resets as spans (`6m0s`). Anthropic:
`anthropic-ratelimit-(requests|tokens)-(limit|remaining|reset)`, resets as RFC 3339 times. Bedrock has none of its own;
its clients get OpenAI's. Sources: the API references of both, "Rate limits".
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from hapenny.admission.gate import Limits


def limit_headers(protocol: str, limits: Limits, wall: float) -> dict[str, str]:
    """The headers in a protocol; `wall`: epoch seconds now."""
    headers: dict[str, str] = {}
    for kind, standing in (("requests", limits.requests), ("tokens", limits.tokens)):
        if standing is None:
            continue
        if protocol == "anthropic":
            at = datetime.fromtimestamp(math.ceil(wall + standing.reset_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            headers[f"anthropic-ratelimit-{kind}-limit"] = str(standing.limit)
            headers[f"anthropic-ratelimit-{kind}-remaining"] = str(standing.remaining)
            headers[f"anthropic-ratelimit-{kind}-reset"] = at
        else:
            headers[f"x-ratelimit-limit-{kind}"] = str(standing.limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(standing.remaining)
            headers[f"x-ratelimit-reset-{kind}"] = _span(standing.reset_s)
    return headers


def _span(seconds: float) -> str:
    """`250ms`, `8.5s`, `6m0s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
