"""Reads again what the cards took from recorded outcomes: `python -m hapenny.simulation.make_tables DIR [QUESTIONS …]`.

DIR holds `zeroeval.jsonl.gz`: one JSON line a prompt with `id`, `task`, `prompt` and `models: {name: {score}}`. Printed
are, by task, the share of right answers of each model and the correlation that two models' successes have (the median
over pairs of the tetrachoric correlation). With files of plain questions (`text` in each line) it is also printed what
the cards' models do with these questions, and the APGR that a score of their text alone reaches.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import NormalDist, median
from typing import Any

import numpy as np

from hapenny.simulation import latents
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.latents import Latents
from hapenny.simulation.workload.truth import Kind

_NORMAL = NormalDist()
_POINTS = np.polynomial.legendre.leggauss(40)


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a gzip-ed file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def both(first: float, second: float, correlation: float) -> float:
    """Chance that two standard normal numbers of this correlation lie below `first` and `second` (Plackett's integral
    over the correlation, by Gauss-Legendre)."""
    points, weights = _POINTS
    at = correlation * (points + 1) / 2
    density = np.exp(-(first**2 - 2 * at * first * second + second**2) / (2 * (1 - at**2)))
    density /= 2 * math.pi * np.sqrt(1 - at**2)
    return _NORMAL.cdf(first) * _NORMAL.cdf(second) + float((density * weights).sum()) * correlation / 2


def tetrachoric(first: Sequence[bool], second: Sequence[bool]) -> float | None:
    """The correlation of the normal numbers behind two rows of successes; None where a row is (almost) constant."""
    shares = [sum(row) / len(row) for row in (first, second)]
    if min(shares) < 0.01 or max(shares) > 0.995:
        return None
    limits = [_NORMAL.inv_cdf(share) for share in shares]
    together = sum(one and other for one, other in zip(first, second, strict=True)) / len(first)
    low, high = -0.99, 0.99
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if both(limits[0], limits[1], middle) < together else (low, middle)
    return (low + high) / 2


def tables(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[dict[str, float], float | None, int]]:
    """By task: each model's share of right answers, the median correlation of pairs, the number of prompts."""
    tasks: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        tasks[str(row.get("task", ""))].append(row)
    result = {}
    for task, mine in tasks.items():
        names = sorted(set.intersection(*(set(row["models"]) for row in mine)))
        right = {name: [row["models"][name]["score"] >= 0.5 for row in mine] for name in names}
        pairs = [tetrachoric(right[one], right[other]) for one, other in combinations(names, 2)]
        known = [pair for pair in pairs if pair is not None]
        shares = {name: round(sum(row) / len(row), 3) for name, row in right.items()}
        result[task] = (shares, round(median(known), 2) if known else None, len(mine))
    return result


def apgr(weak: Sequence[float], strong: Sequence[float], score: Sequence[float]) -> float:
    """Average performance gap recovered by sending the highest scores to the strong model first (RouteLLM, 2024)."""
    recovered = area = 0.0
    for index in sorted(range(len(score)), key=lambda index: -score[index]):
        area += recovered
        recovered += strong[index] - weak[index]
    return area / len(score) / recovered if recovered else float("nan")


def check(questions: Sequence[str], kind: Kind = "reasoning", draws: int = 20) -> list[str]:
    """What the cards' models do with `questions` as one kind of work, over several draws of the latents."""
    lines = [f"{len(questions)} questions as {kind}, {draws} draws"]
    for lineup in LINEUPS.values():
        shares: dict[str, list[float]] = defaultdict(list)
        gained: dict[str, list[float]] = defaultdict(list)
        for seed in range(draws):
            world = Latents(lineup, seed)
            score = [latents.visible(text, kind, seed) for text in questions]
            right = {
                model.id: [float(world.right(model, kind, latents.same(text), text)) for text in questions]
                for model in lineup.models
            }
            for name, row in right.items():
                shares[name].append(sum(row) / len(row))
            for model in lineup.models:
                if model.tier == "fast":
                    gained[model.id].append(apgr(right[model.id], right[lineup.baseline], score))
        for model in lineup.models:
            mean = sum(shares[model.id]) / draws
            lines.append(f"  {lineup.name} {model.id}: right in {mean:.3f}, card {model.correctness[kind]:.3f}")
        lines += [
            f"  {lineup.name} {name} > baseline: APGR {median(each):.3f} by the visible score"
            for name, each in gained.items()
        ]
    return lines


def main(arguments: Sequence[str]) -> None:
    """Prints the tables, and the check on further files."""
    for task, (shares, correlation, prompts) in tables(read(Path(arguments[0]) / "zeroeval.jsonl.gz")).items():
        print(f"{task}: {prompts} prompts, correlation of two models {correlation}")
        for name, share in shares.items():
            print(f"  {name} {share}")
    texts = {str(row["text"]): None for path in arguments[1:] for row in read(Path(path))}
    if texts:
        print("\n".join(check(list(texts)[:4000])))


if __name__ == "__main__":
    main(sys.argv[1:])
