"""Provider prefix caching over prompt traces of 512-token blocks: input cost relative to no caching."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

from hapenny.caching.prefix.placement import Planner
from hapenny.caching.prefix.reuse import Tariff

BLOCK = 512
LEAST = 2
MOST = 4
TARIFFS = {"5m": Tariff(300.0, 1.25), "1h": Tariff(3_600.0, 2.0)}
NEVER = (-1.0, TARIFFS["5m"])

Prompt: TypeAlias = tuple[float, list[int], int]
"""Seconds, full blocks, input tokens."""
Policy: TypeAlias = Callable[[int, Prompt], Sequence[tuple[int, Tariff]]]
"""(place in the trace, prompt) -> depths behind which a point goes, and what it is written at."""


def prompts(rows: list[dict[str, Any]]) -> dict[str, list[Prompt]]:
    """The traces of a file; only full blocks can be cached."""
    out: dict[str, list[Prompt]] = {}
    for row in rows:
        blocks = row["hash_ids"][: row["input_length"] // BLOCK]
        out.setdefault(row["trace"], []).append((row["timestamp"] / 1e3, blocks, row["input_length"]))
    return out


class Live:
    """The provider's cache: a read takes the longest prefix that ends at a live point and renews it."""

    def __init__(self, least: int = 1) -> None:
        """`least`: the shallowest depth that may be read or written."""
        self._least = least
        self._points: dict[Hashable, tuple[float, Tariff]] = {}

    def price(
        self, chain: Sequence[Hashable], tokens: Sequence[int], points: Sequence[tuple[int, Tariff]], now: float
    ) -> float:
        """Input cost of one prompt, in plain input tokens.

        Args:
            chain: a hash for each prefix.
            tokens: of each depth, from 0 up to the whole prompt.
            points: depths behind which a point goes, and what it is written at.
            now: seconds.
        """
        depths = range(len(chain), self._least - 1, -1)
        top = next((d for d in depths if self._points.get(chain[d - 1], NEVER)[0] >= now), 0)
        cost = 0.0
        if top:
            tariff = self._points[chain[top - 1]][1]
            self._points[chain[top - 1]] = (now + tariff.ttl, tariff)
            cost = tariff.read * tokens[top]
        for depth, tariff in sorted(points, key=lambda point: point[0]):
            if depth < self._least:
                continue
            until, own = self._points.get(chain[depth - 1], NEVER)
            tariff = own if until >= now else tariff
            self._points[chain[depth - 1]] = (now + tariff.ttl, tariff)
            if depth > top:
                cost += tariff.write * (tokens[depth] - tokens[top])
                top = depth
        return cost + tokens[-1] - tokens[top]


def cost(trace: list[Prompt], policy: Policy) -> float:
    """Input cost over plain input cost."""
    live = Live(LEAST)
    paid = plain = 0.0
    for at, (now, blocks, size) in enumerate(trace):
        tokens = [*range(0, BLOCK * len(blocks) + 1, BLOCK)]
        paid += live.price(blocks, tokens, list(policy(at, trace[at]))[:MOST], now) + size - tokens[-1]
        plain += size
    return paid / plain


def write_all(tariff: Tariff) -> Policy:
    """A point at the end of every prompt."""
    return lambda at, prompt: [(len(prompt[1]), tariff)]


def planned(*tariffs: Tariff) -> Policy:
    """Our placement."""
    planner = Planner(*tariffs, minimum=LEAST * BLOCK, most=MOST, block=BLOCK)

    def policy(at: int, prompt: Prompt) -> Sequence[tuple[int, Tariff]]:
        plan = planner.plan(prompt[1], [BLOCK] * len(prompt[1]), prompt[0])
        of = {tariff.ttl: tariff for tariff in tariffs}
        return [(depth, of[ttl]) for depth, ttl in zip(plan.points, plan.ttls, strict=True)]

    return policy


def foresight(trace: list[Prompt], tariff: Tariff) -> Policy:
    """Knows the future: writes each block that will be read often enough, with points where later prompts leave."""
    uses: dict[int, list[int]] = defaultdict(list)
    for at, (_, blocks, _) in enumerate(trace):
        for block in blocks:
            uses[block].append(at)
    needed = int(tariff.break_even) + 1

    def policy(at: int, prompt: Prompt) -> Sequence[tuple[int, Tariff]]:
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
        return [(depth, tariff) for depth, _ in points]

    return policy


def measure(rows: list[dict[str, Any]], quick: bool) -> dict[str, dict[str, float]]:
    """All figures of the `prefix` key."""
    out: dict[str, dict[str, float]] = {}
    for name, trace in prompts(rows).items():
        if quick:
            trace = trace[: len(trace) // 3]
        figures: dict[str, float] = {}
        for ttl, tariff in TARIFFS.items():
            figures[ttl] = cost(trace, planned(tariff))
            figures[f"write_all_{ttl}"] = cost(trace, write_all(tariff))
            figures[f"foresight_{ttl}"] = cost(trace, foresight(trace, tariff))
        figures["auto"] = cost(trace, planned(*TARIFFS.values()))
        out[name] = {key: round(value, 4) for key, value in figures.items()}
    return out
