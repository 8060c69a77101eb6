"""What the exact layer's store keeps against plain LRU, at equal bytes: share of look-ups that hit.

Streams: questions with Zipf popularity (constructed), and the blocks of the recorded prompts, whose popularity is real.
Each is run with room for a hundredth and a tenth of its distinct keys; entries are of one size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from hapenny.caching.store import OVERHEAD, Store
from hapenny.core.clock import RealClock

SKEWS = (0.6, 0.8, 1.0, 1.2)
SHARES = (0.01, 0.1)
SIZE = 1_000
LOOKUPS = 200_000


def lru(stream: Sequence[int], room: int) -> float:
    """Hit share of a plain LRU with room for so many entries."""
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for item in stream:
        if item in held:
            hits += 1
            held.move_to_end(item)
            continue
        held[item] = None
        if len(held) > room:
            held.popitem(last=False)
    return hits / len(stream)


def ours(stream: Sequence[int], room: int) -> float:
    """Hit share of the store with the same room in bytes."""
    store: Store[int] = Store(RealClock(), room * (SIZE + OVERHEAD + 32))
    hits = 0
    for item in stream:
        key = item.to_bytes(32, "big")
        if store.get(key) is not None:
            hits += 1
        else:
            store.put(key, item, SIZE, ttl=1e9)
    return hits / len(stream)


def streams(found: dict[str, list[dict[str, Any]]], quick: bool) -> dict[str, list[int]]:
    """The streams by name."""
    most = LOOKUPS // 10 if quick else LOOKUPS
    chance = np.random.default_rng(5)
    out: dict[str, list[int]] = {}
    for skew in SKEWS:
        ranks = np.arange(1, 50_001, dtype=float) ** -skew
        out[f"zipf {skew:g}"] = chance.choice(50_000, size=most, p=ranks / ranks.sum()).tolist()
    for rows in found.values():
        if "hash_ids" in rows[0]:
            for row in rows:
                stream = out.setdefault(f"blocks {row['trace']}", [])
                if len(stream) < most:
                    stream.extend(row["hash_ids"])
    return out


def measure(found: dict[str, list[dict[str, Any]]], quick: bool) -> dict[str, dict[str, dict[str, float]]]:
    """{stream: {share of the distinct keys that fit: {"s3fifo", "lru"}}}"""
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name, stream in streams(found, quick).items():
        distinct = len(set(stream))
        for share in SHARES:
            room = max(80, int(share * distinct))
            hits = {"s3fifo": round(ours(stream, room), 4), "lru": round(lru(stream, room), 4)}
            out.setdefault(name, {})[f"{share:g}"] = hits
    return out
