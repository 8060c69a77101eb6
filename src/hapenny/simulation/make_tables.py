"""Reads the correctness tables of the cards off recorded outcomes: `python -m hapenny.simulation.make_tables DIR`.

DIR holds `zeroeval.jsonl.gz`: one JSON line a prompt with `id`, `prompt` and `models: {name: {score}}`. A prompt's
difficulty for a model is one minus the mean score of all other models; ties are broken by a hash of its id. The table
is the mean score in ten equal bins of that rank. With further files of plain questions (`text` in each line) the share
of right answers and the APGR of the visible score on them are printed too.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hapenny.simulation import latents
from hapenny.simulation.cards import MANGA_2024

BINS = 10


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a gzip-ed file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def tables(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, ...]]:
    """By model: the share of right answers in each bin of difficulty, easiest first."""
    names = sorted(set.intersection(*(set(row["models"]) for row in rows)))
    found = {}
    for name in names:
        others = [other for other in names if other != name]

        def rank(row: dict[str, Any], others: Sequence[str] = others) -> tuple[float, float]:
            mean = sum(row["models"][other]["score"] for other in others) / len(others)
            return (1 - round(mean, 9), latents.chance(row["id"]))

        scores = [row["models"][name]["score"] for row in sorted(rows, key=rank)]
        edges = [round(step * len(scores) / BINS) for step in range(BINS + 1)]
        found[name] = tuple(round(sum(scores[low:high]) / (high - low), 3) for low, high in pairwise(edges))
    return found


def apgr(weak: Sequence[float], strong: Sequence[float], score: Sequence[float]) -> float:
    """Average performance gap recovered by sending the highest scores to the strong model first (RouteLLM, 2024)."""
    recovered = area = 0.0
    for index in sorted(range(len(score)), key=lambda index: -score[index]):
        area += recovered
        recovered += strong[index] - weak[index]
    return area / len(score) / recovered


def check(questions: Sequence[str]) -> list[str]:
    """What the card's models do with `questions`: shares of right answers, APGR by the visible score and by length."""
    right: dict[str, list[bool]] = {
        model.tier: [latents.right(model.id, model.correctness, text, MANGA_2024.name) for text in questions]
        for model in MANGA_2024.models
    }
    visible = [latents.visible(text) for text in questions]
    length = [float(len(text)) for text in questions]
    lines = [f"{len(questions)} questions"]
    lines += [f"  {tier} is right in {sum(answers) / len(answers):.3f}" for tier, answers in right.items()]
    for weak, strong in (("fast", "strong"), ("balanced", "strong")):
        both = apgr(right[weak], right[strong], visible), apgr(right[weak], right[strong], length)
        lines.append(f"  {weak} > {strong}: APGR {both[0]:.3f} by the visible score, {both[1]:.3f} by length")
    return lines


def main(arguments: Sequence[str]) -> None:
    """Prints the tables, and the check on further files."""
    for name, table in tables(read(Path(arguments[0]) / "zeroeval.jsonl.gz")).items():
        print(f"{name}: {table}, mean {sum(table) / len(table):.3f}")
    texts = {latents.normal(str(row["text"])): None for path in arguments[1:] for row in read(Path(path))}
    texts.pop("", None)
    if texts:
        print("\n".join(check(list(texts))))


if __name__ == "__main__":
    main(sys.argv[1:])
