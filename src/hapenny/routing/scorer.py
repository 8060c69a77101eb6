"""The trained scorer: what would the strong model add on this prompt? Learned from logged outcomes of both.

Ridge regression on hashed words and word pairs (tf-idf, unit length), shape measures and the task label where the
application gives one, around the cold-start score as prior mean, so that thin evidence falls back to it. The target is
the gain with the strong score slightly discounted: the weak model's failures are the part that can be predicted.
Solved by conjugate gradients on the sparse rows; a decision is one gather and one dot product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from hapenny.intents.features import SHAPE, Features, Floats, extract
from hapenny.routing.complexity import CLIP as COLD_CLIP
from hapenny.routing.complexity import Weights, default_weights, raw_score

BUCKETS = 1 << 14
_MASK = np.uint64(BUCKETS - 1)
_CLIP = 4.0


class Options(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How to fit. `penalty`: ridge penalty; `discount`: weight of the strong score in the target; `prior`: slope on the
    standardised cold-start score in standard deviations of the target; `shape`, `task`: prior variance of these
    features beside the text's."""

    penalty: float = 10.0
    discount: float = 0.95
    prior: float = 0.15
    shape: float = 0.1
    task: float = 1.0
    steps: int = 40


class Scorer(msgspec.Struct, kw_only=True, frozen=True):
    """A fitted scorer. `text`: weight per bucket; `idf`: inverse document frequency per bucket, 0 where never seen."""

    version: str
    trained_on: int
    text: bytes
    idf: bytes
    shape_mean: list[float]
    shape_scale: list[float]
    shape: list[float]
    tasks: dict[str, float]
    cold: Weights
    cold_mean: float
    cold_slope: float
    intercept: float
    foreign_text: float
    foreign_shape: float


class Reader:
    """A scorer made ready to decide: arrays unpacked, constants folded. Immutable and safe to share."""

    __slots__ = ("_at", "_bias", "_idf", "_limit", "_low", "_mean", "_scale", "_slope", "_text", "scorer")

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._text = np.frombuffer(scorer.text, dtype=np.float32)
        self._idf = np.frombuffer(scorer.idf, dtype=np.float32)
        cold, count = scorer.cold, len(SHAPE)
        # Shape and cold-start score are both linear in clipped standardised measures: one pass for both.
        self._at = np.concatenate([np.arange(count), np.arange(len(cold.slope))])
        self._mean = np.array([*scorer.shape_mean, *cold.mean])
        self._scale = 1 / np.array([*scorer.shape_scale, *cold.deviation])
        self._slope = np.array([*scorer.shape, *(scorer.cold_slope * slope for slope in cold.slope)])
        self._limit = np.array([_CLIP] * count + [COLD_CLIP] * len(cold.slope))
        self._low = -self._limit
        self._bias = scorer.intercept - scorer.cold_slope * scorer.cold_mean

    def gain(self, features: Features, task: str | None = None) -> float:
        """Expected discounted gain of the strong model on a 0-1 quality scale; higher means: send it up."""
        z = features.shape.take(self._at)
        z -= self._mean
        z *= self._scale
        np.maximum(z, self._low, out=z)
        np.minimum(z, self._limit, out=z)
        value = self._bias + float(z @ self._slope)
        if task is not None:
            value += self.scorer.tasks.get(task, 0.0)
        at, tf, _ = _terms(features)
        if len(at):
            weight = tf * self._idf.take(at)
            length = math.sqrt(float(weight @ weight))
            if length:
                value += float(weight @ self._text.take(at)) / length
        return value

    def foreign(self, features: Features) -> bool:
        """Whether the prompt is unlike the training prompts: more unseen words, or an odder shape, than 99.5 %."""
        return self.distance(features) > 1.0

    def distance(self, features: Features) -> float:
        """How unlike the training prompts: 1 is the border at which the scorer abstains."""
        return max(
            unseen(features, self._idf) / max(self.scorer.foreign_text, 1e-9),
            _oddness(features.shape, self._mean[: len(SHAPE)], self._scale[: len(SHAPE)])
            / max(self.scorer.foreign_shape, 1e-9),
        )


def fit(
    prompts: Sequence[str] | Sequence[Features],
    weak: npt.ArrayLike,
    strong: npt.ArrayLike,
    tasks: Sequence[str | None] | None = None,
    *,
    version: str = "",
    cold: Weights | None = None,
    options: Options | None = None,
) -> Scorer:
    """Fits from logged outcomes: quality scores in [0, 1] of the weak and the strong model on each prompt."""
    chosen, base = options or Options(), cold or default_weights()
    rows = [p if isinstance(p, Features) else extract(p) for p in prompts]
    y = chosen.discount * np.asarray(strong, dtype=np.float64) - np.asarray(weak, dtype=np.float64)
    if len(rows) < 10 or len(y) != len(rows):
        raise ValueError(f"a scorer needs at least 10 scored prompts, not {len(rows)} prompts and {len(y)} scores")
    guess = np.array([raw_score(row, base) for row in rows])
    slope = chosen.prior * float(y.std()) / (float(guess.std()) + 1e-12)
    rest = y - slope * (guess - guess.mean())
    design = Design(rows, tasks, chosen)
    weights = design.solve(rest - rest.mean(), chosen.penalty, chosen.steps)
    text, shape, labels = design.split(weights)
    mean, scale = design.mean, design.scale
    return Scorer(
        version=version,
        trained_on=len(rows),
        text=text.astype(np.float32).tobytes(),
        idf=design.idf.astype(np.float32).tobytes(),
        shape_mean=mean.tolist(),
        shape_scale=scale.tolist(),
        shape=shape.tolist(),
        tasks={name: round(float(value), 6) for name, value in zip(design.names, labels, strict=True)},
        cold=base,
        cold_mean=float(guess.mean()),
        cold_slope=slope,
        intercept=float(rest.mean()),
        foreign_text=_unseen_border(rows, design),
        foreign_shape=float(np.quantile([_oddness(row.shape, mean, 1 / scale) for row in rows], 0.995)) * 1.25,
    )


class Design:
    """The training rows as one sparse matrix: text buckets, then shape measures, then task labels."""

    def __init__(self, rows: Sequence[Features], tasks: Sequence[str | None] | None, options: Options) -> None:
        self.rows = len(rows)
        terms = [_terms(row) for row in rows]
        self.sizes = np.array([len(at) for at, _, _ in terms])
        self.at = np.concatenate([at for at, _, _ in terms]).astype(np.intp)
        tf = np.concatenate([count for _, count, _ in terms])
        owner = np.repeat(np.arange(self.rows), self.sizes)
        self.seen = np.bincount(self.at, minlength=BUCKETS)
        self.idf: Floats = np.where(self.seen > 0, np.log((self.rows + 1) / (self.seen + 1)) + 1, 0.0)
        value = tf * self.idf[self.at]
        length = np.sqrt(np.bincount(owner, value * value, minlength=self.rows))
        self.value = value / np.maximum(length, 1e-12)[owner]
        self.owner = owner
        shapes = np.array([row.shape for row in rows])
        self.mean, self.scale = shapes.mean(axis=0), shapes.std(axis=0) + 1e-6
        self.shape_weight = math.sqrt(options.shape / len(SHAPE))
        self.shapes = np.clip((shapes - self.mean) / self.scale, -_CLIP, _CLIP) * self.shape_weight
        labels = [task for task in tasks or () if task is not None]
        self.names = sorted(set(labels))
        index = {name: i for i, name in enumerate(self.names)}
        self.label = np.array([index.get(task or "", -1) for task in tasks]) if tasks else np.full(self.rows, -1)
        self.task_weight = math.sqrt(options.task)

    def solve(self, target: Floats, penalty: float, steps: int) -> Floats:
        """Ridge weights by conjugate gradients on the normal equations (Hestenes and Stiefel 1952)."""
        x = np.zeros(BUCKETS + self.shapes.shape[1] + len(self.names))
        residual = self._back(target)
        direction, norm = residual.copy(), float(residual @ residual)
        first = norm
        for _ in range(steps):
            image = self._back(self._forth(direction)) + penalty * direction
            step = norm / float(direction @ image)
            x += step * direction
            residual -= step * image
            new = float(residual @ residual)
            if new < first * 1e-10:
                break
            direction = residual + (new / norm) * direction
            norm = new
        return x

    def split(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Weights of text buckets, of standardised shape measures and of task labels."""
        end = BUCKETS + self.shapes.shape[1]
        return weights[:BUCKETS], weights[BUCKETS:end] * self.shape_weight, weights[end:] * self.task_weight

    def _forth(self, w: Floats) -> Floats:
        out = np.bincount(self.owner, self.value * w[self.at], minlength=self.rows)
        end = BUCKETS + self.shapes.shape[1]
        out += self.shapes @ w[BUCKETS:end]
        if self.names:
            out += np.where(self.label >= 0, self.task_weight * w[end:][self.label], 0.0)
        return np.asarray(out)

    def _back(self, r: Floats) -> Floats:
        text = np.bincount(self.at, self.value * r[self.owner], minlength=BUCKETS)
        parts = [text, r @ self.shapes]
        if self.names:
            known = self.label >= 0
            parts.append(self.task_weight * np.bincount(self.label[known], r[known], minlength=len(self.names)))
        return np.concatenate(parts)


def _terms(features: Features) -> tuple[npt.NDArray[np.uint64], Floats, int]:
    """Buckets, dampened counts 1 + log(count), and how many tokens and pairs there were."""
    found = np.concatenate((features.words, features.pairs))
    found &= _MASK
    if not len(found):
        return found, np.zeros(0), 0
    found.sort()
    edge = np.empty(len(found), dtype=bool)
    edge[0] = True
    np.not_equal(found[1:], found[:-1], out=edge[1:])
    at = edge.nonzero()[0]
    count = np.empty(len(at))
    count[:-1] = at[1:] - at[:-1]
    count[-1] = len(found) - at[-1]
    return found.take(at), 1 + np.log(count), len(found)


def unseen(features: Features, idf: npt.NDArray[np.floating]) -> float:
    """Share of the prompt's words that training never saw."""
    words = features.words & _MASK
    return float(np.count_nonzero(idf.take(words.astype(np.intp)) == 0)) / (len(words) + 5) if len(words) else 0.0


def _unseen_border(rows: Sequence[Features], design: Design) -> float:
    """The 99.5 % point of the unseen share when each fifth of the rows is held out in turn."""
    shares: list[float] = []
    fold = np.arange(design.rows) % 5
    for held in range(5):
        rest = np.bincount(design.at[fold[design.owner] != held], minlength=BUCKETS).astype(np.float64)
        shares.extend(unseen(rows[i], rest) for i in np.flatnonzero(fold == held))
    return float(np.quantile(shares, 0.995)) + 0.02


def _oddness(shape: Floats, mean: Floats, scale: Floats) -> float:
    z = np.minimum(np.abs((shape - mean) * scale), 25.0)
    return float(z @ z) / len(shape)
