"""The LLM judge, audits, labels and other tools' shapes."""

import asyncio

import botocore.session
import numpy as np
import pytest
from botocore.validate import ParamValidator

from hapenny.core.clock import RealClock
from hapenny.core.money import NANO
from hapenny.evidence import formats, llm
from hapenny.evidence.analysis import Unit, analyse
from hapenny.evidence.audits import AuditOptions, Auditor
from hapenny.evidence.labels import Feedback, Labels, read_csv


def judge_that(decide):
    async def ask(prompt):
        first = prompt.split("<answer_a>\n")[1].split("\n</answer_a>")[0]
        second = prompt.split("<answer_b>\n")[1].split("\n</answer_b>")[0]
        return decide(first, second)

    return ask


async def test_judge_prefers_the_better_answer_in_either_place():
    ask = judge_that(lambda a, b: "Verdict: A" if a == "Paris" else "Verdict: B")
    assert (await llm.compare(ask, "Capital of France?", "Paris", "Lyon")).score == 1
    worse = await llm.compare(ask, "Capital of France?", "Lyon", "Paris")
    assert (worse.score, llm.loss(worse)) == (0, 1)


async def test_a_judge_that_likes_a_place_is_a_tie():
    found = await llm.compare(judge_that(lambda a, b: "verdict: A"), "q", "x", "y")
    assert (found.score, found.consistent) == (0.5, False)


async def test_a_judge_that_says_nothing_is_a_tie_and_equal_answers_cost_nothing():
    assert (await llm.compare(judge_that(lambda a, b: "hm, hard to say"), "q", "x", "y")).score == 0.5
    assert (await llm.compare(judge_that(lambda a, b: "A"), "q", "same", " same ")).calls == 0


async def test_braces_in_answers_are_only_text():
    found = await llm.compare(judge_that(lambda a, b: "B" if a == "{second}" else "A"), "{first}", "{second}", "{x}")
    assert found.consistent


async def test_audits_keep_to_share_and_budget():
    auditor = Auditor(AuditOptions(share=0.1, dollars_a_day=1.0), RealClock(seed=3))
    assert 0.07 < np.mean([auditor.wants() for _ in range(5_000)]) < 0.13

    async def audit():
        return "worse", NANO

    assert await auditor.run(audit()) == "worse"
    assert auditor.spent == NANO
    assert not any(auditor.wants() for _ in range(500))


async def test_a_failed_audit_harms_nobody():
    auditor = Auditor(AuditOptions(share=1.0, dollars_a_day=1.0), RealClock(seed=3))

    async def audit():
        raise ConnectionError

    assert await auditor.run(audit()) is None
    assert auditor.wants()


async def test_without_a_share_audits_never_cost_more_than_their_part_of_the_bill():
    auditor = Auditor(AuditOptions(share=None, dollars_a_day=None, budget_share=0.05), RealClock(seed=3))
    paid = 0

    async def audit():
        return "same", NANO // 100

    assert not auditor.wants(dear=False, watching=False)
    for _ in range(2_000):
        auditor.earn(NANO // 100)
        paid += NANO // 100
        if auditor.wants(dear=False, watching=False):
            await auditor.run(audit())
        assert auditor.spent <= 0.05 * (paid + auditor.spent) + NANO // 100
    assert auditor.spent >= 0.04 * paid


async def test_a_reserve_stays_for_the_watch_of_what_is_in_force():
    auditor = Auditor(AuditOptions(share=None, dollars_a_day=None, budget_share=0.05), RealClock(seed=3))

    async def audit():
        return "same", NANO // 100

    async def asked(turns, **how):
        count = 0
        for _ in range(turns):
            auditor.earn(NANO // 100)
            if auditor.wants(dear=False, **how):
                await auditor.run(audit())
                count += 1
        return count

    await asked(100, watching=True)
    explored = await asked(2_000, watching=False, held=True)
    settled = await asked(200, watching=True, suspicious=True)
    assert explored <= 20
    assert settled >= 80


async def test_an_audit_under_way_holds_back_what_it_will_cost():
    auditor = Auditor(AuditOptions(share=None, dollars_a_day=None, budget_share=0.5), RealClock(seed=3))
    auditor.earn(NANO)
    auditor.charge(NANO // 10, dear=False)
    began = asyncio.Event()

    async def audit():
        began.set()
        await asyncio.sleep(3600)
        return "same", NANO // 10

    under_way = [asyncio.create_task(auditor.run(audit())) for _ in range(2)]
    await began.wait()
    assert not any(auditor.wants(dear=False) for _ in range(50))
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    assert any(auditor.wants(dear=False) for _ in range(50))


def test_feedback_scores():
    assert Feedback(request_id="r", thumbs="up").value() == 1
    assert Feedback(request_id="r", corrected="no: 5").value() == 0
    for bad in (Feedback(request_id="r"), Feedback(request_id="r", score=1.5)):
        with pytest.raises(ValueError, match="Fix"):
            bad.value()


def test_labels_last_and_hold_no_text(tmp_path):
    path = tmp_path / "labels.jsonl"
    labels = Labels(path)
    labels.add(Feedback(request_id="r1", thumbs="up"))
    labels.add(Feedback(request_id="r1", thumbs="down"))
    labels.add(Feedback(request_id="r1", source="expert", score=0.8))
    labels.add(Feedback(request_id="r2", corrected="a secret"))
    again = Labels(path)
    assert again.score("r1") == pytest.approx(0.4)
    assert (again.score("r2"), again.score("r3"), len(again)) == (0, None, 2)
    assert b"secret" not in path.read_bytes()


def test_labels_by_csv():
    found = list(read_csv(["request_id,score,corrected", "r1,up,", "r2,0.25,better"]))
    assert [one.value() for one in found] == [1.0, 0.25]
    assert found[1].corrected == "better"
    for lines, words in ((["id,score"], "header"), (["request_id,score", "r,many"], "line 2")):
        with pytest.raises(ValueError, match=words):
            list(read_csv(lines))


def valid(service, operation, request):
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    return ParamValidator().validate(request, shape).generate_report()


def test_cloudwatch_and_sagemaker_requests_are_what_aws_takes():
    units = [
        Unit(arm=arm, metrics={"quality": i / 10, "ttft": 0.2}) for i in range(10) for arm in ("control", "variant")
    ]
    request = formats.cloudwatch("shorter", units, 1_790_000_000.0)
    assert valid("cloudwatch", "PutMetricData", request) == ""
    assert request["MetricData"][0]["StatisticValues"]["SampleCount"] == 10
    found = analyse(units, {"control": 0.5, "variant": 0.5}, metric="quality")
    runs = formats.sagemaker("shorter", found, {"variant": {"temperature": 0.2, "model": "fast"}}, 1_790_000_000.0)
    assert len(runs) == 2
    for run in runs:
        assert valid("sagemaker", "CreateTrialComponent", run["component"]) == ""
        assert valid("sagemaker-metrics", "BatchPutMetrics", run["metrics"]) == ""
