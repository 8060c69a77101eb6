"""Dominated models: dearer and no better, by measured outcomes. They are dropped before anything is routed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from hapenny.evidence.adjust import holm
from hapenny.evidence.horizon import paired


class Dominated(msgspec.Struct, kw_only=True, frozen=True):
    """`model` costs at least as much as `by` and its quality is proven lower; `gap` = quality of `by` minus its own."""

    model: str
    by: str
    gap: float
    p_value: float
    cost_ratio: float


def dominated(scores: Mapping[str, npt.ArrayLike], costs: Mapping[str, float], alpha: float = 0.05) -> list[Dominated]:
    """Models that a no dearer one beats on the same prompts (paired t test, Holm over all comparisons).

    `scores`: quality in [0, 1] per prompt and model, NaN where unknown; `costs`: mean cost per prompt, any one unit.
    """
    table = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items() if name in costs}
    tests = []
    for model, mine in table.items():
        for other, theirs in table.items():
            if other == model or costs[other] > costs[model]:
                continue
            both = ~np.isnan(mine) & ~np.isnan(theirs)
            if both.sum() >= 30 and not np.array_equal(mine[both], theirs[both]):
                tests.append((model, other, paired(mine[both], theirs[both], alpha)))
    adjusted = holm([test.p_value for _, _, test in tests]) if tests else np.zeros(0)
    best: dict[str, Dominated] = {}
    for (model, other, test), p in zip(tests, adjusted, strict=True):
        if test.difference > 0 and p < alpha and (model not in best or test.difference > best[model].gap):
            best[model] = Dominated(
                model=model,
                by=other,
                gap=test.difference,
                p_value=float(p),
                cost_ratio=costs[model] / costs[other] if costs[other] else float("inf"),
            )
    return sorted(best.values(), key=lambda pair: pair.model)
