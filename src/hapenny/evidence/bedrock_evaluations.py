"""Bedrock Evaluations as JSON lines: datasets with responses one brought along, and the results of all kinds of jobs.

Results come from programmatic metrics, from a judge model (`evaluatorDetails`) or from people
(`humanEvaluationResult`). People's ratings become scores in [0, 1], averaged over workers:

    ThumbsUpDown           up 1, down 0
    IndividualLikertScale  1 … 5 as 0 … 1
    ComparisonChoice       the chosen answer 1, the others 0
    ComparisonRank         of n answers: rank 1 is 1, rank n is 0
    ComparisonLikertScale  1 (the left answer) … 5 (the right one), so 0 … 1 for the right one, the rest for the left

Source: Amazon Bedrock User Guide, "Understand how the results of your model evaluation job are saved in Amazon S3";
SageMaker Developer Guide, "Understand the results of a human evaluation job", for the five rating methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

AUTOMATIC, JUDGE, HUMAN = "automatic", "judge", "human"
_SCALE = 5


class Evaluated(Struct, kw_only=True, frozen=True):
    """One prompt with one model's answer; `scores` by metric name as `evaluator` gave them, once it was evaluated.

    `evaluator`: `automatic`, `human`, or `judge` and the judge model's identifier; empty in a dataset.
    """

    prompt: str
    model: str = ""
    response: str = ""
    reference: str | None = None
    category: str | None = None
    evaluator: str = ""
    scores: dict[str, float] = {}


def to_bedrock(rows: Iterable[Evaluated]) -> Iterator[bytes]:
    """Lines of a Bedrock evaluation dataset, one model's response each."""
    for row in rows:
        line: dict[str, Any] = {"prompt": row.prompt}
        if row.reference is not None:
            line["referenceResponse"] = row.reference
        if row.category is not None:
            line["category"] = row.category
        if row.model:
            line["modelResponses"] = [{"response": row.response, "modelIdentifier": row.model}]
        yield msgspec.json.encode(line) + b"\n"


def from_bedrock(lines: Iterable[bytes]) -> Iterator[Evaluated]:
    """Reads datasets and result files alike: one `Evaluated` for each answer and evaluator.

    Raises:
        ValueError: naming the line and what is wrong with it.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield from _record(msgspec.json.decode(line))
        except (msgspec.DecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"line {number} is no Bedrock evaluation record: {error!r}") from None


def _record(value: dict[str, Any]) -> list[Evaluated]:
    if "conversationTurns" in value:
        raise ValueError("the result of a RAG job; only those of model evaluation jobs are read")
    record = value.get("inputRecord", value)
    answers = value.get("modelResponses") or record.get("modelResponses") or [{}]
    automated = _automated(value.get("automatedEvaluationResult") or {})
    people = _people(value, answers)
    reference = record.get("referenceResponse")
    rows = []
    for answer, rated in zip(answers, people, strict=True):
        given = {**automated, **({HUMAN: rated} if rated else {})} or {"": {}}
        for evaluator, scores in given.items():
            rows.append(
                Evaluated(
                    prompt=_text(record["prompt"]),
                    model=answer.get("modelIdentifier", ""),
                    response=_text(answer.get("response", answer.get("text", ""))),
                    reference=None if reference is None else _text(reference),
                    category=record.get("category"),
                    evaluator=evaluator,
                    scores=scores,
                )
            )
    return rows


def _text(value: Any) -> str:
    """A text that stands as it is or, as in SageMaker's records, under `text`."""
    text = value["text"] if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise TypeError("a prompt or an answer is no text")
    return text


def _automated(result: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Scores by evaluator and metric; a result of null (not applicable) is none."""
    by: dict[str, dict[str, float]] = {}
    for one in result.get("scores", ()):
        if one.get("result") is not None:
            judges = [who["modelIdentifier"] for who in one.get("evaluatorDetails") or ()]
            evaluator = f"{JUDGE} {' + '.join(judges)}" if judges else AUTOMATIC
            by.setdefault(evaluator, {})[one["metricName"]] = float(one["result"])
    return by


def _people(value: dict[str, Any], answers: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Of each answer: the mean of what people gave it, by metric."""
    given: list[dict[str, list[float]]] = [{} for _ in answers]
    loops = value.get("humanEvaluationResult") or []
    for loop in [loops] if isinstance(loops, dict) else loops:
        names = loop.get("modelResponseIdMap") or value.get("modelResponseIdMap") or {}
        for worker in loop.get("humanAnswers") or ():
            results = (worker.get("answerContent") or {}).get("evaluationResults") or {}
            for method, ratings in results.items():
                for rating in ratings:
                    for of, score in _scores(method.lower(), rating):
                        into = given[_place(of, names, answers)]
                        into.setdefault(rating["metricName"], []).append(score)
    return [{metric: sum(all_) / len(all_) for metric, all_ in one.items()} for one in given]


def _place(response_id: str, names: Mapping[str, str], answers: Sequence[Mapping[str, Any]]) -> int:
    """Which answer a worker's `modelResponseId` means: the one of the model it maps to, else the one at that place."""
    name = names.get(response_id)
    same = [at for at, answer in enumerate(answers) if name and answer.get("modelIdentifier") == name]
    at = same[0] if len(same) == 1 else int(response_id)
    if not 0 <= at < len(answers):
        raise ValueError(f"there is no answer {response_id!r}")
    return at


def _scores(method: str, rating: Mapping[str, Any]) -> list[tuple[str, float]]:
    """What one rating says of which answers: (`modelResponseId`, score in [0, 1])."""
    result = rating["result"]
    if method == "thumbsupdown":
        return [(str(rating["modelResponseId"]), float(bool(result)))]
    if method == "individuallikertscale":
        return [(str(rating["modelResponseId"]), _on_scale(result))]
    if method == "comparisonlikertscale":
        right = _on_scale(result)
        return [(str(rating["leftModelResponseId"]), 1 - right), (str(rating["rightModelResponseId"]), right)]
    if method == "comparisonchoice":
        chosen = str(result["modelResponseId"] if isinstance(result, dict) else result)
        # Choice buttons show two answers, numbered 0 and 1.
        return [(chosen, 1.0), ("1" if chosen == "0" else "0", 0.0)]
    if method == "comparisonrank":
        last = max(1, len(result) - 1)
        return [(str(one["modelResponseId"]), min(1.0, max(0.0, 1 - (int(one["rank"]) - 1) / last))) for one in result]
    raise ValueError(f"unknown rating method {method!r}")


def _on_scale(result: Any) -> float:
    if isinstance(result, bool) or not 1 <= int(result) <= _SCALE:
        raise ValueError(f"{result!r} is not on a scale of 1 to {_SCALE}")
    return (int(result) - 1) / (_SCALE - 1)
