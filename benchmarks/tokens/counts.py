"""`count`, `count_no_vocab`, `switch`: each column of `token_counts` in turn is the provider that hides its vocabulary.

Requests mix 1-5 segments of the classes, each class equally likely. Every request is estimated before its usage is
learned; figures are of the requests after the first 200. The base count is o200k; where o200k itself is the hidden
provider, cl100k takes its place, so that no provider's own vocabulary is ever used.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tokens.data import Row, rows, say
from hapenny.counting import Estimator, FeatureCache

WARM = 200
MEASURED = 2400
AFTER = 30

Record = Callable[[dict[str, Any]], None]


def stream(texts: list[Row], seed: int) -> Iterator[list[Row]]:
    """Endless requests of 1-5 segments."""
    classes: dict[str, list[Row]] = {}
    for row in texts:
        classes.setdefault(row["class"], []).append(row)
    names = sorted(classes)
    rng = random.Random(seed)
    while True:
        yield [rng.choice(classes[rng.choice(names)]) for _ in range(rng.randint(1, 5))]


def count(directory: Path, record: Record, *, quick: bool = False) -> dict[str, Any]:
    """The three keys of counting, or nothing without the file."""
    texts = rows(directory, "token_counts")
    if not texts:
        return {}
    columns = list(texts[0]["tokens"])
    measured = 800 if quick else MEASURED
    known: dict[str, dict[str, Any]] = {}
    blind: dict[str, dict[str, Any]] = {}
    switches: list[float] = []
    blind_switches: list[float] = []
    for column in columns:
        base = "cl100k_base" if column == "o200k_base" else "o200k_base"
        if base in columns:
            table = {row["text"]: int(row["tokens"][base]) for row in texts}
            cache = FeatureCache(table.__getitem__)
            known[column], errors = _provider(texts, column, cache, measured, columns, base, record)
            switches += errors
        blind[column], errors = _provider(texts, column, FeatureCache(), measured, columns, "none", record)
        blind_switches += errors
        say(f"count {column}: {known.get(column)} without vocabulary {blind[column]}")
    return {
        "count": known,
        "count_no_vocab": blind,
        "switch": {
            "median_pct_11_30": _median(switches),
            "no_vocab_median_pct_11_30": _median(blind_switches),
        },
    }


def _provider(
    texts: list[Row], column: str, cache: FeatureCache, measured: int, columns: list[str], base: str, record: Record
) -> tuple[dict[str, Any], list[float]]:
    estimator = Estimator(cache)
    errors, covered, widths = [], [], []
    for index, segments in enumerate(stream(texts, seed=7)):
        if index == WARM + measured:
            break
        estimate = estimator.count([row["text"] for row in segments])
        reported = sum(row["tokens"][column] for row in segments)
        if index >= WARM:
            errors.append(abs(estimate.tokens / reported - 1))
            covered.append(estimate.upper >= reported)
            widths.append(estimate.upper / estimate.tokens)
            line = {"tokens": estimate.tokens, "upper": estimate.upper, "reported": reported}
            record({"part": "count", "base": base, "column": column, **line})
        estimator.learn(estimate.features, reported)
    figures = {
        "median_pct": round(100 * float(np.median(errors)), 3),
        "p95_pct": round(100 * float(np.quantile(errors, 0.95)), 3),
        "coverage": round(float(np.mean(covered)), 4),
        "width": round(float(np.mean(widths)), 4),
        "n": len(errors),
        "resets": estimator.resets,
    }
    after = []
    taught = estimator.state()
    for other in columns:
        # The base's own provider is left out: there the switch would be to a known vocabulary.
        if other not in (column, base):
            for seed in range(3):
                switched = Estimator(cache)
                switched.restore(taught)
                after += _switch(texts, other, switched, seed)
    return figures, after


def _switch(texts: list[Row], column: str, estimator: Estimator, seed: int) -> list[float]:
    errors = []
    for index, segments in enumerate(stream(texts, seed=100 + seed)):
        if index == AFTER:
            break
        estimate = estimator.count([row["text"] for row in segments])
        reported = sum(row["tokens"][column] for row in segments)
        if index >= 10:
            errors.append(abs(estimate.tokens / reported - 1))
        estimator.learn(estimate.features, reported)
    return errors


def _median(errors: list[float]) -> float | None:
    return round(100 * float(np.median(errors)), 3) if errors else None
