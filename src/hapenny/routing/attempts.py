"""A cheap model's answer that is read whole before anybody sees it, and what comes in its place.

Nothing is sent to the client before the choice, so that an escalation streams nothing twice.
"""

from __future__ import annotations

from msgspec import Struct

from hapenny.core.answer import Answer, Replay
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, Completion, Event
from hapenny.core.exchange import Exchange, Target
from hapenny.core.stage import Onward


class Attempt(Struct):
    """A whole answer, and the branch of the request on which it came."""

    branch: Exchange
    events: list[Event]
    completion: Completion


async def attempt(exchange: Exchange, target: Target, onward: Onward, *, why: str, payer: str) -> Attempt | None:
    """Asks `target` beside the request, and waits for all of its answer; None where it fails.

    Args:
        exchange: the request, which stays as it is.
        target: who is asked.
        onward: the rest of the pipeline.
        why: name of the branch.
        payer: the technique whose cost it is.
    """
    branch = exchange.branch(why, payer=payer)
    branch.target = target
    collector = Collector()
    try:
        events = [event async for event in await onward(branch)]
        for event in events:
            collector.feed(event)
        return Attempt(branch, events, collector.finish())
    except Failure:
        return None


def serve(exchange: Exchange, made: Attempt) -> Answer:
    """The answer of an attempt as the request's own."""
    exchange.adopt(made.branch)
    return Answer(Replay(made.events))


async def escalate(exchange: Exchange, target: Target, onward: Onward, *, why: str, payer: str) -> Answer:
    """The answer of `target`, as it comes, in place of the attempts'."""
    branch = exchange.branch(why, purpose="escalate", payer=payer)
    branch.target = target
    answer = await onward(branch)
    exchange.adopt(branch)
    return answer
