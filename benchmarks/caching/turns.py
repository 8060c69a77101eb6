"""Multi-turn keys: how often a dialogue turn would be served an answer that belongs to another dialogue state."""

from __future__ import annotations

from typing import Any

from benchmarks.caching.replay import ReplayClock
from hapenny.caching.keys import Keys
from hapenny.core.exchange import Exchange, Limits, Target
from hapenny.core.messages import Context, Message, Request, Text


def upper(wrong: int, hits: int) -> float:
    """The one-sided 95 % upper bound on the share of wrong hits (Wilson with continuity; 1 without a hit)."""
    if not hits:
        return 1.0
    z, share = 1.645, (wrong + 0.5) / hits
    share = min(1.0, share)
    middle = share + z * z / (2 * hits)
    spread = z * ((share * (1 - share) + z * z / (4 * hits)) / hits) ** 0.5
    return min(1.0, float((middle + spread) / (1 + z * z / hits)))


def measure(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Keys each turn as the gateway would (the whole history) and compares the state of what it finds."""
    keys, clock, target = Keys(b"benchmark"), ReplayClock(0), Target("model")
    history: list[Message] = []
    stored: dict[bytes, str] = {}
    by_message: dict[str, str] = {}
    hits = wrong = naive_hits = naive_wrong = 0
    for row in rows:
        if not row["prev"]:
            history = []
        history.append(Message("user", (Text(row["text"]),)))
        request = Request(protocol="openai", model="model", messages=tuple(history))
        exchange = Exchange(
            id="turn", request=request, context=Context(), clock=clock, limits=Limits(1.0, 1.0), baseline=target
        )
        key = keys.key(exchange)
        if key in stored:
            hits += 1
            wrong += stored[key] != row["state"]
        else:
            stored[key] = row["state"]
        if row["text"] in by_message:
            naive_hits += 1
            naive_wrong += by_message[row["text"]] != row["state"]
        else:
            by_message[row["text"]] = row["state"]
        history.append(Message("assistant", (Text(row["reply"]),)))
    turns = max(1, len(rows))
    return {
        "wrong_state_share": wrong / turns,
        "hit": hits / turns,
        "hits": float(hits),
        "wrong_per_hit": wrong / max(1, hits),
        "wrong_per_hit_upper95": upper(wrong, hits),
        "last_message_hit": naive_hits / turns,
        "last_message_wrong_per_hit": naive_wrong / max(1, naive_hits),
    }
