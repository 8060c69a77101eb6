"""Results of Bedrock Evaluations jobs as outcomes: who scored what, and what each answer cost.

Jobs say nothing of tokens or money, so prompt and answer are counted with the estimator that also counts live requests,
and priced with the model's card, by the region or profile under which the model was called. Thinking that an answer
does not show is therefore not in its cost. Where several evaluators scored a metric, one of them counts for all rows
(people before judges before programmatic metrics, then whoever scored most), since scores of different evaluators
cannot be compared; the others stay beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from msgspec import Struct

from hapenny.catalog import Catalog
from hapenny.catalog.naming import ARN
from hapenny.core.calls import Target
from hapenny.core.events import Tokens
from hapenny.core.messages import Message, Request, Text
from hapenny.counting import Estimators
from hapenny.evidence.bedrock_evaluations import AUTOMATIC, HUMAN, JUDGE, Evaluated
from hapenny.routing.training import Logged, TrainingOutcome
from hapenny.telemetry.pricing import Prices

_FEWER_IS_BETTER = frozenset({"Toxicity", "Robustness", "Harmfulness", "Stereotyping", "Refusal"})
"""Built-in metrics of programmatic and judge jobs whose best value is 0 (Bedrock User Guide, model evaluation
metrics). People's ratings of such a name are ratings: up is good."""
UNNAMED = "unnamed"
"""A model whose answers came without `modelIdentifier`."""
_ORDER = (HUMAN, JUDGE, AUTOMATIC)
_NAMED = ("foundation-model", "inference-profile")


class Imported(Struct, kw_only=True):
    """Outcomes of evaluation jobs; `counts` names the evaluator whose score is `score`, `evaluators` all of them."""

    rows: list[Logged]
    counts: str
    evaluators: list[str]
    unpriced: list[str]
    """Models of which some answer has no cost: their price or identity is unknown."""


class AnswerPrices:
    """What answers cost, in dollars: counted tokens at the rates of the model's card.

    Args:
        catalog: the cards.
        same: names of the results that are no model ids (sources of one's own responses), to the model they mean.
        wall: epoch seconds: which contract prices hold.
    """

    def __init__(self, catalog: Catalog, same: Mapping[str, str], wall: float) -> None:
        self._catalog, self._same, self._wall = catalog, same, wall
        self._prices = Prices(catalog, Estimators.best())

    def cost(self, row: Evaluated) -> float | None:
        """Dollars for one prompt and its answer on demand; None where the model or its price is unknown."""
        name = self._same.get(row.model) or self._same.get(model_name(row.model) or UNNAMED) or row.model
        if self._catalog.resolve(name) is None:
            card = self._catalog.served(name, ("bedrock",)) or self._catalog.served(name)
            if card is None:
                return None
            name = card.id
        target = Target(name)
        request = Request(protocol="bedrock", model=name, messages=(Message("user", (Text(row.prompt),)),))
        tokens = Tokens(input=self._prices.prompt(request, target), output=self._prices.output(row.response, target))
        nano = self._prices.price(target, tokens, self._wall)
        return None if nano is None else nano / 1e9


def model_name(identifier: str) -> str:
    """The model id that an ARN holds; an identifier that is none, or hides its model, as it stands."""
    arn = ARN.fullmatch(identifier)
    return arn[3] if arn is not None and arn[2] in _NAMED else identifier


def outcomes(
    rows: Iterable[Evaluated], metrics: Sequence[str], prices: AnswerPrices, evaluator: str | None = None
) -> Imported:
    """Outcomes of `rows`, one for each prompt; what was evaluated several times is averaged.

    Args:
        rows: answers with scores.
        metrics: what is taken, the first is what counts; `Builtin.` before a name makes no difference.
        prices: of the answers.
        evaluator: whose score counts: `human`, `judge`, `automatic` or a judge model.

    Raises:
        ValueError: nobody scored the metric that counts, or a score is outside [0, 1].
    """
    wanted = list(dict.fromkeys(_plain(metric) for metric in metrics))
    scores: dict[str, dict[str, dict[str, list[float]]]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    tasks: dict[str, str | None] = {}
    sizes: dict[tuple[str, str], int] = {}
    others: set[str] = set()
    unpriced: set[str] = set()
    for row in rows:
        who, model = _who(row.evaluator), model_name(row.model) or UNNAMED
        kept = {(who, _plain(metric)): value for metric, value in row.scores.items() if _plain(metric) in wanted}
        others |= {f"{who} {_plain(metric)}" for metric in row.scores}
        if not kept:
            continue
        cost = prices.cost(row)
        if cost is None:
            unpriced.add(model)
        else:
            costs.setdefault((row.prompt, model), []).append(cost)
        tasks.setdefault(row.prompt, row.category)
        into = scores.setdefault(row.prompt, {}).setdefault(model, {})
        for column, value in kept.items():
            sizes[column] = sizes.get(column, 0) + 1
            into.setdefault(" ".join(column), []).append(_score(*column, value))
    ranked = sorted(sizes, key=lambda one: (wanted.index(one[1]), _ORDER.index(_kind(one[0])), -sizes[one], one[0]))
    able = [" ".join(one) for one in ranked if one[1] == wanted[0] and _is(one[0], evaluator)]
    if not able:
        by = f" by {evaluator!r}" if evaluator else ""
        raise ValueError(
            f"no record has a score of {metrics[0]!r}{by}; there are {', '.join(sorted(others)) or 'none'}"
        )
    counts = able[0]
    columns = [counts, *(name for one in ranked if (name := " ".join(one)) != counts)]
    logged = []
    for prompt, by_model in scores.items():
        models = {}
        for model, given in by_model.items():
            means = {column: fmean(given[column]) for column in columns if column in given}
            paid = costs.get((prompt, model))
            models[model] = TrainingOutcome(score=means.get(counts), cost=fmean(paid) if paid else None, scores=means)
        logged.append(Logged(prompt=prompt, task=tasks[prompt], models=models))
    return Imported(rows=logged, counts=counts, evaluators=columns, unpriced=sorted(unpriced))


def _plain(metric: str) -> str:
    return metric.removeprefix("Builtin.")


def _who(evaluator: str) -> str:
    """An evaluator with its judges' plain model ids."""
    kind, _, judges = evaluator.partition(" ")
    return f"{kind} {' + '.join(model_name(one) for one in judges.split(' + '))}" if judges else kind


def _kind(who: str) -> str:
    return who.partition(" ")[0]


def _is(who: str, asked: str | None) -> bool:
    return asked is None or asked in (who, _kind(who)) or who == f"{JUDGE} {model_name(asked)}"


def _score(who: str, metric: str, value: float) -> float:
    if not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"{who} {metric}: {value:g} is no score between 0 and 1, so it cannot count as quality")
    return 1 - value if who != HUMAN and metric in _FEWER_IS_BETTER else value
