"""Provider prefix caching over prompt traces of 512-token blocks: input cost relative to no caching."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from hapenny.caching.prefix.placement import Planner
from hapenny.caching.prefix.reuse import Tariff

BLOCK = 512
LEAST = 2
MOST = 4
TARIFFS = {"5m": Tariff(300.0, 1.25), "1h": Tariff(3_600.0, 2.0)}

Prompt: TypeAlias = tuple[float, list[int], int]
"""Seconds, full blocks, input tokens."""
Policy: TypeAlias = Callable[[int, Prompt], Sequence[int]]


def prompts(rows: list[dict[str, Any]]) -> dict[str, list[Prompt]]:
    """The traces of a file; only full blocks can be cached."""
    out: dict[str, list[Prompt]] = {}
    for row in rows:
        blocks = row["hash_ids"][: row["input_length"] // BLOCK]
        out.setdefault(row["trace"], []).append((row["timestamp"] / 1e3, blocks, row["input_length"]))
    return out


def cost(trace: list[Prompt], tariff: Tariff, policy: Policy) -> float:
    """Input cost over plain input cost. A read takes the longest prefix that ends at a live point and renews it."""
    live: dict[int, float] = {}
    paid = plain = 0.0
    for at, (now, blocks, tokens) in enumerate(trace):
        read = next((d for d in range(len(blocks), LEAST - 1, -1) if live.get(blocks[d - 1], -1.0) >= now), 0)
        points = [depth for depth in policy(at, trace[at]) if depth >= LEAST][:MOST]
        for depth in [*points, *([read] if read else [])]:
            live[blocks[depth - 1]] = now + tariff.ttl
        top = max([read, *points])
        paid += tariff.read * BLOCK * read + tariff.write * BLOCK * (top - read) + tokens - BLOCK * top
        plain += tokens
    return paid / plain


def write_all(at: int, prompt: Prompt) -> Sequence[int]:
    """A point at the end of every prompt."""
    return [len(prompt[1])]


def planned(tariff: Tariff) -> Policy:
    """Our placement."""
    planner = Planner(tariff, minimum=LEAST * BLOCK, most=MOST, block=BLOCK)
    return lambda at, prompt: planner.plan(prompt[1], [BLOCK] * len(prompt[1]), prompt[0]).points


def foresight(trace: list[Prompt], tariff: Tariff) -> Policy:
    """Knows the future: writes each block that will be read often enough, with points where later prompts leave."""
    uses: dict[int, list[int]] = defaultdict(list)
    for at, (_, blocks, _) in enumerate(trace):
        for block in blocks:
            uses[block].append(at)
    needed = int(tariff.break_even) + 1

    def policy(at: int, prompt: Prompt) -> Sequence[int]:
        points: list[tuple[int, int]] = []
        for depth in range(len(prompt[1]), LEAST - 1, -1):
            later = uses[prompt[1][depth - 1]]
            reads, last = 0, prompt[0]
            for use in later[bisect.bisect_right(later, at) :]:
                if trace[use][0] - last > tariff.ttl:
                    break
                reads, last = reads + 1, trace[use][0]
            if reads >= needed and (not points or reads > points[-1][1]):
                points.append((depth, reads))
        return [depth for depth, _ in points]

    return policy


def measure(rows: list[dict[str, Any]], quick: bool) -> dict[str, dict[str, float]]:
    """All figures of the `prefix` key."""
    out: dict[str, dict[str, float]] = {}
    for name, trace in prompts(rows).items():
        if quick:
            trace = trace[: len(trace) // 3]
        figures: dict[str, float] = {}
        for ttl, tariff in TARIFFS.items():
            figures[ttl] = cost(trace, tariff, planned(tariff))
            figures[f"write_all_{ttl}"] = cost(trace, tariff, write_all)
            figures[f"foresight_{ttl}"] = cost(trace, tariff, foresight(trace, tariff))
        out[name] = {key: round(value, 4) for key, value in figures.items()}
    return out
