"""A cheap answer that is served only where the evidence in its request carries it; elsewhere the baseline answers.

Nothing is sent to the client before the check, so that an escalation streams nothing twice: a checked answer comes as a
whole. What an answer that is not served has cost is the tier stage's own cost.
"""

from __future__ import annotations

from hapenny.core.answer import Answer, Replay
from hapenny.core.errors import Failure
from hapenny.core.events import Collector
from hapenny.core.exchange import Exchange, Target
from hapenny.core.stage import Onward
from hapenny.evidence.facts import said
from hapenny.evidence.grounding import grounded
from hapenny.routing.options import TIERS_STAGE


async def answer_checked(exchange: Exchange, target: Target, onward: Onward) -> Answer:
    """Serves the answer of `target` if it is whole and carried, else the baseline's."""
    branch = exchange.branch(f"checked {target.model}", payer=TIERS_STAGE.name)
    branch.target = target
    answer = None
    try:
        answer = await onward(branch)
        events = [event async for event in answer]
    except Failure:
        events = []
    finally:
        if answer is not None:
            await answer.aclose()
    collector = Collector()
    for event in events:
        collector.feed(event)
    if events:
        done = collector.finish()
        whole = done.reason in ("end_turn", "stop_sequence", "tool_use")
        if whole and grounded(said(done), branch.request, exchange.original.question):
            exchange.adopt(branch)
            return Answer(Replay(events))
    branch = exchange.branch("not carried by the evidence", purpose="escalate", payer=TIERS_STAGE.name)
    branch.target = exchange.baseline
    answer = await onward(branch)
    exchange.adopt(branch)
    return answer
