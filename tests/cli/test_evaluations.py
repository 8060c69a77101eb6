"""Bedrock Evaluations results, from the files of its jobs to `compare` and `train router`.

Lines have the form that the Amazon Bedrock User Guide documents: "Understand how the results of your model evaluation
job are saved in Amazon S3" (programmatic and human jobs); a judge's scores have `evaluatorDetails` beside `result`.
"""

import json

import pytest

from hapenny.catalog import default
from tests.cli.test_evidence_verbs import write
from tests.routing.test_scorer import traffic

HAIKU, SONNET = "anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-5-sonnet-20240620-v1:0"
JUDGE = "amazon.nova-pro-v1:0"


def arn(model):
    return f"arn:aws:bedrock:us-west-2::foundation-model/{model}"


def record(prompt, answers, **results):
    return {
        **results,
        "inputRecord": {"prompt": prompt, "category": "sums", "referenceResponse": "4"},
        "modelResponses": [{"modelIdentifier": name, "response": text} for name, text in answers.items()],
    }


def automated(prompt, model, answer, metric, score, judge=None):
    one = {"metricName": metric, "result": score}
    if judge is not None:
        one["evaluatorDetails"] = [{"modelIdentifier": judge, "explanation": "It is right."}]
    return record(prompt, {model: answer}, automatedEvaluationResult={"scores": [one]})


def by_people(prompt, answers, metric, *workers):
    """Each worker: up or down for every answer, in order."""
    names = list(answers)
    said = [
        {
            "answerContent": {
                "evaluationResults": {
                    "thumbsUpDown": [
                        {"metricName": metric, "modelResponseId": str(at), "result": up} for at, up in enumerate(ups)
                    ]
                }
            },
            "workerId": f"4444{number}",
        }
        for number, ups in enumerate(workers)
    ]
    ids = {str(at): name for at, name in enumerate(names)}
    return record(prompt, answers, humanEvaluationResult=[{"humanAnswers": said, "modelResponseIdMap": ids}])


def jobs(tmp_path, n=12):
    """A programmatic, a judge's and a human job on the same prompts and two models."""
    prompts = [f"What is {i} and {i}, in words that a child would understand at once?" for i in range(n)]
    answers = {HAIKU: "It is a small number.", SONNET: "Take both hands, count their fingers, and say the sum."}
    pairs = [(p, m, i) for i, p in enumerate(prompts) for m in answers]
    good = {HAIKU: lambda i: float(i % 3 > 0), SONNET: lambda i: float(i % 6 > 0)}
    programmatic = [automated(p, arn(m), answers[m], "Accuracy", good[m](i)) for p, m, i in pairs]
    judged = [automated(p, m, answers[m], "Builtin.Correctness", 0.5 + good[m](i) / 2, JUDGE) for p, m, i in pairs]
    people = [
        by_people(p, {arn(m): answers[m] for m in answers}, "Correctness", (i % 2 == 0, True), (False, True))
        for i, p in enumerate(prompts[:4])
    ]
    return [
        write(tmp_path / f"{name}_output.jsonl", rows)
        for name, rows in (("programmatic", programmatic), ("judge", judged), ("human", people))
    ]


def test_results_of_all_three_kinds_of_jobs_reach_compare_with_cost(run, tmp_path):
    files = jobs(tmp_path)
    base = ("experiment", "import-evaluations", *files, "--metric", "Builtin.Correctness", "--metric", "Accuracy")
    said = run(*base, "--evaluator", "judge", "--out", "o.jsonl")
    assert f"what counts: judge {JUDGE} Correctness; beside it human Correctness, automatic Accuracy" in said
    assert f"12 prompts, answered by {SONNET}, {HAIKU}" in said
    lines = {line["model"]: line for line in json.loads(run("compare", "--outcomes", "o.jsonl", "--json"))["models"]}
    assert set(lines) == {HAIKU, SONNET}
    assert lines[SONNET]["cost"] > 5 * lines[HAIKU]["cost"] > 0
    columns = {name: each["evaluators"] for name, each in lines.items()}
    assert set(columns[HAIKU]) == {f"judge {JUDGE} Correctness", "human Correctness", "automatic Accuracy"}
    assert columns[HAIKU]["automatic Accuracy"]["quality"] == pytest.approx(8 / 12)
    assert columns[HAIKU]["human Correctness"]["quality"] == pytest.approx(0.25)
    assert columns[SONNET]["human Correctness"] == {
        "prompts": 4, "quality": 1, "quality_low": 1, "quality_high": 1
    }  # fmt: skip
    assert lines[HAIKU]["quality"] == columns[HAIKU][f"judge {JUDGE} Correctness"]["quality"]
    assert lines[HAIKU]["prompts"] == 12


def test_the_plain_table_has_a_column_an_evaluator_and_fits_eighty_columns(run, tmp_path):
    files = jobs(tmp_path)
    base = ("experiment", "import-evaluations", *files, "--metric", "Correctness", "--metric", "Accuracy")
    run(*base, "--out", "o.jsonl")
    shown = run("compare", "--outcomes", "o.jsonl")
    assert max(len(line) for line in shown.splitlines()) <= 80
    heads = shown[shown.index("Pareto front") :]
    assert all(word in heads for word in ("human", "judge", "automatic", "Correctness", "Accuracy"))
    assert "0.250" in heads
    assert "12 prompts" in heads  # people, who count here, scored only four


def test_many_metrics_become_several_tables(run, tmp_path):
    names = [f"Builtin.Metric{i}" for i in range(9)]
    rows = [automated(f"p {i}", HAIKU, "a", name, 0.5, JUDGE) for i in range(3) for name in names]
    file = write(tmp_path / "judge_output.jsonl", rows)
    chosen = [part for name in names for part in ("--metric", name)]
    run("experiment", "import-evaluations", file, *chosen, "--out", "o.jsonl")
    shown = run("compare", "--outcomes", "o.jsonl")
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert all(f"Metric{i}" in shown for i in range(9))


def test_the_cost_is_counted_tokens_at_the_price_of_the_model_as_it_was_called(run, tmp_path):
    prompt, answer = "The harbour opens at nine. " * 300, "It opens at nine. " * 200  # about 1,800 and 1,000 tokens
    sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    names = [HAIKU, f"eu.{sonnet}", f"arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.{sonnet}"]
    rows = [automated(prompt, name, answer, "Accuracy", 1.0) for name in names]
    file = write(tmp_path / "o_output.jsonl", rows)
    run("experiment", "import-evaluations", file, "--metric", "Accuracy", "--out", "o.jsonl")
    models = json.loads((tmp_path / "o.jsonl").read_text())["models"]
    assert set(models) == {HAIKU, f"eu.{sonnet}", f"global.{sonnet}"}
    rates = default().resolve(HAIKU).rates()
    assert models[HAIKU]["cost"] == pytest.approx((1_800 * rates.input + 1_000 * rates.output) / 1e12, rel=0.15)
    assert models[f"eu.{sonnet}"]["cost"] / models[f"global.{sonnet}"]["cost"] == pytest.approx(1.1, rel=0.001)


def test_prices_of_a_contract_hold_with_a_configuration(run, tmp_path):
    (tmp_path / "prices.yaml").write_text(
        f"prices: [{{model: '{HAIKU}', input: 0.025, output: 0.125, from: 2020-01-01}}]\n"
    )
    (tmp_path / "hapenny.yaml").write_text("prices: prices.yaml\nledger: null\n")
    file = write(tmp_path / "a_output.jsonl", [automated("2+2?", HAIKU, "4" * 80, "Accuracy", 1.0)])
    base = ("experiment", "import-evaluations", file, "--metric", "Accuracy", "--out")
    run(*base, "list.jsonl")
    run(*base, "contract.jsonl", "-c", "hapenny.yaml")
    listed, agreed = (
        json.loads((tmp_path / f"{name}.jsonl").read_text())["models"][HAIKU]["cost"] for name in ("list", "contract")
    )
    assert agreed == pytest.approx(listed / 10, rel=0.01)


def test_sources_of_ones_own_responses_are_named_or_said_to_have_no_cost(run, tmp_path):
    rows = [automated(f"p {i}", name, "a", "Accuracy", 1.0) for i in range(2) for name in ("my-app-v1", HAIKU)]
    file = write(tmp_path / "a_output.jsonl", rows)
    base = ("experiment", "import-evaluations", file, "--metric", "Accuracy", "--out", "o.jsonl")
    assert "my-app-v1: no known price" in run(*base)
    assert "my-app-v1 is left out" in run("compare", "--outcomes", "o.jsonl")
    found = json.loads(run("compare", "--outcomes", "o.jsonl", "--json"))
    assert (found["without_cost"], [line["model"] for line in found["models"]]) == (["my-app-v1"], [HAIKU])
    assert "no known price" not in run(*base, "--model", f"my-app-v1={SONNET}")
    found = json.loads(run("compare", "--outcomes", "o.jsonl", "--json"))
    assert {line["model"] for line in found["models"]} == {"my-app-v1", HAIKU}
    assert "not a model of the catalog" in run(*base, "--model", "my-app-v1=nobody", ok=False)
    assert "NAME=ID" in run(*base, "--model", "my-app-v1", ok=False)


def test_metrics_whose_best_value_is_zero_are_turned_round_and_others_must_be_scores(run, tmp_path):
    rows = [automated("p", HAIKU, "a", "Toxicity", 0.1), automated("p", HAIKU, "a", "Robustness", 12.5)]
    file = write(tmp_path / "a_output.jsonl", rows)
    base = ("experiment", "import-evaluations", file, "--out", "o.jsonl", "--metric")
    run(*base, "Toxicity")
    models = json.loads((tmp_path / "o.jsonl").read_text())["models"]
    assert models[HAIKU]["score"] == pytest.approx(0.9)
    assert "12.5 is no score between 0 and 1" in run(*base, "Robustness", ok=False)
    said = run(*base, "Accuracy", ok=False)
    assert "no record has a score of 'Accuracy'; there are automatic Robustness, automatic Toxicity" in said
    assert "by 'human'" in run(*base, "Toxicity", "--evaluator", "human", ok=False)


def test_a_router_is_trained_on_a_judges_results(run, tmp_path):
    prompts, weak, strong, _ = traffic(2_000)
    files = []
    for model, scores in ((HAIKU, weak), (SONNET, strong)):
        rows = [
            automated(f"{p} {i}", arn(model), "Yes.", "Builtin.Correctness", s, JUDGE)
            for i, (p, s) in enumerate(zip(prompts, scores.tolist(), strict=True))
        ]
        files.append(write(tmp_path / f"{len(files)}_output.jsonl", rows))
    run("experiment", "import-evaluations", *files, "--metric", "Builtin.Correctness", "--out", "o.jsonl")
    train = ("train", "router", "--outcomes", "o.jsonl", "--max-quality-loss", "0.03", "--out", "r.msgpack")
    assert "loss<=" in run(*train, "--weak", HAIKU, "--strong", SONNET)
    ask = ("select", "--trained", "r.msgpack", "--json")
    easy = json.loads(run(*ask, "hello there how is the weather blue cat 7"))
    hard = json.loads(run(*ask, "prove the theorem of blue seven river cat 9"))
    assert (easy["tier"], hard["tier"]) == ("fast", "strong")
    assert f"The rows name {SONNET}, {HAIKU}" in run(*train, "--weak", "haiku", "--strong", "sonnet", ok=False)


def test_a_dearer_model_that_is_no_better_gets_nothing(run, tmp_path):
    """What `train router` says of domination needs costs: evaluations bring them."""
    rows = []
    for i in range(120):
        rows.append(automated(f"question {i}", HAIKU, "Yes.", "Accuracy", float(i % 10 > 0)))
        rows.append(automated(f"question {i}", SONNET, "Yes.", "Accuracy", float(i % 2)))
    file = write(tmp_path / "a_output.jsonl", rows)
    run("experiment", "import-evaluations", file, "--metric", "Accuracy", "--out", "o.jsonl")
    said = run("train", "router", "--outcomes", "o.jsonl", "--weak", HAIKU, "--strong", SONNET)
    assert f"{SONNET} gets nothing: {HAIKU} is" in said
    assert f"{SONNET} is dominated by {HAIKU}" in run("compare", "--outcomes", "o.jsonl")
