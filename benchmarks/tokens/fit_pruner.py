"""Makes `hapenny/tokens/weights.py`: a listwise logistic regression (ListNet, Cao et al. 2007) over unit features.

python -m benchmarks.tokens.fit_pruner --data DIR [--cache DIR] [--cv]: the softmax over the units of a context is
fitted to where the evidence is, over all prune sets and QMSum together. `--cv` prints figures by five folds over
articles instead (weights fitted on four, measured on the fifth). Only weights are kept, no text.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.tokens import contexts, vectors
from benchmarks.tokens.data import say
from benchmarks.tokens.prune import Measured, measure, o200k_count, prepare
from hapenny.tokens import relevance
from hapenny.tokens.relevance import NAMES, VECTOR_NAMES, featurise, lexical_share, vector_features
from hapenny.vectors.weights import ModelMissing

# How much a set counts, whatever its size: each is one kind of traffic.
WEIGHTS = {"nq": 1300, "clapnq": 300, "hotpot": 600, "xquad_en": 350, "xquad_vi": 350, "jsquad": 400, "qmsum": 400}

_VECTOR = ("lexical", *VECTOR_NAMES)

Floats = npt.NDArray[np.float64]
Example = tuple[Floats, Floats, bool, Floats]


def example(measured: Measured, with_vectors: bool) -> Example:
    """Features, evidence weight of each unit, whether all of the evidence is wanted, and what is given of the logit."""
    case = measured.case
    found = featurise(case.question, measured.passages)
    offset = np.zeros(len(found))
    if with_vectors:
        lexical = found @ relevance._LEXICAL_WEIGHTS
        words = lexical_share(case.question, measured.passages)
        offset = words * lexical
        found = (1 - words) * vector_features(measured.passages, measured.vector, found, lexical)
    gold = np.array([is_gold for row in case.evidence for is_gold in row], float)
    if case.weights:
        gold *= np.array([weight for row in case.weights for weight in row])
    return found, gold, case.share, offset


def fit(examples: list[Example], importance: list[float], rounds: int = 160, ridge: float = 3e-5) -> Floats:
    """Weights for raw features, by Adam with a cosine rate."""
    matrix = np.concatenate([found for found, _, _, _ in examples])
    gold = np.concatenate([gold for _, gold, _, _ in examples])
    sizes = np.array([len(gold) for _, gold, _, _ in examples])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    owner = np.repeat(np.arange(len(examples)), sizes)
    whole = np.array([share for _, _, share, _ in examples])[owner]
    given = np.concatenate([offset for _, _, _, offset in examples])
    spread = matrix.std(0) + 1e-6
    matrix = matrix / spread
    share = gold / np.add.reduceat(gold, starts)[owner]
    weight = np.array(importance)
    weight = (weight / weight.sum())[owner]
    weights, first, second = np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1])
    for step in range(1, rounds + 1):
        logits = given + matrix @ weights
        odds = np.exp(logits - np.maximum.reduceat(logits, starts)[owner])
        chance = odds / np.add.reduceat(odds, starts)[owner]
        present = chance * (gold > 0)
        anyone = present / np.maximum(np.add.reduceat(present, starts)[owner], 1e-12)
        target = np.where(whole, share, 0.7 * anyone + 0.3 * share)
        gradient = matrix.T @ ((chance - target) * weight) + ridge * weights
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        rate = 0.04 * min(1, step / 20) * 0.5 * (1 + np.cos(np.pi * step / rounds))
        weights = weights - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    result: Floats = weights / spread
    return result


def _importance(kept: list[Measured]) -> list[float]:
    sizes: dict[str, int] = {}
    for measured in kept:
        sizes[measured.case.name] = sizes.get(measured.case.name, 0) + 1
    return [WEIGHTS[measured.case.name] / sizes[measured.case.name] for measured in kept]


def learn(everything: list[Measured], with_vectors: bool) -> None:
    """Fit one scorer and put it in place; the one with vectors stands on the lexical one."""
    examples = [example(measured, with_vectors) for measured in everything]
    usable = [place for place, (_, gold, _, _) in enumerate(examples) if gold.any()]
    weights = fit([examples[place] for place in usable], _importance([everything[place] for place in usable]))
    if with_vectors:
        relevance._VECTOR_WEIGHTS = weights
    else:
        relevance._LEXICAL_WEIGHTS = weights


def cross_validate(everything: list[Measured], english: int) -> dict[str, Any]:
    """Figures by five folds over articles."""
    folds = [zlib.crc32(measured.case.group.encode()) % 5 for measured in everything]
    results: dict[str, dict[str, list[float]]] = {}
    for fold in range(5):
        train = [place for place, other in enumerate(folds) if other != fold]
        learn([everything[place] for place in train], with_vectors=False)
        learn([everything[place] for place in train if place < english], with_vectors=True)
        held = [everything[place] for place, other in enumerate(folds) if other == fold]
        for with_vectors, mark in ((False, ""), (True, " with vectors")):
            items = [item for item in held if item.vector is not None] if with_vectors else held
            lines: list[dict[str, Any]] = []
            figures = measure(items, with_vectors=with_vectors, record=lines.append)
            for line in lines:
                if line["share"] == "20":
                    by = results.setdefault(line["set"] + mark, {})
                    by.setdefault("20_sentences_only", []).append(line["sentences_only"])
            for name, shares in figures.items():
                for share, values in shares.items():
                    results.setdefault(name + mark, {}).setdefault(share, []).extend(values)
    return {
        name: {share: round(float(np.mean(values)), 4) for share, values in by.items()} for name, by in results.items()
    }


def gather(data: Path, cache: Path | None) -> tuple[list[Measured], int]:
    """All contexts of a half, analysed, English ones with vectors first; and how many those are."""
    count = o200k_count()
    cases = [*contexts.nq(data), *contexts.clapnq(data), *contexts.hotpot(data), *contexts.xquad(data, "en")]
    english = len(cases)
    cases += [*contexts.xquad(data, "vi"), *contexts.jsquad(data, 900), *contexts.qmsum(data, count)]
    everything = prepare(cases, count)
    try:
        vectors.attach(everything[:english], cache)
    except (ModelMissing, ImportError) as error:
        say(f"the scorer with vectors is not fitted: {error}")
        english = 0
    return everything, english


def train(data: Path, cache: Path | None) -> None:
    """Put scorers fitted on `data` in place of the shipped ones (`--train`)."""
    everything, english = gather(data, cache)
    learn(everything, with_vectors=False)
    if english:
        learn(everything[:english], with_vectors=True)


def main() -> None:
    """Fit both scorers and print the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--cv", action="store_true")
    options = parser.parse_args()
    everything, english = gather(options.data, options.cache)
    if options.cv:
        say(str(cross_validate(everything, english)))
        return
    learn(everything, with_vectors=False)
    learn(everything[:english], with_vectors=True)
    fitted = (relevance._LEXICAL_WEIGHTS, relevance._VECTOR_WEIGHTS)
    out = sys.stdout
    out.write('"""Weights of the relevance scorer (made by `benchmarks/tokens/fit_pruner.py`)."""\n')
    for label, names, weights in zip(
        ("LEXICAL", "VECTORS"),
        (NAMES, _VECTOR),
        fitted,
        strict=True,
    ):
        out.write(f"\n{label}: tuple[float, ...] = (\n")
        for name, value in zip(names, weights, strict=True):
            out.write(f"    {value:.3f},  # {name}\n")
        out.write(")\n")


if __name__ == "__main__":
    main()
