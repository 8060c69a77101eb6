"""Bedrock Evaluations' lines: datasets both ways, and the ratings of people.

Lines have the form that the Amazon Bedrock User Guide documents ("Understand how the results of your model evaluation
job are saved in Amazon S3") and, for the five rating methods, the SageMaker Developer Guide ("Understand the results of
a human evaluation job").
"""

import json

import pytest

from hapenny.evidence.bedrock_evaluations import Evaluated, from_bedrock, to_bedrock


def test_bedrock_evaluation_lines_go_both_ways():
    rows = [Evaluated(prompt="2+2?", model="m", response="4", reference="4", category="sums")]
    assert list(from_bedrock(to_bedrock(rows))) == rows
    # Constructed after the result record shape of Bedrock model evaluation jobs.
    result = (
        b'{"automatedEvaluationResult":{"scores":[{"metricName":"Accuracy","result":1.0},{"metricName":"X"}]},'
        b'"inputRecord":{"prompt":"2+2?","referenceResponse":"4"},"modelResponses":[{"response":"4","modelIdentifier":"m"}]}'
    )
    assert next(from_bedrock([result])).scores == {"Accuracy": 1.0}
    with pytest.raises(ValueError, match="line 1"):
        list(from_bedrock([b'{"answer": 1}']))


def rated(*workers):
    line = {
        "humanEvaluationResult": [
            {
                "flowDefinitionArn": "arn:aws:sagemaker:us-west-2:111122223333:flow-definition/f",
                "humanAnswers": [
                    {"answerContent": {"evaluationResults": worker}, "timeSpentInSeconds": 8.994, "workerId": str(at)}
                    for at, worker in enumerate(workers)
                ],
                "humanLoopName": "b3b1c64a2166e001e094",
                "modelResponseIdMap": {"0": "b", "1": "a"},
            }
        ],
        "inputRecord": {"prompt": {"text": "2+2?"}, "category": "sums"},
        "modelResponses": [{"modelIdentifier": "a", "response": "4"}, {"modelIdentifier": "b", "response": "5"}],
    }
    return {one.model: one for one in from_bedrock([json.dumps(line).encode()])}


def test_the_five_rating_methods_of_people_become_scores():
    """Ids mean models by `modelResponseIdMap`, not by the order of the answers: 0 is b, 1 is a."""
    got = rated(
        {
            "thumbsUpDown": [
                {"metricName": "Accuracy", "modelResponseId": "0", "result": False},
                {"metricName": "Accuracy", "modelResponseId": "1", "result": True},
            ],
            "individualLikertScale": [
                {"metricName": "Correctness", "modelResponseId": "0", "result": 2},
                {"metricName": "Correctness", "modelResponseId": "1", "result": 5},
            ],
            "comparisonChoice": [{"metricName": "Fluency", "result": {"modelResponseId": "1"}}],
            "comparisonLikertScale": [
                {"leftModelResponseId": "1", "metricName": "Coherence", "result": 2, "rightModelResponseId": "0"}
            ],
            "comparisonRank": [
                {
                    "metricName": "Style",
                    "result": [{"modelResponseId": "0", "rank": 2}, {"modelResponseId": "1", "rank": 1}],
                }
            ],
        }
    )
    assert got["a"].scores == {"Accuracy": 1, "Correctness": 1, "Fluency": 1, "Coherence": 0.75, "Style": 1}
    assert got["b"].scores == {"Accuracy": 0, "Correctness": 0.25, "Fluency": 0, "Coherence": 0.25, "Style": 0}
    assert (got["a"].evaluator, got["a"].prompt, got["a"].response, got["b"].response) == ("human", "2+2?", "4", "5")


def test_several_people_are_averaged():
    def thumb(up):
        return {"ThumbsUpDown": [{"metricName": "Accuracy", "modelResponseId": "1", "result": up}]}

    assert rated(thumb(True), thumb(False), thumb(True))["a"].scores["Accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("rating", "words"),
    [
        ({"individualLikertScale": [{"metricName": "X", "modelResponseId": "0", "result": 7}]}, "scale of 1 to 5"),
        ({"thumbsUpDown": [{"metricName": "X", "modelResponseId": "5", "result": True}]}, "no answer '5'"),
        ({"starRating": [{"metricName": "X", "modelResponseId": "0", "result": 3}]}, "starrating"),
    ],
)
def test_ratings_that_cannot_be_read_are_refused_with_the_line(rating, words):
    with pytest.raises(ValueError, match=f"line 1 .*{words}"):
        rated(rating)


def test_scores_of_judges_and_programs_are_told_apart():
    line = {
        "automatedEvaluationResult": {
            "scores": [
                {
                    "metricName": "Builtin.Correctness",
                    "result": 0.5,
                    "evaluatorDetails": [{"modelIdentifier": "amazon.nova-pro-v1:0", "explanation": "Half of it."}],
                },
                {"metricName": "Accuracy", "result": 0.25},
                {"metricName": "Builtin.Refusal", "result": None, "evaluatorDetails": []},
            ]
        },
        "inputRecord": {"prompt": "2+2?", "referenceResponse": ""},
        "modelResponses": [{"response": "4", "modelIdentifier": "m"}],
    }
    got = {one.evaluator: one.scores for one in from_bedrock([json.dumps(line).encode()])}
    assert got == {"judge amazon.nova-pro-v1:0": {"Builtin.Correctness": 0.5}, "automatic": {"Accuracy": 0.25}}


def test_results_of_rag_jobs_are_refused_by_name():
    with pytest.raises(ValueError, match="RAG job"):
        list(from_bedrock([b'{"conversationTurns": []}']))
