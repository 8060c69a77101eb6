"""Certificates under resampled calibrations, and cascades by agreement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.routing.data import Table
from hapenny.evidence.judges import agree
from hapenny.routing.certificates import Fingerprint, candidates, certify

Floats = npt.NDArray[np.float64]


@dataclass
class Ladder:
    """A pair as the certificate sees it: score, loss and cost of serving weak, cost of calling strong, per prompt."""

    name: str
    score: Floats
    loss: Floats
    weak_cost: Floats
    strong_cost: Floats
    always_weak: bool


def certificates(
    ladder: Ladder, draws: int, sizes: tuple[int, ...], epsilons: tuple[str, ...], seed: int
) -> dict[str, Any]:
    """Violation rate and cost ratio over resampled calibrations; `always_weak`: cheap calls are paid in any case."""
    thresholds = candidates(ladder.score)
    served = ladder.score[:, None] <= thresholds[None, :]
    true_loss = np.where(served, ladder.loss[:, None], 0.0).mean(axis=0)
    weak = ladder.weak_cost[:, None] if ladder.always_weak else np.where(served, ladder.weak_cost[:, None], 0.0)
    spent = weak + np.where(served, 0.0, ladder.strong_cost[:, None])
    ratio = spent.sum(axis=0) / ladder.strong_cost.sum()
    about = Fingerprint(route="benchmark", intent="", weak=ladder.name, strong="")
    result: dict[str, Any] = {}
    for epsilon in epsilons:
        result[epsilon] = {}
        for size in sizes:
            rng = np.random.default_rng(seed + size)
            violated, costs = 0, []
            for _ in range(draws):
                rows = rng.integers(0, len(ladder.score), size)
                promise = certify(
                    about,
                    ladder.score[rows],
                    ladder.loss[rows],
                    max_quality_loss=float(epsilon),
                    dated=0.0,
                    thresholds=thresholds,
                )
                if promise.threshold is None:
                    # Nothing proven: always strong, and the cheap models are not even asked.
                    costs.append(1.0)
                    continue
                at = int(np.searchsorted(thresholds, promise.threshold))
                violated += bool(true_loss[at] > float(epsilon))
                costs.append(float(ratio[at]))
            result[epsilon][str(size)] = {"violation_rate": violated / draws, "cost_ratio": float(np.mean(costs))}
    return result


def agreement(table: Table, first: str, second: str) -> npt.NDArray[np.bool_]:
    pairs = zip(table.answers(first), table.answers(second), strict=True)
    return np.array([agree(a, b) for a, b in pairs])


def cascade(table: Table, first: str, second: str, strong: str) -> dict[str, Any]:
    """Both cheap models answer; where they agree the cheaper one's answer is served, else the strong one is called."""
    same = agreement(table, first, second)
    costs = {m: table.costs(m) for m in (first, second, strong)}
    cheaper = first if costs[first].sum() <= costs[second].sum() else second
    quality = np.where(same, table.score(cheaper), table.score(strong))
    spent = costs[first] + costs[second] + np.where(same, 0.0, costs[strong])
    gap = quality - table.score(strong)
    return {
        "quality_delta_pp": 100 * float(gap.mean()),
        "quality_delta_se_pp": 100 * float(gap.std() / len(gap) ** 0.5),
        "strong_share": float(1 - same.mean()),
        "cost_ratio": float(spent.sum() / costs[strong].sum()),
        "served": cheaper,
        "n": len(gap),
    }
