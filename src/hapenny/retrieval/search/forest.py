"""A learned ranker as plain arrays: binary trees over features, scored in numpy.

Theory of operation: every tree is a table of nodes. A node sends a row left if its feature is at most its cut, else
right; a leaf sends every row to itself and has a value. After as many steps as the deepest tree has levels all rows
stand on leaves, in all trees at once, and a row's score is the sum of its leaves. What grows the trees is
`tune.ranker_training`; nothing here needs it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32]


class Forest(msgspec.Struct, frozen=True):
    """`features`, `cuts`, `left`, `right`, `values` of shape (trees, nodes); node 0 is the root. `depth`: steps from a
    root to its deepest leaf."""

    names: tuple[str, ...]
    features: NDArray[np.int64]
    cuts: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    values: Table
    depth: int

    @property
    def trees(self) -> int:
        """How many trees there are."""
        return len(self.features)

    def score(self, table: Table) -> NDArray[np.float64]:
        """A score for each row of a feature table of shape (n, len(names))."""
        if not self.trees:
            return np.zeros(len(table))
        tree = np.arange(self.trees)
        node = np.zeros((len(table), self.trees), np.int64)
        rows = np.arange(len(table))[:, None]
        for _ in range(self.depth):
            below = table[rows, self.features[tree, node]] <= self.cuts[tree, node]
            node = np.where(below, self.left[tree, node], self.right[tree, node])
        return np.asarray(self.values[tree, node].sum(axis=1), np.float64)

    def dump(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(
            {
                "names": self.names,
                "features": self.features.tolist(),
                "cuts": [[float(f"{cut:.12g}") for cut in row] for row in self.cuts.tolist()],
                "left": self.left.tolist(),
                "right": self.right.tolist(),
                "values": np.round(self.values, 6).tolist(),
                "depth": self.depth,
            }
        )

    @classmethod
    def read(cls, blob: bytes) -> Forest:
        """From `dump`."""
        data: dict[str, Any] = msgspec.json.decode(blob)
        if "depth" not in data:
            raise ValueError("a ranker of an older version: run `hapenny index train` again")
        return cls(
            tuple(data["names"]),
            np.array(data["features"], np.int64).reshape(len(data["features"]), -1),
            np.array(data["cuts"], np.float64).reshape(len(data["features"]), -1),
            np.array(data["left"], np.int64).reshape(len(data["features"]), -1),
            np.array(data["right"], np.int64).reshape(len(data["features"]), -1),
            np.array(data["values"], np.float32).reshape(len(data["features"]), -1),
            int(data["depth"]),
        )


def empty(names: tuple[str, ...]) -> Forest:
    """A forest without trees: every row scores 0."""
    none = np.empty((0, 0), np.int64)
    return Forest(names, none, none.astype(np.float64), none, none, none.astype(np.float32), 0)
