"""Grows a learned ranker by LambdaMART (extra `lightgbm`), and takes its trees over as arrays.

Gradients: Burges, "From RankNet to LambdaRank to LambdaMART: An Overview" (MSR-TR-2010-82), weighted by the change in
nDCG; trees: Ke et al., "LightGBM" (NeurIPS 2017). One thread and a fixed seed: the same judgements give the same trees.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.search.forest import Forest, Table, empty

_LEVELS = 100
"""Steps from a gain of 0 to one of 1."""


class TrainerMissing(RuntimeError):
    """The library that grows rankers is not here; says how to get it."""


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a forest grows."""

    trees: int = 150
    depth: int = 5
    rate: float = 0.1
    bins: int = 48
    ridge: float = 5.0
    sample: float = 0.7
    cutoff: int = 10
    least: int = 20
    """Rows of a leaf, at least; never more than a tenth of all rows."""
    seed: int = 11


def train(
    table: Table,
    gains: NDArray[np.float64],
    lists: NDArray[np.int64],
    names: tuple[str, ...],
    how: Training | None = None,
) -> Forest:
    """Fits a forest. Rows of one list (query) share a number in `lists`; `gains` are 0 to 1.

    Lists without two different gains teach nothing and are skipped.

    Raises:
        TrainerMissing: without the `lightgbm` package.
    """
    how = how or Training()
    order = np.argsort(lists, kind="stable")
    table, gains, lists = table[order], gains[order], lists[order]
    _, first, sizes = np.unique(lists, return_index=True, return_counts=True)
    telling = [slice(at, at + size) for at, size in zip(first, sizes, strict=True) if np.ptp(gains[at : at + size]) > 0]
    if not telling:
        return empty(names)
    kept = np.concatenate([np.arange(part.start, part.stop) for part in telling])
    lightgbm = _library()
    data = lightgbm.Dataset(
        np.asarray(table[kept], np.float64),
        label=np.rint(gains[kept] * _LEVELS).astype(np.int32),
        group=[part.stop - part.start for part in telling],
        params={"max_bin": how.bins, "verbosity": -1},
        free_raw_data=True,
    )
    booster = lightgbm.train(
        {
            "objective": "lambdarank",
            "label_gain": [level / _LEVELS for level in range(_LEVELS + 1)],
            "lambdarank_truncation_level": how.cutoff,
            "learning_rate": how.rate,
            "num_leaves": 1 << how.depth,
            "max_depth": how.depth,
            "lambda_l2": how.ridge,
            "min_data_in_leaf": max(1, min(how.least, len(kept) // 10)),
            "min_sum_hessian_in_leaf": 0.0,
            "bagging_fraction": how.sample,
            "bagging_freq": 1,
            "bagging_by_query": True,
            "seed": how.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        },
        data,
        how.trees,
    )
    return taken_over(booster.dump_model(), names)


def taken_over(model: dict[str, Any], names: tuple[str, ...]) -> Forest:
    """The trees of a dumped lightgbm model as arrays."""
    trees = [_nodes(tree["tree_structure"]) for tree in model["tree_info"]]
    if not trees:
        return empty(names)
    count, width = len(trees), max(len(nodes) for nodes, _ in trees)
    features = np.zeros((count, width), np.int64)
    cuts = np.zeros((count, width), np.float64)
    left = np.tile(np.arange(width), (count, 1))
    right = left.copy()
    values = np.zeros((count, width), np.float32)
    for at, (nodes, _) in enumerate(trees):
        for number, (feature, cut, low, high, value) in enumerate(nodes):
            features[at, number], values[at, number] = feature, value
            cuts[at, number] = cut
            left[at, number], right[at, number] = low, high
    return Forest(names, features, cuts, left, right, values, max(depth for _, depth in trees))


def _nodes(root: dict[str, Any]) -> tuple[list[tuple[int, float, int, int, float]], int]:
    """(feature, cut, left, right, value) of every node, parents before children, and the depth of the tree."""
    nodes: list[tuple[int, float, int, int, float]] = []
    waiting = [(root, 0, -1, False)]
    deepest = 0
    while waiting:
        node, depth, parent, is_right = waiting.pop(0)
        number = len(nodes)
        deepest = max(deepest, depth)
        if parent >= 0:
            feature, cut, low, high, value = nodes[parent]
            nodes[parent] = (feature, cut, low, number, value) if is_right else (feature, cut, number, high, value)
        if "split_feature" not in node:
            nodes.append((0, 0.0, number, number, float(node["leaf_value"])))
            continue
        nodes.append((int(node["split_feature"]), float(node["threshold"]), number, number, 0.0))
        waiting += [(node["left_child"], depth + 1, number, False), (node["right_child"], depth + 1, number, True)]
    return nodes, deepest


def _library() -> Any:
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # OSError: the OpenMP runtime it links to is missing
        raise TrainerMissing(
            f"training a ranker needs lightgbm ({error}). Fix: pip install 'hapenny[lightgbm]'"
            " (and the system's OpenMP runtime, libgomp1)"
        ) from None
    return lightgbm
