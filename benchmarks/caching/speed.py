"""How long a look-up takes: neighbours and decision among 10,000 entries, with and without embedding."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.caching.data import Stream
from benchmarks.caching.replay import ReplayClock, replay_into
from hapenny.caching.semantic.decider import Decider, Promise
from hapenny.caching.semantic.memory import Memory
from hapenny.caching.semantic.terms import read
from hapenny.vectors import Embedder, ExactIndex, Vectors

ENTRIES = 10_000
_ROUNDS = 300
_LAPS = 3
"""The quietest of three: the bar is for an idle core, and neighbours on a shared machine come and go."""


async def measure(stream: Stream, embedder: Embedder, fresh: Embedder | None) -> dict[str, dict[str, float]]:
    """Medians over 300 look-ups, in the quietest of three laps; `fresh` embeds without a cache.

    The entries are the stream's questions, repeated with a little noise until there are 10,000.
    """
    decider, memory = Decider(Promise(max_error=0.02), ReplayClock(1)), Memory()
    replay_into(stream, decider, memory)
    vectors = await embedder.embed(stream.texts)
    index = ExactIndex(embedder.dim, capacity=ENTRIES)
    chance = np.random.default_rng(3)
    stored = [at for at in range(len(stream.texts)) if at in memory][:ENTRIES]
    index.add(stored, vectors[stored])
    number = len(stream.texts)
    while len(index) < ENTRIES:
        at = stored[number % len(stored)]
        noisy = vectors[at] + 0.03 * chance.normal(size=embedder.dim).astype(np.float32)
        memory.add(number, stream.terms[at])
        index.add([number], (noisy / np.linalg.norm(noisy))[None, :])
        number += 1
    laps = [await _lap(stream, vectors, index, decider, memory, fresh, chance) for _ in range(_LAPS)]
    out = {"lookup_us": {"p50_10k": min(looks for looks, _ in laps) * 1e6}}
    if fresh is not None:
        out["with_embedding_ms"] = {"p50": min(whole for _, whole in laps) * 1e3}
    return out


async def _lap(
    stream: Stream, vectors: Vectors, index: ExactIndex, decider: Decider, memory: Memory, fresh: Embedder | None,
    chance: np.random.Generator,
) -> tuple[float, float]:  # fmt: skip
    """Medians of one lap, seconds: of look-ups alone, and with embedding (0 without `fresh`)."""
    looks: list[float] = []
    whole: list[float] = []
    for at in chance.integers(0, len(stream.texts), size=_ROUNDS):
        text = stream.texts[at]
        began = time.perf_counter()
        _look(text, vectors[at], index, decider, memory)
        looks.append(time.perf_counter() - began)
        if fresh is not None:
            began = time.perf_counter()
            vector = (await fresh.embed([text]))[0]
            _look(text, vector, index, decider, memory)
            whole.append(time.perf_counter() - began)
    return float(np.median(looks)), float(np.median(whole)) if whole else 0.0


def _look(text: str, vector: Vectors, index: ExactIndex, decider: Decider, memory: Memory) -> None:
    hits = index.search(vector, 24)
    near = memory.neighbours(hits.keys.tolist(), hits.scores.tolist())
    decider.look(read(text), near, memory)
