"""Out-of-fold (or trained-elsewhere) scores of every pair: cold, text, full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.routing import cold
from benchmarks.routing.data import Table, pairs_in, questions
from hapenny.routing.complexity import MEASURES, Weights
from hapenny.routing.intents.features import Features, extract
from hapenny.routing.scorer import Reader, fit

Floats = npt.NDArray[np.float64]


@dataclass
class Source:
    """A folder of outcomes with the features of its prompts, read once."""

    tables: dict[str, Table]
    features: dict[str, list[Features]]
    cold: dict[str, Weights]

    @classmethod
    def of(cls, tables: dict[str, Table], others: dict[str, Table] | None = None) -> Source:
        """`others`: where cold weights are learned (without the set of the same name), if not here."""
        features = {name: [extract(p) for p in table.prompts] for name, table in tables.items()}
        known = tables if others is None else others
        seen = {
            name: np.array(
                [f.shape[: len(MEASURES)] for f in (features[name] if others is None else map(extract, t.prompts))]
            )
            for name, t in known.items()
        }
        return cls(tables, features, {name: cold.fit(known, name, seen) for name in tables})


def score_pair(here: Source, there: Source | None, pair: tuple[str, str, str], kind: str) -> Floats:
    """Scores of all prompts of the pair's set: five folds inside `here`, or fitted on all of `there`."""
    name, weak, strong = pair
    table = here.tables[name]
    if kind == "cold":
        w = here.cold[name]
        shapes = np.array([f.shape[: len(MEASURES)] for f in here.features[name]])
        return np.asarray(np.clip((shapes - np.array(w.mean)) / np.array(w.deviation), -3, 3) @ np.array(w.slope))
    weight = here.cold[name]
    if there is not None:
        if name not in there.tables or not {weak, strong} <= set(there.tables[name].models):
            return score_pair(here, None, pair, kind)
        return learn(there, name, weak, strong, kind, weight, None, here, np.arange(len(table.prompts)))
    folds = table.folds()
    scores = np.zeros(len(table.prompts))
    for fold in np.unique(folds):
        held = np.flatnonzero(folds == fold)
        scores[held] = learn(here, name, weak, strong, kind, weight, np.flatnonzero(folds != fold), here, held)
    return scores


def learn(
    source: Source,
    name: str,
    weak: str,
    strong: str,
    kind: str,
    weights: Weights,
    rows: npt.NDArray[np.intp] | None,
    target: Source,
    goal: npt.NDArray[np.intp],
) -> Floats:
    """Scores of the rows `goal` of `target`, learned from `rows` (None: all) of `source`."""
    table, features = source.tables[name], source.features[name]
    used = np.arange(len(table.prompts)) if rows is None else rows
    if source is not target:
        count = len(table.prompts)
        keys = questions([*table.prompts, *target.tables[name].prompts])
        held = set(keys[count:])
        used = np.array([i for i in used if keys[i] not in held])
    tasks: Sequence[str] | None = [table.tasks[i] for i in used] if kind == "full" else None
    reader = Reader(
        fit([features[i] for i in used], table.score(weak)[used], table.score(strong)[used], tasks, cold=weights)
    )
    told, seen = target.tables[name].tasks, target.features[name]
    # The intercept differs from fold to fold and says nothing about order.
    return np.array([reader.gain(seen[i], told[i] if kind == "full" else None) - reader.scorer.intercept for i in goal])


def all_scores(here: Source, there: Source | None) -> dict[tuple[str, str, str], dict[str, Floats]]:
    return {
        pair: {kind: score_pair(here, there, pair, kind) for kind in ("cold", "text", "full")}
        for pair in pairs_in(here.tables)
    }
