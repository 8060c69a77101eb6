"""Price to performance: quality score over cost per prompt, with an interval; who is on the Pareto front; break-even.

The ratio's interval is the delta method on its logarithm (Fieller's problem away from zero), paired within prompts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from hapenny.evidence.special import normal_ppf


class Outcomes(Struct, kw_only=True):
    """What one model did on the prompts: quality in [0, 1], dollars and seconds per prompt (NaN: unknown)."""

    quality: list[float]
    cost: list[float]
    latency: list[float] = []


class Standing(Struct, kw_only=True, frozen=True):
    """One model's line. `ratio`: mean quality over mean dollars a prompt; `pareto`: no model is better and cheaper."""

    model: str
    prompts: int
    quality: float
    quality_low: float
    quality_high: float
    cost: float
    ratio: float
    ratio_low: float
    ratio_high: float
    latency_p50: float | None
    latency_p95: float | None
    pareto: bool


class Rating(Struct, kw_only=True, frozen=True):
    """What one evaluator gave one model: mean over `prompts`, with an interval from two prompts on."""

    prompts: int
    quality: float
    quality_low: float | None
    quality_high: float | None


def rating(scores: Sequence[float], alpha: float = 0.05) -> Rating:
    """The mean of scores in [0, 1], at least one, with its normal interval."""
    values = np.array(scores, dtype=np.float64)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Rating(prompts=n, quality=mean, quality_low=None, quality_high=None)
    half = _half(values, normal_ppf(1 - alpha / 2))
    return Rating(prompts=n, quality=mean, quality_low=max(0.0, mean - half), quality_high=min(1.0, mean + half))


def standings(outcomes: Mapping[str, Outcomes], alpha: float = 0.05) -> list[Standing]:
    """Every model's line, the best ratio first."""
    lines = [_standing(name, each, alpha) for name, each in outcomes.items()]
    front = [
        not any(
            other.quality >= line.quality
            and other.cost <= line.cost
            and (other.quality > line.quality or other.cost < line.cost)
            for other in lines
        )
        for line in lines
    ]
    lines = [msgspec.structs.replace(line, pareto=on) for line, on in zip(lines, front, strict=True)]
    return sorted(lines, key=lambda line: (-line.ratio if math.isfinite(line.ratio) else -math.inf, line.model))


def _half(values: npt.NDArray[np.float64], z: float) -> float:
    """Half of the normal interval of the mean of at least two values."""
    return z * float(values.std(ddof=1)) / math.sqrt(len(values))


def _standing(model: str, outcomes: Outcomes, alpha: float) -> Standing:
    quality, cost = np.array(outcomes.quality, dtype=np.float64), np.array(outcomes.cost, dtype=np.float64)
    known = ~np.isnan(quality) & ~np.isnan(cost)
    quality, cost = quality[known], cost[known]
    n = len(quality)
    if n < 2:
        raise ValueError(f"{model} has {n} prompts with quality and cost; two are the least")
    z = normal_ppf(1 - alpha / 2)
    q, c = float(quality.mean()), float(cost.mean())
    half = _half(quality, z)
    ratio, low, high = math.inf, math.inf, math.inf
    if c > 0 and q > 0:
        ratio = q / c
        spread = quality / q - cost / c
        width = _half(spread, z)
        low, high = ratio * math.exp(-width), ratio * math.exp(width)
    elif c > 0:
        ratio, low, high = 0.0, 0.0, 0.0
    times = np.array(outcomes.latency, dtype=np.float64)
    times = times[~np.isnan(times)]
    return Standing(
        model=model,
        prompts=n,
        quality=q,
        quality_low=max(0.0, q - half),
        quality_high=min(1.0, q + half),
        cost=c,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        latency_p50=float(np.quantile(times, 0.5)) if len(times) else None,
        latency_p95=float(np.quantile(times, 0.95)) if len(times) else None,
        pareto=False,
    )


def break_even(fixed: float, each: float, rival_fixed: float, rival_each: float) -> float | None:
    """Requests a month from which the first offer is the cheaper: fine-tuning (training and hosting spread over its
    months, a short prompt) against RAG (an index, a long prompt). None: never; 0: always. Any one currency."""
    saved, extra = rival_each - each, fixed - rival_fixed
    if saved <= 0:
        return 0.0 if extra < 0 and saved == 0 else None
    return max(0.0, extra / saved)
