"""A token estimator that learns a provider's tokenizer from the usage it reports.

Recursive least squares (Plackett 1950; Haykin, Adaptive Filter Theory, ch. 10) on the relative error: the weights w
minimise sum ((w.x - y) / y)^2, where x are the features of a request and y its reported tokens. The prior covariance
is wide along the prior's own direction (another tokenizer is first of all more or fewer tokens for everything) and
narrower across it. A two-sided CUSUM on the standardised error (Page 1954) notices that the tokenizer was changed
silently; then the covariance is opened again and the requests since the change are learned once more. The upper bound
is conformal: a running quantile of past standardised errors, steered to its promised coverage (Gibbs and Candes 2021).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np

from hapenny.counting.features import BASE, GROUPS, REQUEST, SIZE, TOOLS, FeatureCache, Vector
from hapenny.counting.prior import BYTES_ONLY

COVERAGE = 0.95
_NOISE = 0.03  # relative error that remains when the weights are right
_BYTE_SPREAD = 0.1
_BYTE_SPREAD_BASE = 0.06
_TOOLS_SPREAD = 200.0  # tokens that providers add where tools are offered: none to some hundred
_SCALE_SPREAD = 0.5  # prior standard deviation of the common factor
_WINDOW = 400  # standardised errors kept for the bound
_REPLAY = 24  # requests kept to be learned again after a reset
_CLIP = 4.0
_SLACK = 3.0
_ALARM = 16.0
_FORGET = 0.9995


class Estimate(msgspec.Struct, frozen=True):
    """Tokens of a text or request: the expected count, the bound that holds in 95 % of cases, and what was counted."""

    tokens: int
    upper: int
    features: Vector


class State(msgspec.Struct, kw_only=True):
    """An estimator as plain data, for a store or a file."""

    weights: list[float]
    covariance: list[float]
    errors: list[float]
    spread: float
    level: float
    learned: int
    resets: int
    has_base: bool


class Estimator:
    """The estimator of one (provider, model). Counts are tokens; cost is tens of microseconds a request."""

    def __init__(self, cache: FeatureCache | None = None) -> None:
        self.cache = cache if cache is not None else FeatureCache()
        self.learned = 0
        self.resets = 0
        self._weights = self._prior_weights()
        self._covariance = self._prior_covariance(self._weights)
        self._recent: deque[tuple[Vector, float]] = deque(maxlen=_REPLAY)
        self._errors: deque[float] = deque(maxlen=_WINDOW)
        self._sorted: list[float] = []
        self._level = COVERAGE
        self._spread = 1.0
        self._energy = 0.0
        self._since = 0

    @property
    def has_base(self) -> bool:
        """Whether a known vocabulary gives the base count."""
        return self.cache.base is not None

    def count(self, text: str | Sequence[str]) -> Estimate:
        """The tokens of one text or of all segments of a request."""
        return self.estimate(self.cache.request((text,) if isinstance(text, str) else text))

    def estimate(self, vector: Vector) -> Estimate:
        """The tokens of a request whose feature vector is known."""
        tokens = self._predict(vector)
        return Estimate(round(tokens), self._upper(tokens, self._sigma(vector, tokens)), vector)

    def expected(self, vector: Vector) -> float:
        """The expected tokens of a request whose feature vector is known, unrounded, without a bound: the cheap one."""
        return self._predict(vector)

    def margin(self, vector: Vector) -> float:
        """What the bound adds to the expected count of a request whose feature vector is known, as a share of it."""
        return max(self._bound(), 0.0) * self._sigma(vector, self._predict(vector))

    def running(self, texts: Sequence[str], offers: bool, extra: Sequence[float]) -> list[float]:
        """The expected tokens of a request up to the end of each of its segments, unrounded.

        Args:
            texts: the segments.
            offers: whether the request offers tools.
            extra: tokens to add for each segment.
        """
        weights, segment = self._weights, self.cache.segment
        total = float(weights[REQUEST]) + float(weights[TOOLS]) * offers
        sums = []
        for text, more in zip(texts, extra, strict=True):
            total += float(weights @ segment(text)) + more
            sums.append(total)
        return sums

    def tokens(self, text: str) -> float:
        """The expected tokens of one segment, unrounded: for comparing forms of the same content."""
        return max(0.0, float(self._weights @ self.cache.segment(text)))

    def learn(self, vector: Vector, reported: int) -> float:
        """Take the provider's count of a request; returns the relative error there was. Counts < 1 are ignored."""
        if reported < 1 or not np.isfinite(reported):
            return 0.0
        predicted = self._predict(vector)
        error = float(reported) / predicted - 1.0
        sigma = self._sigma(vector, predicted)
        standard = error / sigma
        self._judge(standard, missed=reported > self._upper(predicted, sigma))
        self._recent.append((vector, float(reported)))
        if self._changed(standard):
            self._reopen()
        else:
            self._update(vector, float(reported))
        self.learned += 1
        return error

    def state(self) -> State:
        """Everything learned, as plain data."""
        return State(
            weights=self._weights.tolist(),
            covariance=self._covariance.ravel().tolist(),
            errors=list(self._errors),
            spread=self._spread,
            level=self._level,
            learned=self.learned,
            resets=self.resets,
            has_base=self.has_base,
        )

    def restore(self, state: State) -> bool:
        """Take over a saved state; False (and nothing changed) if it was made with other features or another base."""
        if state.has_base != self.has_base or len(state.weights) != SIZE or len(state.covariance) != SIZE * SIZE:
            return False
        if not np.isfinite([*state.weights, *state.covariance, *state.errors, state.spread, state.level]).all():
            return False
        self._weights = np.array(state.weights)
        self._covariance = np.array(state.covariance).reshape(SIZE, SIZE)
        self._errors = deque(state.errors, maxlen=_WINDOW)
        self._sorted = sorted(self._errors)
        self._spread, self._level = state.spread, state.level
        self.learned, self.resets = state.learned, state.resets
        return True

    def adopt(self, other: Estimator) -> None:
        """Start from what another model of the same family taught, with an open mind."""
        if other.has_base == self.has_base:
            self._weights = other._weights.copy()
            self._covariance = self._prior_covariance(self._weights)

    # -- the filter

    def _prior_weights(self) -> Vector:
        if not self.has_base:
            return np.array(BYTES_ONLY)
        weights = np.zeros(SIZE)
        weights[BASE] = 1.0
        return weights

    def _prior_covariance(self, weights: Vector) -> Vector:
        spread = np.full(SIZE, _BYTE_SPREAD_BASE if self.has_base else _BYTE_SPREAD)
        spread[REQUEST] = 4.0
        spread[TOOLS] = _TOOLS_SPREAD
        spread[BASE] = 0.5 if self.has_base else 0.0
        covariance: Vector = np.diag(spread**2)
        for mask in GROUPS:
            together = weights * mask
            covariance += _SCALE_SPREAD**2 * np.outer(together, together)
        return covariance

    def _predict(self, vector: Vector) -> float:
        return max(1.0, float(self._weights @ vector))

    def _sigma(self, vector: Vector, tokens: float) -> float:
        """Expected relative error: what the weights do not know yet, and noise that shrinks with length."""
        unknown = float(vector @ self._covariance @ vector) / (tokens * tokens)
        return float(np.sqrt(max(unknown, 0.0) + _NOISE**2 * (0.25 + 150.0 / (tokens + 50.0))))

    def _update(self, vector: Vector, reported: float) -> None:
        scaled = vector / reported
        gain = self._covariance @ scaled
        unknown = float(scaled @ gain)
        noise = _NOISE**2 * (0.25 + 150.0 / (reported + 50.0))
        innovation = 1.0 - float(self._weights @ scaled)
        # Huber: one odd report (an image, a hidden prompt) must not bend what hundreds have taught.
        limit = _CLIP * float(np.sqrt(unknown + noise))
        innovation = min(max(innovation, -limit), limit)
        gain /= noise + unknown
        self._weights = self._weights + gain * innovation
        covariance = self._covariance - np.outer(gain, scaled @ self._covariance)
        self._covariance = (covariance + covariance.T) * (0.5 / _FORGET)

    def _changed(self, standard: float) -> bool:
        # Energy, not mean: a new vocabulary makes one script dearer and another cheaper at the same time.
        clipped = min(abs(standard) / self._spread, _CLIP)
        self._energy = max(0.0, self._energy + clipped * clipped - _SLACK)
        self._since = self._since + 1 if self._energy else 0
        return self.learned > 20 and self._energy > _ALARM

    def _reopen(self) -> None:
        self._covariance = self._prior_covariance(self._weights)
        for vector, reported in list(self._recent)[-self._since :]:
            self._update(vector, reported)
        self._energy = 0.0
        self._since = 0
        self.resets += 1

    # -- the bound

    def _upper(self, tokens: float, sigma: float) -> int:
        return int(np.ceil(tokens * (1.0 + max(self._bound(), 0.0) * sigma)))

    def _judge(self, standard: float, *, missed: bool) -> None:
        # Gibbs and Candes: every miss raises the level a little, every hit lowers it less; the average is the promise.
        self._level = min(0.995, max(0.8, self._level + 0.02 * ((1.0 if missed else 0.0) - (1.0 - COVERAGE))))
        if len(self._errors) == _WINDOW:
            del self._sorted[bisect_left(self._sorted, self._errors[0])]
        self._errors.append(standard)
        insort(self._sorted, standard)
        self._spread += 0.02 * (min(abs(standard), _CLIP) * 1.25 - self._spread)
        self._spread = max(self._spread, 0.2)

    def _bound(self) -> float:
        known = self._sorted
        if len(known) < 40:
            return 1.8
        return known[min(len(known) - 1, int(self._level * (len(known) + 1)))]
