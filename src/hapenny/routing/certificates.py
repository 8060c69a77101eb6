"""The guarantee: how boldly may the weak model be used so that, with confidence, little quality is lost?

Learn-then-Test from "always strong" down along the router's score (fixed before the labels), on the loss "what the
strong model would have got and the served answer did not". The stated delta is shared between the certificate (two
thirds) and the monitor that watches it afterwards (one third), so that both together keep the promise.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from hapenny.evidence.bounds import smallest_sample
from hapenny.evidence.certify import nested_sequence
from hapenny.evidence.eprocess import LossMonitor
from hapenny.evidence.special import Floats

CERTIFY_SHARE = 2 / 3


class Fingerprint(msgspec.Struct, kw_only=True, frozen=True):
    """What a certificate is about; any change of it voids the certificate."""

    route: str
    intent: str
    weak: str
    strong: str
    prices: str = ""
    prompt_version: str = ""
    router_version: str = ""


class Certificate(msgspec.Struct, kw_only=True, frozen=True):
    """A dated promise: with `confidence`, serving weak at scores <= `threshold` loses at most `max_quality_loss`.

    `threshold` None: nothing bolder than always-strong was proven. `weak_share`, `loss` are as seen in the calibration;
    `bound` is the proven upper bound of the loss.
    """

    about: Fingerprint
    max_quality_loss: float
    confidence: float
    threshold: float | None
    weak_share: float
    loss: float
    bound: float
    pairs: int
    wanted_pairs: int
    dated: float
    assumptions: str = (
        "calibration pairs are drawn from the traffic they are used on; scores were made without them; "
        "the judge's verdicts are taken as true"
    )

    def describes(self, about: Fingerprint) -> bool:
        """Whether it still holds for this traffic, models, prices and versions."""
        return self.about == about

    def allows(self, score: float) -> bool:
        """Whether a prompt with that score may go to the weak model."""
        return self.threshold is not None and score <= self.threshold

    def monitor(self) -> LossMonitor:
        """The e-process that watches this promise on shadow pairs."""
        return LossMonitor(self.max_quality_loss, (1 - self.confidence) * (1 - CERTIFY_SHARE))

    def header(self) -> str:
        """One line for the answer's headers."""
        if self.threshold is None:
            return f"none; pairs={self.pairs}; wanted={self.wanted_pairs}"
        share = f"weak-share={self.weak_share:.2f}"
        return f"loss<={self.bound:.4f}; confidence={self.confidence}; pairs={self.pairs}; {share}"


def candidates(scores: npt.ArrayLike, count: int = 1_000) -> Floats:
    """Thresholds in order from the safest: quantiles of scores alone, never of labels. Losses of rising thresholds are
    nested, so a fine grid is no bolder than a coarse one and gives less away between two steps."""
    values = np.unique(np.quantile(np.asarray(scores, dtype=np.float64), np.arange(1, count + 1) / count))
    return np.asarray(values)


def certify(
    about: Fingerprint,
    scores: npt.ArrayLike,
    losses: npt.ArrayLike,
    *,
    max_quality_loss: float,
    confidence: float = 0.95,
    dated: float,
    thresholds: Floats | None = None,
    least: int = 0,
    spend: float = 1.0,
) -> Certificate:
    """Certifies from logged pairs: out-of-sample `scores` and, for each, the loss in [0, 1] if the weak had served.

    `least`: fewer pairs than this certify nothing. `thresholds` may be fixed from earlier, unlabelled traffic.
    `spend`: share of the certificate's part of the allowed error that this look may use, where there are several.
    """
    score, loss = np.asarray(scores, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    delta = (1 - confidence) * CERTIFY_SHARE * spend
    wanted = max(least, smallest_sample(max_quality_loss, delta))
    steps = candidates(score) if thresholds is None and len(score) else thresholds
    threshold, share, mean, bound = None, 0.0, 0.0, 1.0
    if steps is not None and len(score) >= wanted:
        nested = nested_sequence(score, loss, steps, max_quality_loss, delta)
        if nested.index >= 0:
            threshold = float(steps[nested.index])
            share, mean, bound = float((score <= threshold).mean()), nested.loss, nested.bound
    return Certificate(
        about=about,
        max_quality_loss=max_quality_loss,
        confidence=confidence,
        threshold=threshold,
        weak_share=share,
        loss=mean,
        bound=bound,
        pairs=len(score),
        wanted_pairs=wanted,
        dated=dated,
    )
