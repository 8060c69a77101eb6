"""Fits the cold-start weights that ship: `python -m benchmarks.routing.cold --data DIR --out FILE`.

Ridge regression of "what the strong model adds" (strong discounted, minus weak, standardised within each pair) on nine
shape measures centred within each set, shrunk hard to a length-first prior: sets differ so much that free weights
transfer worse than the prior alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.routing import data
from hapenny.routing.complexity import MEASURES, Weights
from hapenny.routing.intents.features import extract

Floats = npt.NDArray[np.float64]
PRIOR = {"tokens": 0.12, "symbols": 0.05, "single_letters": 0.02, "how_many": -0.02}
PULL = 3.0
DISCOUNT = 0.8


def measures(table: data.Table) -> Floats:
    return np.array([extract(p).shape[: len(MEASURES)] for p in table.prompts])


def fit(tables: dict[str, data.Table], leave_out: str | None = None, seen: dict[str, Floats] | None = None) -> Weights:
    """Weights from every set but `leave_out`; prompts that also occur in the left-out set are dropped as well."""
    held = {data.stem(p) for p in tables[leave_out].prompts} if leave_out in tables else set()
    blocks: list[tuple[Floats, Floats]] = []
    for name, table in tables.items():
        mine = [p for p in data.pairs_in(tables) if p[0] == name]
        keep = np.array([data.stem(p) not in held for p in table.prompts])
        if name == leave_out or not mine or keep.sum() < 50:
            continue
        shape = (seen[name] if seen else measures(table))[keep]
        targets = []
        for _, weak, strong in mine:
            y = (DISCOUNT * table.score(strong) - table.score(weak))[keep]
            targets.append((y - y.mean()) / y.std())
        blocks.append((shape, np.mean(targets, axis=0)))
    prior = np.array([PRIOR.get(name, 0.0) for name in MEASURES])
    if not blocks:
        blocks = [((seen[name] if seen else measures(t)), np.zeros(len(t.prompts))) for name, t in tables.items()]
    mean = np.mean([x.mean(axis=0) for x, _ in blocks], axis=0)
    deviation = np.sqrt(np.mean([((x - mean) ** 2).mean(axis=0) for x, _ in blocks], axis=0)) + 1e-9
    gram, cross = np.zeros((len(MEASURES), len(MEASURES))), np.zeros(len(MEASURES))
    raw = []
    for x, y in blocks:
        z = np.clip((x - mean) / deviation, -3, 3)
        raw.append(z)
        z = z - z.mean(axis=0)
        gram += z.T @ z / len(y)
        cross += z.T @ y / len(y)
    slope = prior + np.linalg.solve(gram + PULL * np.eye(len(prior)), cross - gram @ prior)
    scores = np.concatenate([z @ slope for z in raw])
    return Weights(
        source="routing outcomes: " + ", ".join(n for n in tables if n != leave_out),
        mean=mean.round(5).tolist(),
        deviation=deviation.round(5).tolist(),
        slope=slope.round(5).tolist(),
        centre=round(float(np.median(scores)), 5),
        spread=round(float(np.std(scores)), 5),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    weights = fit(data.read(args.data))
    args.out.write_bytes(msgspec.json.format(msgspec.json.encode(weights), indent=1) + b"\n")


if __name__ == "__main__":
    main()
