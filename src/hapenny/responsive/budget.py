"""The steps of a request's latency budget and how long each may take: 1.3 seconds in all, and 0.2 kept in reserve.

Theory of operation. Every moment of a request belongs to one step. Times of stages are those of their decisions, which
is where they wait; the first token's step is what else passes until the answer begins (queues, retries and hedges are
part of it), and the last step is what else passes after it. So the steps of a request add up to its duration, and no
time is hidden between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hapenny.core.exchange import Exchange
from hapenny.core.latency import EDGE


class Step(NamedTuple):
    """One step: its limit in milliseconds at the 95th percentile, and the stages whose decisions are part of it."""

    name: str
    limit_ms: float
    about: str
    stages: tuple[str, ...] = ()


STEPS: tuple[Step, ...] = (
    Step("routing", 25, "from the request's head to its route: reading, decoding, names"),
    Step("auth", 20, "limits and budgets of key and tenant"),
    Step("cache", 10, "is there an answer already", ("templates", "exact", "flights", "semantic")),
    Step("model_selection", 7, "which model is asked", ("arms", "tiers", "fallbacks", "cascade", "speed")),
    Step(
        "compression", 8, "what exactly is sent",
        ("structure", "window", "prune", "brevity", "answer_size", "parameters", "prefix"),
    ),
    Step("query_preprocessing", 15, "the question as it is searched for"),
    Step("hybrid_search", 135, "embedding, search, reranking and selection of passages"),
    Step("first_token", 330, "queue, provider, retries and hedges until the answer begins"),
    Step("streaming", 650, "from the first content to the last"),
    Step(
        "guardrails", 40, "what clients, passages and answers may hold",
        ("guard_input", "guard_context", "guard_output"),
    ),
    Step("format", 60, "what is left: encoding and writing"),
)  # fmt: skip
"""In the order of the budget; the limits are those of the reference application."""

RESERVE_MS = 200.0
"""Kept on top of the steps: a deadline is their sum and this."""

_STAGE_STEPS: Mapping[str, str] = {stage: step.name for step in STEPS for stage in step.stages}
_RETRIEVAL = "retrieval"
_PREPARED = "query"
"""Of a search's own times, the part that prepares the question."""


def limits(changed: Mapping[str, float] | None = None) -> dict[str, float]:
    """Seconds by step, with an operator's own in milliseconds. Raises `ValueError` for a name that is no step's."""
    seconds = {step.name: step.limit_ms / 1e3 for step in STEPS}
    for name, limit_ms in (changed or {}).items():
        if name not in seconds:
            raise ValueError(f"steps.{name}: no such step; one of {', '.join(seconds)}")
        if not limit_ms >= 0:
            raise ValueError(f"steps.{name}: {limit_ms:g} is no time; give milliseconds")
        seconds[name] = limit_ms / 1e3
    return seconds


def behind(allowed: Mapping[str, float]) -> dict[str, float]:
    """By step, seconds that the steps behind it are allowed together."""
    kept, sums = 0.0, {}
    for step in reversed(STEPS):
        sums[step.name] = kept
        kept += allowed[step.name]
    return sums


def used(exchange: Exchange) -> dict[str, float]:
    """Seconds that each step of a finished request took; they add up to its whole duration. Steps that it did not
    pass are left out."""
    arrived, spent = exchange.arrived, dict[str, float]()
    edge = exchange.stage_notes.get(EDGE)
    if edge is not None:
        spent["routing"] = max(0.0, arrived - edge[0])
        spent["auth"] = max(0.0, edge[1] - arrived)
    ours = spent.get("auth", 0.0)
    for taken in exchange.decisions:
        step = _STAGE_STEPS.get(taken.stage)
        if step is not None:
            spent[step] = spent.get(step, 0.0) + taken.seconds
        elif taken.stage == _RETRIEVAL:
            decision = taken.decision
            prepared = min(taken.seconds, decision.seconds.get(_PREPARED, 0.0)) if decision is not None else 0.0
            spent["query_preprocessing"] = prepared
            spent["hybrid_search"] = taken.seconds - prepared
        else:
            continue
        ours += taken.seconds
    end = exchange.finished if exchange.finished is not None else exchange.clock.now()
    at = arrived + ours
    call = exchange.adopted
    if call is not None and call.began is not None:
        began, ended = call.began, call.ended if call.ended is not None else end
        spent["first_token"] = max(0.0, began - at)
        spent["streaming"] = max(0.0, min(ended, end) - began)
        at = max(at, began, min(ended, end))
    spent["format"] = max(0.0, end - at)
    return spent
