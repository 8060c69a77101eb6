"""The customers of the first-day benchmark: forms of context that hold the same question, and advice that is taken."""

import pytest
from benchmarks.firstday.__main__ import MAX_QUALITY_LOSS, Followed, changed, week_off
from benchmarks.firstday.customers import FORMS, customers
from benchmarks.firstday.deployment import Deployment, Ran

from hapenny.simulation import loop
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.workload.requests import request
from hapenny.studies.virtual_run import everything


def test_every_form_of_context_holds_the_same_question():
    (rag,) = [customer for customer in customers(20) if customer.name == "rag"]
    with_context = [message for message in rag.messages if message.documents]
    assert len(with_context) > 50
    asked = [rag.shape(message, request(message, [])) for message in with_context]
    assert len({one.messages[-1].text[:8] for one in asked}) >= len(FORMS) - 1
    for message, one in zip(with_context, asked, strict=True):
        assert one.question == message.text.strip()


@pytest.mark.long
@pytest.mark.timeout(400)
def test_what_the_report_advises_is_saved_within_three_points():
    (agent,) = [customer for customer in customers(200, weeks=5) if customer.name == "agent"]
    steps = Followed(agent, lambda text: None).follow()
    assert next(iter(steps)) == "safe"
    assert steps["safe"]["saved_share"] > 0
    assert len(steps) > 1
    for name, step in steps.items():
        assert step["quality_diff_ci95"][0] > -MAX_QUALITY_LOSS
        assert step["evidence_cost"] <= step["max_evidence_cost"] + 0.005
        if name != "safe":
            assert abs(step["saved_share"] - step["saved_predicted"]) < 0.03
            assert step["step_gain"] > -0.005


def test_safe_changes_no_answer_and_its_report_says_what_needs_evidence_first():
    faq = customers(5)[0]

    async def main(clock: VirtualClock) -> Ran:
        config = everything("safe", "current-2026", holdout=0.0)
        async with Deployment(faq, config, "strong", clock, seed=7) as gateway:
            return await gateway.week(faq.messages)

    safe = loop.run(main, seed=7)
    assert [record.right for record in safe.records] == [record.right for record in week_off(faq, faq.messages)]
    assert safe.saved > 0
    assert {step.name: step.after > 0 for step in safe.advised.steps} == {"tiers:auto": True}


def test_advice_changes_the_route_and_nothing_else():
    config = everything("safe", "current-2026")
    told = changed(config, {"model": "auto", "stages": {"tiers": "on"}, "audit_share": 0.01}).routes["default"]
    assert told.stages == {"tiers": "on"}
    assert told.audit_share == 0.01
    assert told.preset == "safe"
