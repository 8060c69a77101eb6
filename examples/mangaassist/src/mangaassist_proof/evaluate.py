"""The operator's own test before a cheaper model is adopted: the same questions to all tiers, graded by the shop's key.

What `hapenny train router` does with such outcomes: a model that a no dearer one beats on the same prompts gets nothing
(paired tests, Holm), so its traffic goes to the one that won; everything else stays where it is. Where nothing is
beaten, nothing is adopted, and the gateway's own audits decide. A cheaper model that is ahead and has not won yet is
asked more: two looks at most, which share the chance of a wrong verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from hapenny.routing.training import Logged, TrainingOutcome, save_router, train_router
from hapenny.simulation.card import Lineup
from hapenny.simulation.loop import EPOCH
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message
from mangaassist_proof.play import Played, play_on

_ASKED = ("fast", "balanced", "strong")
_LEAST = 60
"""Questions under which a test shows nothing."""
_LOOKS = 2


class Evaluated(Struct, kw_only=True):
    """What the test showed, and what it cost."""

    rows: list[Logged]
    """What each tier did on each question that was a model's business."""
    trained: bytes | None
    """The router; None: no model beat the strong one, nothing is adopted."""
    beaten: dict[str, str]
    """Model -> the model that beats it."""
    ahead: bool
    """Whether a cheaper model had more right answers than the strong one."""
    requests: int
    bill: int

    @property
    def prompts(self) -> int:
        """How many questions were asked of the tiers."""
        return len(self.rows)


def evaluate(
    messages: Sequence[Message], shop: Shop, lineup: Lineup, seed: int, before: Evaluated | None = None
) -> Evaluated:
    """Asks the tiers all questions that are a model's business; the cheapest one, of which less hangs, a quarter.
    `before`: the first look, whose outcomes count as well."""
    models = {tier: model for tier, model in lineup.tiers().items() if tier in _ASKED}
    strong = models["strong"]
    runs = {strong: _asked(messages, shop, lineup, seed, strong)}
    open_ = [message for message, known in zip(messages, runs[strong].scripted, strict=True) if not known]
    sessions = {message.session for message in open_}  # what templates answer whole needs no test
    for tier, model in models.items():
        if model != strong:
            some = messages[: len(messages) // 4] if tier == "fast" else messages
            runs[model] = _asked([each for each in some if each.session in sessions], shop, lineup, seed, model)
    rows = _outcomes(open_, runs)
    requests = sum(record.requests for run in runs.values() for record in run.records)
    bill = sum(run.bill for run in runs.values())
    if before is not None:
        rows, requests, bill = [*before.rows, *rows], before.requests + requests, before.bill + bill
    if sum(len(row.models) == len(models) for row in rows) < _LEAST:
        return Evaluated(rows=rows, trained=None, beaten={}, ahead=False, requests=requests, bill=bill)
    trained = train_router(
        rows, weak=models["fast"], strong=strong, max_quality_loss=0.01, confidence=1 - 0.05 / _LOOKS,
        wall=EPOCH,
    )  # fmt: skip
    beaten = {lost.model: lost.by for lost in trained.dominated}
    return Evaluated(
        rows=rows,
        trained=save_router(trained) if strong in beaten else None,
        beaten=beaten,
        ahead=any(_gap(rows, model, strong) > 0 for model in models.values() if model != strong),
        requests=requests,
        bill=bill,
    )


def _asked(messages: Sequence[Message], shop: Shop, lineup: Lineup, seed: int, model: str) -> Played:
    return play_on(
        messages, shop, lineup, seed, on=("tokens",), off=("prune", "window"), model=model, holdout=0.0,
        max_quality_loss=1.0,
    )  # fmt: skip


def _outcomes(messages: Sequence[Message], runs: Mapping[str, Played]) -> list[Logged]:
    """What each model did on each message."""
    answers = {model: {record.number: record for record in run.records} for model, run in runs.items()}
    return [
        Logged(
            prompt=message.text,
            route="chat",
            models={
                model: TrainingOutcome(score=float(record.right), cost=(record.actual or 0) / 1e9)
                for model, records in answers.items()
                if (record := records.get(message.number)) is not None and not record.failure
            },
        )
        for message in messages
    ]


def _gap(rows: Sequence[Logged], model: str, strong: str) -> float:
    """How many more of the prompts that both answered a model got right."""
    return sum(
        (row.models[model].score or 0.0) - (row.models[strong].score or 0.0)
        for row in rows
        if model in row.models and strong in row.models
    )
