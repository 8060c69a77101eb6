"""Provider prefix caching on four constructed kinds of work, through the same segments and planner as the stage.

Input cost relative to no caching (5 minutes at 1.25 or an hour at 2, read .1), ours beside a point for 5 minutes at
the end of every prompt: `document` (a manual asked about in bursts), `code` (a repository map, then edits), `agent` (a
long run of tool calls), `chat` (a long conversation), `pauses` (a long conversation with ten minutes between turns),
`single` (prompts that never come again: here the best is 1.0), `knowledge` (a knowledge base's passages, new for each
question, behind a fixed system prompt), `pasted` (a manual and a question in one string, cut apart by us).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.caching.prefix import TARIFFS, Live
from hapenny.caching.prefix.arrange import Arranger
from hapenny.caching.prefix.marks import segments
from hapenny.caching.prefix.placement import MINIMUM_TOKENS, MOST_POINTS, Planner
from hapenny.core.messages import Message, Request, Text

MODEL = "m"


def _words(chance: random.Random, count: int) -> str:
    said = [f"w{chance.randrange(50_000)}" for _ in range(count)]
    return "\n".join(" ".join(said[at : at + 12]) for at in range(0, count, 12))


def _request(system: str, turns: list[str]) -> Request:
    """Without a system prompt where `system` is empty."""
    messages = tuple(Message("assistant" if at % 2 else "user", (Text(text),)) for at, text in enumerate(turns))
    return Request(protocol="anthropic", model=MODEL, system=(Text(system),) * bool(system), messages=messages)


def runs(kind: str, seed: int = 3) -> Iterator[tuple[float, Request]]:
    """(seconds, request) of 60 runs of a kind, interleaved in time."""
    chance = random.Random(f"{kind}:{seed}")
    found: list[tuple[float, int, Request]] = []
    shared = _words(chance, 2_500)
    for run in range(60):
        now, turns = chance.uniform(0, 3_600), []
        manual = _words(chance, 6_000)
        system = {"document": manual, "pasted": "", "single": _words(chance, 3_000)}.get(kind, shared)
        length = {"document": 6, "pasted": 6, "code": 12, "agent": 40, "chat": 25, "pauses": 12}.get(kind, 1)
        for _ in range(length):
            if kind == "document":
                turns = [_words(chance, 25)]  # each question stands alone behind the document
            elif kind == "pasted":
                turns = [manual + "\n" + _words(chance, 25)]
            else:
                size = {"code": 500, "agent": 300, "chat": 60, "pauses": 300, "knowledge": 1_500}.get(kind, 40)
                turns = [*turns, _words(chance, size)]
            found.append((now, run, _request(system, turns)))
            turns = [*turns, _words(chance, 120)]
            now += chance.expovariate(1 / {"agent": 6.0, "code": 40.0, "chat": 45.0, "pauses": 600.0}.get(kind, 30.0))
    for at, _, request in sorted(found, key=lambda item: item[:2]):
        yield at, request


def cost(kind: str, *, everything: bool = False, lifetimes: tuple[str, ...] = ("5m", "1h")) -> float:
    """Input cost over plain input cost. `everything`: a point for 5 minutes at the end of every prompt."""
    tariffs = {TARIFFS[name].ttl: TARIFFS[name] for name in lifetimes}
    planner = Planner(*tariffs.values())
    live = Live()
    arranger = Arranger("split")
    paid = plain = 0.0
    for now, request in runs(kind):
        if kind == "pasted" and not everything:
            request = arranger.arrange(request)
        chain = segments(request, MODEL, lambda text: len(text.split()))
        tokens = [segment.tokens for segment in chain]
        depth = [sum(tokens[:at]) for at in range(len(tokens) + 1)]
        points = [(len(chain), TARIFFS["5m"])]
        if not everything:
            plan = planner.plan([segment.hash for segment in chain], tokens, now)
            points = [(depth, tariffs[ttl]) for depth, ttl in zip(plan.points, plan.ttls, strict=True)]
        points = [point for point in points if depth[point[0]] >= MINIMUM_TOKENS][:MOST_POINTS]
        paid += live.price([segment.hash for segment in chain], depth, points, now)
        plain += depth[-1]
    return paid / plain


def measure(quick: bool = False) -> dict[str, dict[str, float]]:
    """All kinds: ours and writing everything. `quick` leaves the long conversations out."""
    long = () if quick else ("code", "agent", "chat", "pauses")
    return {
        kind: {"ours": round(cost(kind), 4), "write_all": round(cost(kind, everything=True), 4)}
        for kind in ("document", *long, "knowledge", "single", "pasted")
    }
