"""A scorer on a task that it was not trained on: how well it orders there, and how often it says that it does not know.

For each pair of models whose set has several tasks, each large task is left out once. `inside` is the score of the same
prompts when their task was learnt (five folds), `outside` when it was not, `abstained` the share of prompts of the task
that the scorer calls unlike its own, beside the share of those it was trained on. A prompt it abstains from goes to the
strong model: `outside_lost` is the quality that is given up when, of the others, the lower half by score goes to the
weak model, and `outside_lost_never_abstaining` the same without abstaining. `outside_lost_as_set` is what a router
gives up whose border was set on the tasks that it was trained on (their lower half goes to the weak model).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.routing.data import SETS, pairs_in
from benchmarks.routing.measures import apgr
from benchmarks.routing.scores import Source
from hapenny.routing.scorer import Reader, fit

LEAST = 150
MOST_TASKS = 4
_QUICK_TASKS = 1

Floats = npt.NDArray[np.float64]


def unlike(here: Source, quick: bool = False) -> dict[str, Any]:
    """By pair and task that was left out."""
    out: dict[str, Any] = {}
    for name, weak, strong in pairs_in(here.tables):
        table, features = here.tables[name], here.features[name]
        tasks = np.array(table.tasks)
        sizes = {task: int((tasks == task).sum()) for task in sorted(set(table.tasks))}
        large = sorted((task for task, size in sizes.items() if size >= LEAST), key=lambda task: -sizes[task])
        if len(sizes) < 2 or not large:
            continue
        low, high = table.score(weak), table.score(strong)
        by_task = {}
        for task in large[: _QUICK_TASKS if quick else MOST_TASKS]:
            rest, own = np.flatnonzero(tasks != task), np.flatnonzero(tasks == task)
            reader = _reader(here, name, rest, low, high)
            scores = np.array([reader.gain(features[i]) for i in own])
            foreign = np.array([reader.foreign(features[i]) for i in own])
            gain = high[own] - low[own]
            home = np.array([reader.gain(features[i]) for i in rest[::5]])
            below = (scores < np.median(home)) & ~foreign
            by_task[task] = {
                "prompts": len(own),
                "outside": _apgr(scores, gain),
                "inside": _apgr(_inside(here, name, own, rest, low, high), gain),
                "abstained": round(float(foreign.mean()), 4),
                "abstained_at_home": round(float(np.mean([reader.foreign(features[i]) for i in rest[::5]])), 4),
                "outside_lost": _lost(scores, gain, foreign),
                "outside_lost_never_abstaining": _lost(scores, gain, np.zeros(len(own), np.bool_)),
                "outside_lost_as_set": round(float(gain[below].sum() / len(gain)), 4),
            }
        out[f"{SETS.get(name, name)}:{weak}>{strong}"] = by_task
    return out


def _reader(here: Source, name: str, rows: npt.NDArray[np.intp], low: Floats, high: Floats) -> Reader:
    features = here.features[name]
    return Reader(fit([features[i] for i in rows], low[rows], high[rows], None, cold=here.cold[name]))


def _inside(
    here: Source, name: str, own: npt.NDArray[np.intp], rest: npt.NDArray[np.intp], low: Floats, high: Floats
) -> Floats:
    """Scores of the task's prompts by scorers that learnt its other folds as well."""
    folds = here.tables[name].folds()
    scores = np.zeros(len(own))
    for fold in np.unique(folds[own]):
        held = np.flatnonzero(folds[own] == fold)
        learnt = np.concatenate([rest, own[folds[own] != fold]])
        reader = _reader(here, name, learnt, low, high)
        scores[held] = [reader.gain(here.features[name][i]) - reader.scorer.intercept for i in own[held]]
    return scores


def _apgr(scores: Floats, gain: Floats) -> float | None:
    """None where the strong model adds next to nothing: there is no gap to recover."""
    return round(apgr(scores, gain), 4) if gain.mean() > 0.02 else None


def _lost(scores: Floats, gain: Floats, foreign: npt.NDArray[np.bool_]) -> float:
    """Quality given up, of all prompts, when the lower half of those that are not foreign goes to the weak model."""
    known = np.flatnonzero(~foreign)
    down = known[np.argsort(scores[known], kind="stable")[: len(known) // 2]]
    return round(float(gain[down].sum() / len(gain)), 4)
