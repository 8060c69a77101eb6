"""A cheap answer that is served only where the evidence in its request carries it."""

import pytest

from hapenny.core.errors import Unavailable
from hapenny.evidence.tier_options import checked
from hapenny.routing.audit_view import AuditedRouter
from hapenny.routing.router import Router
from hapenny.routing.tiers import TierStage
from tests.routing.test_cascade import NAMES, ask, run, world

ASKED = "<document>\nThe pen costs 4.20 euros.\n</document>\nWhat does the pen cost?"
RIGHT, WRONG = "The pen costs 4.20 euros.", "The pen costs 4.90 euros."


def stage(option):
    return TierStage(NAMES, Router(), proven=lambda exchange: option)


AUDITS = AuditedRouter(Router(), NAMES.tiers, lambda: 0.0)
"""What audits see of a request."""


async def test_a_carried_answer_is_served():
    pipeline, calls = world({"haiku": RIGHT, "sonnet": "4.20"}, stage(checked("fast")))
    exchange = ask(ASKED)
    assert await run(pipeline, exchange) == RIGHT
    assert calls == [("haiku", "serve")]
    assert exchange.target.model == "haiku"
    assert AUDITS.served(exchange) == checked("fast")
    assert AUDITS.escalated(exchange) == ""


@pytest.mark.parametrize("first", [WRONG, Unavailable("down"), (RIGHT, "max_tokens"), "You are welcome."])
async def test_any_other_is_the_baselines_to_answer(first):
    pipeline, calls = world({"haiku": first, "sonnet": RIGHT}, stage(checked("fast")))
    exchange = ask(ASKED)
    assert await run(pipeline, exchange) == RIGHT
    assert calls[-1] == ("sonnet", "escalate")
    assert exchange.target.model == exchange.adopted.target.model == "sonnet"
    assert {call.technique for call in exchange.calls} == {"tiers"}
    assert AUDITS.served(exchange) == ""
    assert AUDITS.escalated(exchange) == checked("fast")


async def test_what_evidence_allows_unchecked_is_not_checked():
    pipeline, calls = world({"haiku": WRONG, "sonnet": RIGHT}, stage("fast"))
    exchange = ask(ASKED)
    assert await run(pipeline, exchange) == WRONG
    assert calls == [("haiku", "serve")]
    assert AUDITS.served(exchange) == "fast"
