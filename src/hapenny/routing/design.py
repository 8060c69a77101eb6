"""The training rows of a scorer as one sparse matrix, and its ridge solution by conjugate gradients.

Columns: text buckets, text buckets crossed with the task, shape measures, task labels, shape measures by task. Each
block is scaled by the root of its prior variance, so that one penalty serves all.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from hapenny.routing.intents.features import SHAPE, Features, Floats

BUCKETS = 1 << 15
"""Words in the lower half, pairs in the upper."""
CROSSED = 1 << 16
CLIP = 4.0
_HALF = np.uint64(BUCKETS // 2)
_MASK = np.uint64(BUCKETS // 2 - 1)


class Options(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How to fit. `penalty`: ridge penalty; `discount`: weight of the strong score in the gain; `lost`: share of the
    loss in the target, beside the gain; `word`: scale of words beside pairs; `prior`: slope on the standardised
    cold-start score in standard deviations of the target; `shape`, `task`, `task_text`, `task_shape`: prior variance
    of these features beside the text's."""

    penalty: float = 5.0
    discount: float = 0.95
    lost: float = 0.5
    word: float = 1.4
    prior: float = 0.15
    shape: float = 0.1
    task: float = 1.0
    task_text: float = 1.0
    task_shape: float = 0.2
    steps: int = 40


class Solved(Struct, frozen=True, kw_only=True):
    """Weights on raw values: of text buckets, of crossed buckets, of standardised measures, of labels, and of measures
    by label (shape (labels, measures))."""

    text: Floats
    crossed: Floats
    shape: Floats
    labels: Floats
    by_label: Floats


def terms(features: Features) -> tuple[npt.NDArray[np.uint64], Floats]:
    """Buckets of words and pairs, and dampened counts 1 + log(count)."""
    words, pairs = features.words & _MASK, features.pairs & _MASK
    pairs |= _HALF
    if not len(words):
        return words, np.zeros(0)
    both = np.concatenate((words, pairs))
    both.sort()
    edge = np.empty(len(both), dtype=bool)
    edge[0] = True
    np.not_equal(both[1:], both[:-1], out=edge[1:])
    at = edge.nonzero()[0]
    count = np.empty(len(at))
    count[:-1] = at[1:] - at[:-1]
    count[-1] = len(both) - at[-1]
    return both.take(at), 1 + np.log(count)


def salt(task: str) -> int:
    """What a bucket is xor-ed with to get the task's own."""
    return int.from_bytes(hashlib.blake2b(task.encode(), digest_size=4).digest(), "big") % CROSSED


class Design:
    """The matrix.

    Args:
        rows: features of the prompts.
        tasks: their labels, if any; None where one has none.
        options: prior variances.
    """

    def __init__(self, rows: Sequence[Features], tasks: Sequence[str | None] | None, options: Options) -> None:
        self.rows = len(rows)
        by_row = [terms(row) for row in rows]
        sizes = np.array([len(at) for at, _ in by_row])
        self.at = np.concatenate([at for at, _ in by_row]).astype(np.intp)
        tf = np.concatenate([count for _, count in by_row])
        self.owner = owner = np.repeat(np.arange(self.rows), sizes)
        seen = np.bincount(self.at, minlength=BUCKETS)
        self.idf: Floats = np.where(seen > 0, np.log((self.rows + 1) / (seen + 1)) + 1, 0.0)
        self.idf[: BUCKETS // 2] *= options.word
        value = tf * self.idf[self.at]
        length = np.sqrt(np.bincount(owner, value * value, minlength=self.rows))
        self.value = value / np.maximum(length, 1e-12)[owner]
        shapes = np.array([row.shape for row in rows])
        self.mean, self.scale = shapes.mean(axis=0), shapes.std(axis=0) + 1e-6
        self._shapes = np.clip((shapes - self.mean) / self.scale, -CLIP, CLIP)
        self.names = sorted({task for task in tasks or () if task is not None})
        index = {name: i for i, name in enumerate(self.names)}
        self._label = np.array([index.get(task or "", -1) for task in tasks]) if tasks else np.full(self.rows, -1)
        self._known = np.flatnonzero(self._label >= 0)
        salts = np.array([salt(name) for name in self.names] or [0])
        mine = self._label[owner] >= 0
        self._crossed_owner, self._crossed_value = owner[mine], self.value[mine]
        self._crossed_at = self.at[mine] ^ salts[self._label[self._crossed_owner]]
        spread = len(SHAPE)
        self._weights = (
            math.sqrt(options.task_text),
            math.sqrt(options.shape / spread),
            math.sqrt(options.task),
            math.sqrt(options.task_shape / spread),
        )
        labels = len(self.names)
        self._ends = np.cumsum([BUCKETS, CROSSED if labels else 0, spread, labels, labels * spread])

    def solve(self, target: Floats, penalty: float, steps: int) -> Solved:
        """Ridge weights by conjugate gradients on the normal equations (Hestenes and Stiefel 1952)."""
        residual = self._back(target)
        x = np.zeros(len(residual))
        direction, norm = residual.copy(), float(residual @ residual)
        first = norm
        for _ in range(steps):
            image = self._back(self._forth(direction)) + penalty * direction
            curve = float(direction @ image)
            if curve <= 0.0:
                break  # the outcomes are all alike: there is nothing to learn of them
            step = norm / curve
            x += step * direction
            residual -= step * image
            new = float(residual @ residual)
            if new < first * 1e-10:
                break
            direction = residual + (new / norm) * direction
            norm = new
        text, crossed, shape, labels, by_label = self._split(x)
        by_text, by_shape, by_task, by_both = self._weights
        return Solved(
            text=text,
            crossed=crossed * by_text,
            shape=shape * by_shape,
            labels=labels * by_task,
            by_label=by_label * by_both,
        )

    def _split(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        text, crossed, shape, labels, by_label = np.split(x, self._ends[:-1])
        return text, crossed, shape, labels, by_label.reshape(len(labels), len(SHAPE))

    def _forth(self, x: Floats) -> Floats:
        text, crossed, shape, labels, by_label = self._split(x)
        by_text, by_shape, by_task, by_both = self._weights
        out: Floats = np.bincount(self.owner, self.value * text[self.at], minlength=self.rows).astype(np.float64)
        out += self._shapes @ (by_shape * shape)
        if self.names:
            known = self._known
            label = self._label[known]
            out += by_text * np.bincount(
                self._crossed_owner, self._crossed_value * crossed[self._crossed_at], minlength=self.rows
            )
            slopes = by_both * by_label[label]
            out[known] += by_task * labels[label] + np.einsum("ij,ij->i", self._shapes[known], slopes)
        return out

    def _back(self, r: Floats) -> Floats:
        by_text, by_shape, by_task, by_both = self._weights
        parts: list[npt.NDArray[Any]] = [np.bincount(self.at, self.value * r[self.owner], minlength=BUCKETS)]
        shape = by_shape * (r @ self._shapes)
        if not self.names:
            return np.concatenate([*parts, shape])
        known = self._known
        label, count = self._label[known], len(self.names)
        crossed = self._crossed_value * r[self._crossed_owner]
        parts.append(by_text * np.bincount(self._crossed_at, crossed, minlength=CROSSED))
        parts.append(shape)
        parts.append(by_task * np.bincount(label, r[known], minlength=count))
        by_label = np.zeros((count, len(SHAPE)))
        np.add.at(by_label, label, self._shapes[known] * r[known, None])
        return np.concatenate([*parts, by_both * by_label.ravel()])
