"""The semantic cache when the right answers change: prices and stock of another day, asked in other words."""

from __future__ import annotations

from hapenny.studies.player import Record
from hapenny.studies.virtual_run import everything, run
from hapenny.workload.mix import Mix
from hapenny.workload.shoppers import Population

CARD = "current-2026"
WINDOW = 500
_A_DAY = 40_000


def changed_answers(mix: Mix, seed: int, messages: int) -> int:
    """Wrong semantic hits among the 500 requests after the shop's day has changed, at half of the run."""
    population = Population(mix, seed=seed)
    half = messages // 2
    before = population.messages(half, half / _A_DAY)
    after = population.messages(half, half / _A_DAY, first_day=1)
    modes = {"tiers": "off", "prune": "off", "window": "off", "templates": "off", "cascade": "off"}
    config = everything("balanced", CARD, max_quality_loss=0.01, holdout=0.0, stages=modes)
    result = run(after, population.shop, config=config, card=CARD, seed=seed, latents=seed, learn=before)
    seen = 0
    wrong = 0
    for record in result.records:
        if seen >= WINDOW:
            break
        seen += record.requests
        wrong += _hit(record) and not record.right
    return wrong


def _hit(record: Record) -> bool:
    return bool(record.savings.get("semantic", 0) > 0)
