"""The operator's own test before a cheaper model is adopted: the same questions to all tiers, graded by the shop's key.

What `hapenny train router` does with such outcomes: a model that a no dearer one beats on the same prompts gets nothing
(paired tests, Holm), so its traffic goes to the one that won; everything else stays where it is. Where nothing is
beaten, nothing is adopted, and the gateway's own audits decide. A cheaper model that is ahead and has not won yet is
asked more: two looks at most, which share the chance of a wrong verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hapenny.routing.training import Logged, TrainingOutcome, save_router, train_router
from hapenny.simulation.card import Lineup
from hapenny.simulation.loop import EPOCH
from hapenny.workload.shop import Shop
from hapenny.workload.shoppers import Message
from mangaassist_proof.play import Played, play_on

_ASKED = ("fast", "balanced", "strong")
_LEAST = 60
"""Questions under which a test shows nothing."""
_LOOKS = 2


class Evaluated(Struct, kw_only=True):
    """What the test showed, and what it cost."""

    trained: bytes | None
    """The router; None: no model beat the strong one, nothing is adopted."""
    beaten: dict[str, str]
    """Model -> the model that beats it."""
    ahead: bool
    """Whether a cheaper model had more right answers than the strong one."""
    prompts: int
    requests: int
    bill: int


def evaluate(messages: Sequence[Message], shop: Shop, lineup: Lineup, seed: int) -> Evaluated:
    """Asks the tiers all questions that are a model's business; the cheapest one, of which less hangs, a quarter."""
    models = {tier: model for tier, model in lineup.tiers().items() if tier in _ASKED}
    runs: dict[str, Played] = {}
    for tier, model in models.items():
        some = messages[: len(messages) // 4] if tier == "fast" else messages
        runs[model] = play_on(
            some, shop, lineup, seed, on=("tokens",), off=("prune", "window"), model=model, holdout=0.0,
            max_quality_loss=1.0,
        )  # fmt: skip
    rows = [
        Logged(
            prompt=message.text,
            route="chat",
            models={
                model: TrainingOutcome(
                    score=float(run.records[place].right), cost=(run.records[place].actual or 0) / 1e9
                )
                for model, run in runs.items()
                if place < len(run.records) and not run.records[place].failure
            },
        )
        for place, message in enumerate(messages)
        if not runs[models["strong"]].scripted[place]
    ]
    asked = {
        "prompts": len(rows),
        "requests": sum(record.requests for run in runs.values() for record in run.records),
        "bill": sum(run.bill for run in runs.values()),
    }
    if sum(len(row.models) == len(models) for row in rows) < _LEAST:
        return Evaluated(trained=None, beaten={}, ahead=False, **asked)
    trained = train_router(
        rows, weak=models["fast"], strong=models["strong"], max_quality_loss=0.01, confidence=1 - 0.05 / _LOOKS,
        wall=EPOCH,
    )  # fmt: skip
    beaten = {lost.model: lost.by for lost in trained.dominated}
    return Evaluated(
        trained=save_router(trained) if models["strong"] in beaten else None,
        beaten=beaten,
        ahead=any(_gap(rows, model, models["strong"]) > 0 for model in models.values() if model != models["strong"]),
        **asked,
    )


def _gap(rows: Sequence[Logged], model: str, strong: str) -> float:
    """How many more of the prompts that both answered a model got right."""
    return sum(
        (row.models[model].score or 0.0) - (row.models[strong].score or 0.0)
        for row in rows
        if model in row.models and strong in row.models
    )
