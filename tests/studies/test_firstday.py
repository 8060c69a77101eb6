"""The customers of the first-day benchmark: forms of context that hold the same question, and advice that is taken."""

import pytest
from benchmarks.firstday.__main__ import MAX_QUALITY_LOSS, changed, follow, week
from benchmarks.firstday.customers import FORMS, customers

from hapenny.studies.virtual_run import everything
from hapenny.workload.requests import request


def test_every_form_of_context_holds_the_same_question():
    (rag,) = [customer for customer in customers(20) if customer.name == "rag"]
    with_context = [message for message in rag.messages if message.documents]
    assert len(with_context) > 50
    asked = [rag.shape(message, request(message, [])) for message in with_context]
    assert len({one.messages[-1].text[:8] for one in asked}) >= len(FORMS) - 1
    for message, one in zip(with_context, asked, strict=True):
        assert one.question == message.text.strip()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_what_the_report_advises_is_saved_within_three_points():
    (agent,) = [customer for customer in customers(100) if customer.name == "agent"]
    steps = follow(agent, lambda text: None)
    assert next(iter(steps)) == "safe"
    assert steps["safe"]["saved_share"] > 0
    assert len(steps) > 1
    for name, step in steps.items():
        assert step["max_quality_loss"] == MAX_QUALITY_LOSS
        if name != "safe":
            assert abs(step["saved_share"] - step["saved_predicted"]) < 0.03


def test_safe_changes_no_answer():
    faq = customers(5)[0]
    safe, off = (week(faq, everything(preset, "current-2026"), "strong") for preset in ("safe", "off"))
    assert [record.right for record in safe.records] == [record.right for record in off.records]
    assert safe.paid < off.paid


def test_advice_changes_the_route_and_nothing_else():
    config = everything("safe", "current-2026")
    told = changed(config, {"model": "auto", "stages": {"tiers": "on"}, "audit_share": 0.01}).routes["default"]
    assert told.stages == {"tiers": "on"}
    assert told.audit_share == 0.01
    assert told.preset == "safe"
