"""A cheap answer that is served only where the evidence in its request carries it; elsewhere the baseline answers.

A checked answer comes as a whole. What an answer that is not served has cost is the tier stage's own cost.
"""

from __future__ import annotations

from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange, Target
from hapenny.core.stage import Onward
from hapenny.evidence.facts import said
from hapenny.evidence.grounding import grounded
from hapenny.routing.attempts import attempt, escalate, serve
from hapenny.routing.options import TIERS_STAGE


async def answer_checked(exchange: Exchange, target: Target, onward: Onward) -> Answer:
    """Serves the answer of `target` if it is whole and carried, else the baseline's."""
    payer = TIERS_STAGE.name
    made = await attempt(exchange, target, onward, why=f"checked {target.model}", payer=payer)
    whole = made is not None and made.completion.reason in ("end_turn", "stop_sequence", "tool_use")
    if made is not None and whole and grounded(said(made.completion), made.branch.request, exchange.original.question):
        return serve(exchange, made)
    return await escalate(exchange, exchange.baseline, onward, why="not carried by the evidence", payer=payer)
