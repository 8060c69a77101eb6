"""Provider prefix caching on four constructed kinds of work, through the same segments and planner as the stage.

Input cost relative to no caching (1.25 write, 0.1 read, 5 minutes), ours beside a point at the end of every prompt:
`document` (a manual asked about in bursts), `code` (a repository map, then edits), `agent` (a long run of tool calls),
`chat` (a long conversation), `single` (prompts that never come again: here the best is 1.0), `knowledge` (a knowledge
base's passages, new for each question, behind a fixed system prompt).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from hapenny.caching.prefix.marks import segments
from hapenny.caching.prefix.placement import Planner
from hapenny.caching.prefix.reuse import Tariff
from hapenny.core.messages import Message, Request, Text

MODEL = "m"
TARIFF = Tariff(300.0, 1.25)


def _words(chance: random.Random, count: int) -> str:
    return " ".join(f"w{chance.randrange(50_000)}" for _ in range(count))


def _request(system: str, turns: list[str]) -> Request:
    messages = tuple(Message("assistant" if at % 2 else "user", (Text(text),)) for at, text in enumerate(turns))
    return Request(protocol="anthropic", model=MODEL, system=(Text(system),), messages=messages)


def runs(kind: str, seed: int = 3) -> Iterator[tuple[float, Request]]:
    """(seconds, request) of 60 runs of a kind, interleaved in time."""
    chance = random.Random(f"{kind}:{seed}")
    found: list[tuple[float, int, Request]] = []
    shared = _words(chance, 2_500)
    for run in range(60):
        now, turns = chance.uniform(0, 3_600), []
        system = {"document": _words(chance, 6_000), "single": _words(chance, 3_000)}.get(kind, shared)
        length = {"document": 6, "code": 12, "agent": 40, "chat": 25, "single": 1, "knowledge": 1}[kind]
        for _ in range(length):
            if kind == "document":
                turns = [_words(chance, 25)]  # each question stands alone behind the document
            else:
                size = {"code": 500, "agent": 300, "chat": 60, "knowledge": 1_500}.get(kind, 40)
                turns = [*turns, _words(chance, size)]
            found.append((now, run, _request(system, turns)))
            turns = [*turns, _words(chance, 120)]
            now += chance.expovariate(1 / {"agent": 6.0, "code": 40.0, "chat": 45.0}.get(kind, 30.0))
    for at, _, request in sorted(found, key=lambda item: item[:2]):
        yield at, request


def cost(kind: str, *, everything: bool = False) -> float:
    """Input cost over plain input cost."""
    planner = Planner(TARIFF)
    live: dict[bytes, float] = {}
    paid = plain = 0.0
    for now, request in runs(kind):
        chain = segments(request, MODEL, lambda text: len(text.split()))
        tokens = [segment.tokens for segment in chain]
        depth = [sum(tokens[: at + 1]) for at in range(len(tokens))]
        read = next((d for d in range(len(chain), 0, -1) if live.get(chain[d - 1].hash, -1.0) >= now), 0)
        points: tuple[int, ...] = (len(chain),)
        if not everything:
            points = planner.plan([segment.hash for segment in chain], tokens, now).points
        points = tuple(d for d in points if depth[d - 1] >= 1_024)[:4]
        for d in [*points, *([read] if read else [])]:
            live[chain[d - 1].hash] = now + TARIFF.ttl
        top = max([read, *points])
        below, above = (depth[read - 1] if read else 0), (depth[top - 1] if top else 0)
        paid += TARIFF.read * below + TARIFF.write * (above - below) + depth[-1] - above
        plain += depth[-1]
    return paid / plain


def measure() -> dict[str, dict[str, float]]:
    """All kinds: ours and writing everything."""
    return {
        kind: {"ours": round(cost(kind), 4), "write_all": round(cost(kind, everything=True), 4)}
        for kind in ("document", "code", "agent", "chat", "knowledge", "single")
    }
