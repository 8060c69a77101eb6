"""The trained scorer: what would the strong model add on this prompt? Learned from logged outcomes of both.

Ridge regression on hashed words and word pairs (tf-idf, unit length) and shape measures, around the cold-start score
as prior mean, so that thin evidence falls back to it. Where the application gives a task label, each task has a level
of its own, and words and measures may mean something else in it: the same features once more, crossed with the task
(Daume 2007, "Frustratingly easy domain adaptation"). The target is half the loss (what the strong model
would have got and the weak did not), half the gain with the strong score slightly discounted: the weak model's failures
are the part that can be predicted. Solved by conjugate gradients on the sparse rows; a
decision is a gather and a dot product for each of the two.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from hapenny.routing import prototypes
from hapenny.routing.complexity import CLIP as COLD_CLIP
from hapenny.routing.complexity import Weights, default_weights, raw_score
from hapenny.routing.design import BUCKETS, CLIP, Design, Options, salt, terms
from hapenny.routing.instructions import instruction
from hapenny.routing.intents.features import SHAPE, Features, Floats, extract

_FEW = 3
"""Training prompts with an instruction from which it is known."""
_UNTOLD = 2.0
"""How unlike a prompt is whose instruction training never saw."""


class Scorer(msgspec.Struct, kw_only=True, frozen=True):
    """A fitted scorer. `text`: weight per bucket; `idf`: inverse document frequency per bucket, 0 where never seen;
    `crossed`: weight per bucket of words within a task; `task_shape`: slopes of the measures by task, beside `shape`.
    """

    version: str
    trained_on: int
    text: bytes
    idf: bytes
    shape_mean: list[float]
    shape_scale: list[float]
    shape: list[float]
    tasks: dict[str, float]
    crossed: bytes
    task_shape: dict[str, list[float]]
    cold: Weights
    cold_mean: float
    cold_slope: float
    intercept: float
    foreign_text: float
    foreign_shape: float
    prototypes: list[list[float]] = []
    """Shapes of the kinds of prompts it was trained on (`prototypes`); none of a file of before."""
    foreign_kind: float = 0.0
    instructions: list[int] | None = None
    """What its prompts asked to be done, each at least a few times (`instructions`); None of a file of before."""


class Reader:
    """A scorer made ready to decide: arrays unpacked, constants folded. Immutable and safe to share."""

    __slots__ = ("_at", "_bias", "_crossed", "_idf", "_instructions", "_limit", "_low", "_mean", "_prototypes",
                 "_scale", "_slope", "_tasks", "_text", "scorer")  # fmt: skip

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._text = np.frombuffer(scorer.text, dtype=np.float32)
        self._crossed = np.frombuffer(scorer.crossed, dtype=np.float32)
        self._idf = np.frombuffer(scorer.idf, dtype=np.float32)
        cold, count = scorer.cold, len(SHAPE)
        # Shape and cold-start score are both linear in clipped standardised measures: one pass for both.
        self._at = np.concatenate([np.arange(count), np.arange(len(cold.slope))])
        self._mean = np.array([*scorer.shape_mean, *cold.mean])
        self._scale = 1 / np.array([*scorer.shape_scale, *cold.deviation])
        self._slope = np.array([*scorer.shape, *(scorer.cold_slope * slope for slope in cold.slope)])
        self._limit = np.array([CLIP] * count + [COLD_CLIP] * len(cold.slope))
        self._low = -self._limit
        self._bias = scorer.intercept - scorer.cold_slope * scorer.cold_mean
        self._instructions = None if scorer.instructions is None else frozenset((0, *scorer.instructions))
        kinds = scorer.prototypes if scorer.foreign_kind > 0 else []
        self._prototypes = prototypes.Kinds(kinds) if kinds else None
        # What a task adds is folded into its own level and slopes.
        self._tasks: dict[str, tuple[float, Floats, np.uint64]] = {}
        for task, level in scorer.tasks.items():
            slope = self._slope.copy()
            slope[:count] += np.array(scorer.task_shape[task])
            self._tasks[task] = (self._bias + level, slope, np.uint64(salt(task)))

    def gain(self, features: Features, task: str | None = None) -> float:
        """Expected discounted gain of the strong model on a 0-1 quality scale; higher means: send it up."""
        z = features.shape.take(self._at)
        z -= self._mean
        z *= self._scale
        np.maximum(z, self._low, out=z)
        np.minimum(z, self._limit, out=z)
        own = self._tasks.get(task) if task is not None else None
        value = self._bias + float(z @ self._slope) if own is None else own[0] + float(z @ own[1])
        at, tf = terms(features)
        if len(at):
            weight = tf * self._idf.take(at)
            length = math.sqrt(float(weight @ weight))
            if length:
                slopes = self._text.take(at)
                if own is not None:
                    slopes = slopes + self._crossed.take(at ^ own[2])
                value += float(weight @ slopes) / length
        return value

    def foreign(self, features: Features) -> bool:
        """Whether the prompt is unlike the training prompts: more unseen words, or an odder shape, than 99.5 %, or
        further from every kind of them than 99 %, or an instruction that they did not give."""
        return self.distance(features) > 1.0

    def distance(self, features: Features) -> float:
        """How unlike the training prompts: 1 is the border at which the scorer abstains."""
        shape = (features.shape - self._mean[: len(SHAPE)]) * self._scale[: len(SHAPE)]
        out = max(
            unseen(features, self._idf) / max(self.scorer.foreign_text, 1e-9),
            _oddness(shape) / max(self.scorer.foreign_shape, 1e-9),
        )
        if self._prototypes is not None:
            out = max(out, self._prototypes.distance(shape) / self.scorer.foreign_kind)
        if self._instructions is not None and instruction(features) not in self._instructions:
            out = max(out, _UNTOLD)
        return out


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
    low, high = np.asarray(weak, dtype=np.float64), np.asarray(strong, dtype=np.float64)
    # Half gain, half loss: certificates count what is lost alone, and where the weak model happened to win is chance.
    y = chosen.lost * np.maximum(high - low, 0) + (1 - chosen.lost) * (chosen.discount * high - low)
    if len(rows) < 10 or len(y) != len(rows):
        raise ValueError(f"a scorer needs at least 10 scored prompts, not {len(rows)} prompts and {len(y)} scores")
    guess = np.array([raw_score(row, base) for row in rows])
    slope = chosen.prior * float(y.std()) / (float(guess.std()) + 1e-12)
    rest = y - slope * (guess - guess.mean())
    design = Design(rows, tasks, chosen)
    # With labels each word stands in two columns: the same prior spread over both wants half as much penalty again.
    penalty = chosen.penalty * (1.5 if design.names else 1.0)
    weights = design.solve(rest - rest.mean(), penalty, chosen.steps)
    mean, scale = design.mean, design.scale
    kinds, border = prototypes.learn((np.array([row.shape for row in rows]) - mean) / scale)
    return Scorer(
        version=version,
        trained_on=len(rows),
        text=weights.text.astype(np.float32).tobytes(),
        idf=design.idf.astype(np.float32).tobytes(),
        shape_mean=mean.tolist(),
        shape_scale=scale.tolist(),
        shape=weights.shape.tolist(),
        tasks={name: round(float(value), 6) for name, value in zip(design.names, weights.labels, strict=True)},
        crossed=weights.crossed.astype(np.float32).tobytes(),
        task_shape={
            name: slopes.round(6).tolist() for name, slopes in zip(design.names, weights.by_label, strict=True)
        },
        cold=base,
        cold_mean=float(guess.mean()),
        cold_slope=slope,
        intercept=float(rest.mean()),
        foreign_text=_unseen_border(rows, design),
        foreign_shape=float(np.quantile([_oddness((row.shape - mean) * (1 / scale)) for row in rows], 0.995)) * 1.25,
        prototypes=kinds,
        foreign_kind=border,
        instructions=[each for each, count in Counter(map(instruction, rows)).items() if each and count >= _FEW],
    )


def unseen(features: Features, idf: npt.NDArray[np.floating]) -> float:
    """Share of the prompt's words that training never saw."""
    words = features.words & np.uint64(BUCKETS // 2 - 1)
    return float(np.count_nonzero(idf.take(words.astype(np.intp)) == 0)) / (len(words) + 5) if len(words) else 0.0


def _unseen_border(rows: Sequence[Features], design: Design) -> float:
    """The 99.5 % point of the unseen share when each fifth of the rows is held out in turn."""
    shares: list[float] = []
    fold = np.arange(design.rows) % 5
    for held in range(5):
        rest = np.bincount(design.at[fold[design.owner] != held], minlength=BUCKETS).astype(np.float64)
        shares.extend(unseen(rows[i], rest) for i in np.flatnonzero(fold == held))
    return float(np.quantile(shares, 0.995)) + 0.02


def _oddness(shape: Floats) -> float:
    """Of standardised measures."""
    z = np.minimum(np.abs(shape), 25.0)
    return float(z @ z) / len(shape)
