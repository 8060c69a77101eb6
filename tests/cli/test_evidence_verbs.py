"""train, select, compare and experiment, as people run them."""

import asyncio
import json

import msgspec
import numpy as np
import pytest

from hapenny.config import load
from hapenny.core.clock import RealClock
from hapenny.core.messages import Message, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.telemetry.ledger import Ledger, LedgerOptions
from hapenny.telemetry.rows import Row, verdict
from tests.routing.test_scorer import traffic
from tests.settling import settled


def write(path, rows):
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path


def outcomes(path, n=900):
    prompts, weak, strong, tasks = traffic(n)
    return write(
        path,
        [
            {
                "prompt": f"{p} {i}",
                "intent": t,
                "models": {"small": {"score": w, "cost": 0.001, "latency": 0.3}, "large": {"score": s, "cost": 0.01}},
            }
            for i, (p, w, s, t) in enumerate(zip(prompts, weak.tolist(), strong.tolist(), tasks, strict=True))
        ],
    )


def test_train_then_select(run, tmp_path):
    file = outcomes(tmp_path / "outcomes.jsonl", 2_000)
    said = run("train", "router", "--outcomes", file, "--weak", "small", "--strong", "large",
               "--max-quality-loss", "0.03", "--out", "r.msgpack")  # fmt: skip
    assert "loss<=" in said
    ask = ("select", "--trained", "r.msgpack", "--json")
    easy = json.loads(run(*ask, "hello there how is the weather blue cat 7", "--intent", "chat"))
    hard = json.loads(run(*ask, "prove the theorem of blue seven river cat 9", "--intent", "math"))
    assert (easy["tier"], hard["tier"]) == ("fast", "strong")
    assert "confidence=0.95" in easy["certificate"]
    assert "fast" in run("select", "What time is it?")


def test_a_router_trained_for_a_deployment_holds_there_until_something_changes(run, tmp_path):
    file = outcomes(tmp_path / "outcomes.jsonl", 2_000)
    here, ask = tmp_path / "here.yaml", "hello there how is the weather blue cat 7"
    here.write_text("stages: {tiers: {trained: r.msgpack}}\nledger: null\n")
    train = ("train", "router", "--outcomes", file, "--weak", "small", "--strong", "large",
             "--max-quality-loss", "0.03", "--out", "r.msgpack")  # fmt: skip

    def tier():
        router = Gateway.from_file(str(here)).parts.router
        return router.rule(ask, "chat").tier

    run(*train)
    assert tier() == "strong"  # certified for `small` and `large`, whatever those are
    run(*train, "-c", here)
    assert tier() == "fast"
    here.write_text(here.read_text() + "routes: {default: {prompt_version: '2'}}\n")
    assert tier() == "strong"


def test_train_says_what_is_wrong(run, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": 3}\n')
    assert "line 1" in run("train", "router", "--outcomes", bad, "--weak", "a", "--strong", "b", ok=False)
    few = outcomes(tmp_path / "few.jsonl", 20)
    assert "40 are the least" in run(
        "train", "router", "--outcomes", few, "--weak", "small", "--strong", "large", ok=False
    )


def test_train_intents(run, tmp_path):
    file = write(
        tmp_path / "labelled.jsonl",
        [{"text": f"{word} my order {i}", "label": word} for i in range(40) for word in ("cancel", "track")],
    )
    assert "2 intents" in run("train", "intents", "--labelled", file)


def test_export_needs_consent_and_redacts(run, tmp_path):
    rows = [
        {"prompt": "write to ann@example.com", "answer": "done", "score": 1.0},
        {"prompt": "weak", "answer": "no", "score": 0.2},
        {"prompt": "unverified", "answer": "hm"},
        {"prompt": "refused", "answer": "x", "score": 1.0, "consent": False},
    ]
    file = write(tmp_path / "answers.jsonl", rows)
    assert "--consent" in run("train", "export", "--answers", file, "--out", "x.jsonl", ok=False)
    for shape in ("openai", "bedrock"):
        said = run("train", "export", "--answers", file, "--format", shape, "--consent", "--out", f"{shape}.jsonl")
        assert "1 of 4" in said
        assert "ann@example.com" not in (tmp_path / f"{shape}.jsonl").read_text()


def test_compare_logged_outcomes(run, tmp_path):
    file = outcomes(tmp_path / "outcomes.jsonl", 200)
    fixed = ("--fixed", "small=500", "--fixed", "large=5")
    found = json.loads(run("compare", "--outcomes", file, *fixed, "--plot", "p.svg", "--json"))
    assert [line["model"] for line in found["models"]] == ["small", "large"]
    assert found["models"][0]["ratio_low"] < found["models"][0]["ratio"] < found["models"][0]["ratio_high"]
    assert found["dominated"] == []
    assert found["break_even"][0]["from_requests_a_month"] == pytest.approx(495 / 0.009)
    assert "<svg" in (tmp_path / "p.svg").read_text()


def test_compare_asks_simulated_models(run, tmp_path):
    file = write(tmp_path / "p.jsonl", [{"prompt": "Say yes.", "json_schema": {"type": "object"}}] * 2)
    found = json.loads(run("compare", "--models", "fast", "--prompts", file, "--json"))
    assert found["models"][0]["cost"] > 0
    assert found["models"][0]["quality"] == 0


def test_replay_compares_arms_on_the_same_prompts(run, tmp_path):
    (tmp_path / "e.yaml").write_text("name: e\narms: {control: {model: strong}, cheap: {model: fast}}\n")
    rows = [{"prompt": f"Say the number {i}.", "json_schema": {"type": "number"}} for i in range(2)]
    file = write(tmp_path / "p.jsonl", rows)
    effects = json.loads(run("experiment", "replay", "e.yaml", "--prompts", file, "--json"))
    cost = next(one for one in effects if one["metric"] == "cost")
    assert cost["arm"] == "cheap"
    assert cost["difference"] < 0


def test_replay_carries_out_thresholds_parameters_and_prompts_as_traffic_would(run, tmp_path):
    (tmp_path / "h.yaml").write_text("ledger: null\nroutes: {default: {preset: demo, stages: {semantic: 'off'}}}\n")
    (tmp_path / "e.yaml").write_text(
        "name: e\narms:\n  control: {}\n  bold: {settings: {tiers.balanced_from: 1.1, tiers.strong_from: 1.1}}\n"
        "  careful: {settings: {tiers.strong_from: 0.0}}\n  brief: {parameters: {max_tokens: 8, override: true}}\n"
    )
    asked = "If x, compare each of (a + b) * c and derive the plan; then prove it. " * 6
    file = write(
        tmp_path / "p.jsonl", [{"prompt": asked + str(i), "json_schema": {"type": "number"}} for i in range(2)]
    )
    base = ("experiment", "replay", "e.yaml", "--prompts", file, "-c", "h.yaml")
    effects = json.loads(run(*base, "--json", "--plot", "e.svg"))
    by = {(one["arm"], one["metric"]): one for one in effects}
    assert by["bold", "cost"]["difference"] < 0
    assert by["careful", "cost"]["difference"] == 0
    assert by["brief", "length"]["difference"] < 0
    assert {metric for _, metric in by} == {"quality", "cost", "ttft", "e2e", "length", "escalated"}
    assert "e, replayed" in (tmp_path / "e.svg").read_text()


EXPERIMENT = """
name: shorter
arms:
  control: {}
  short: {prompt_version: "2"}
metric: quality
horizon: 500
guardrails: [{metric: cost, margin: 0.01}]
secondary: [e2e]
"""


async def rows_of(path):
    ledger = Ledger(LedgerOptions(path=path), RealClock(seed=1))
    await ledger.start()
    rng = np.random.default_rng(0)
    for i in range(1_200):
        arm = "short" if rng.random() < 0.5 else "control"
        good = float(rng.random() < (0.8 if arm == "short" else 0.6))
        ledger.write(
            Row(id=f"r{i}", wall=float(i), tenant="t", session=str(i).encode(), arms={"shorter": arm},
                scores={"quality": good}, e2e=1.0 + rng.random(), actual=1_000_000, output_tokens=50)
        )  # fmt: skip
    await ledger.aclose()


async def test_an_experiment_from_start_to_verdict(run, tmp_path):
    (tmp_path / "shorter.yaml").write_text(EXPERIMENT)
    assert "control 50%" in run("experiment", "start", "shorter.yaml")
    assert "running" in run("experiment", "start", "shorter.yaml", ok=False)
    (tmp_path / "twice.yaml").write_text("name: a\nname: b\narms: {control: {}, other: {}}\n")
    assert "stands twice" in run("experiment", "start", "twice.yaml", ok=False)
    assert "shorter: running" in run("experiment", "status")
    await rows_of(str(tmp_path / "ledger.db"))
    base = ("experiment", "analyse", "shorter", "--ledger", "ledger.db")
    said = run(*base, "--plot", "e.svg")
    assert "short: better" in said
    assert "guardrail cost (margin 0.01)" in said
    assert "<svg" in (tmp_path / "e.svg").read_text()
    assert json.loads(run(*base, "--json"))["verdicts"] == {"short": "better"}
    assert json.loads(run(*base, "--cloudwatch"))["Namespace"] == "hapenny/experiments"
    assert len(json.loads(run(*base, "--sagemaker"))) == 2
    (tmp_path / "labels.csv").write_text("request_id,score\n" + "".join(f"r{i},down\n" for i in range(1_200)))
    assert "no verdict yet" in run(*base, "--labels", "labels.csv")
    assert "stopped" in run("experiment", "stop", "shorter")
    assert "stopped" in run("experiment", "status")
    again = run("experiment", "start", "shorter.yaml", ok=False)
    assert "Fix: give the new experiment another name, e.g. shorter-2" in again
    assert "no experiment" in run("experiment", "analyse", "other", ok=False)


async def test_sessions_that_changed_arm_are_shown(run, tmp_path):
    (tmp_path / "shorter.yaml").write_text(EXPERIMENT)
    run("experiment", "start", "shorter.yaml")
    ledger = Ledger(LedgerOptions(path=str(tmp_path / "ledger.db")), RealClock())
    await ledger.start()
    for number, arm in enumerate(["control", "short", "control", "short"] * 3):
        session = str(number // 2 if number < 4 else number).encode()  # the first two sessions see both arms
        ledger.write(
            Row(
                id=f"r{number}",
                wall=float(number),
                tenant="t",
                session=session,
                arms={"shorter": arm},
                scores={"quality": 1.0},
            )
        )
    await ledger.aclose()
    base = ("experiment", "analyse", "shorter", "--ledger", "ledger.db")
    assert "2 sessions were seen in more than one arm and left out" in run(*base)
    assert json.loads(run(*base, "--json"))["changed_arm"] == 2


def test_shares_changed_by_hand_are_refused(run, tmp_path):
    (tmp_path / "shorter.yaml").write_text(EXPERIMENT)
    run("experiment", "start", "shorter.yaml")
    state = tmp_path / ".hapenny" / "experiments.json"
    started = json.loads(state.read_text())
    started[0]["arms"]["short"]["share"] = 7.0
    state.write_text(json.dumps(started))
    config = f"ledger: null\nstages: {{arms: {{file: '{state}'}}}}\nroutes: {{default: {{stages: {{arms: on}}}}}}"
    with pytest.raises(ValueError, match=r"moves sessions from arm to arm\. Fix:"):
        Gateway(load(text=config))


def test_a_wrong_experiment_is_refused(run, tmp_path):
    (tmp_path / "one.yaml").write_text("name: one\narms: {control: {}}\n")
    assert "at least one variant" in run("experiment", "start", "one.yaml", ok=False)
    (tmp_path / "odd.yaml").write_text("name: odd\narmz: {}\n")
    assert "odd.yaml" in run("experiment", "start", "odd.yaml", ok=False)


CONTENT = """
backends: {simulated: {kind: simulated}}
routes: {default: {holdout: 0}}
ledger: {path: "%s/ledger.db"}
content:
  path: "%s/content.db"
  options: {key: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", sample: 1, routes: [default]}
"""


def test_a_teachers_answers_are_exported_also_those_that_audits_asked_for(run, tmp_path):
    file = tmp_path / "hapenny.yaml"
    routed = "holdout: 0, preset: demo, audit_share: 1.0, baseline: strong, stages: {semantic: off}"
    file.write_text((CONTENT % (tmp_path, tmp_path)).replace("holdout: 0", routed))
    questions = [f"hello, is the {thing} open" for thing in ("ferry", "toll", "lamp", "bridge", "quay", "mill")]
    served = {}

    async def asked():
        async with Gateway.from_file(str(file)) as gateway:
            for text in questions:
                request = Request(protocol="openai", model="auto", messages=(Message("user", (Text(text),)),))
                _, exchange = await gateway.complete(request)
                served[text] = exchange.calls[0].target.model
                await settled(gateway)
            assert gateway.names.tiers["strong"].model not in served.values()

    asyncio.run(asked())
    export = ("train", "export", "-c", file, "--consent")
    assert "6 of 6" in run(*export, "--teacher", "strong", "--out", "taught.jsonl")
    taught = [json.loads(line)["messages"] for line in (tmp_path / "taught.jsonl").read_text().splitlines()]
    assert sorted(turns[-2]["content"] for turns in taught) == sorted(questions)
    assert "0 of 0" in run(*export, "--teacher", "max", "--out", "none.jsonl")  # it was never asked
    assert "is not one model here" in run(*export, "--teacher", "nobody", "--out", "x.jsonl", ok=False)
    parts = run(*export, "--teacher", "strong", "--out", "t.jsonl", "--validation", "v.jsonl")
    assert parts.count(" answers") == 2
    apart = [(tmp_path / name).read_text().splitlines() for name in ("t.jsonl", "v.jsonl")]
    assert len(apart[0]) + len(apart[1]) == 6


def test_training_data_and_evaluations_come_from_the_content_store(run, tmp_path):
    file = tmp_path / "hapenny.yaml"
    file.write_text(CONTENT % (tmp_path, tmp_path))

    async def asked():
        async with Gateway.from_file(str(file)) as gateway:
            for text in ("Where is the ferry? I am ann@example.com", "Where is the toll?", "Where is the lamp?"):
                request = Request(protocol="openai", model="fast", messages=(Message("user", (Text(text),)),))
                _, exchange = await gateway.complete(request)
                await settled(gateway)
                if "ferry" in text:
                    gateway.ledger.book(verdict(exchange.id, 1.0, "user", gateway.clock.wall()))
                if "toll" in text:
                    assert await gateway.recorder.content.correct(exchange.id, "At the bridge.")

    asyncio.run(asked())
    assert "2 of 3" in run("train", "export", "-c", file, "--consent", "--out", "t.jsonl")
    written = (tmp_path / "t.jsonl").read_text()
    assert "ann@example.com" not in written
    assert "At the bridge." in written
    assert "lamp" not in written
    assert "3 responses" in run("experiment", "export-evaluations", "-c", file, "--out", "e.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    results = [
        {
            "inputRecord": {"prompt": line["prompt"]},
            "modelResponses": line["modelResponses"],
            "automatedEvaluationResult": {"scores": [{"metricName": "Builtin.Correctness", "result": 1.0}]},
        }
        for line in lines
    ]
    done = write(tmp_path / "results.jsonl", results)
    ask = ("experiment", "import-evaluations", done, "--out", "o.jsonl", "--metric")
    assert "3 prompts" in run(*ask, "Builtin.Correctness")
    first = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[0])
    (outcome,) = first["models"].values()
    assert outcome["score"] == 1.0
    assert outcome["cost"] > 0
    assert "no record" in run(*ask, "Builtin.Style", ok=False)
