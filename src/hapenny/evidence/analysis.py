"""The verdict on an experiment: sample ratio first, then the metric at any time, guardrails, secondary metrics.

A sample-ratio mismatch blocks the verdict. By default every look is allowed; with planned looks the Lan-DeMets
boundaries count. Guardrails are tested as non-inferiority: the worst end of the interval must stay inside the margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from hapenny.evidence.adjust import cuped, holm
from hapenny.evidence.ratio import BLOCKING, srm_p_value
from hapenny.evidence.sequential import any_time_p, planned_boundaries, threshold_any_time
from hapenny.evidence.special import Floats

Verdict = Literal["better", "worse", "no verdict yet", "blocked"]


class Effect(Struct, kw_only=True, frozen=True):
    """Variant minus control on one metric, with an interval that holds at this and every earlier look."""

    metric: str
    arm: str
    control_mean: float
    arm_mean: float
    difference: float
    low: float
    high: float
    p_value: float
    n_control: int
    n_arm: int


class GuardrailResult(Struct, kw_only=True, frozen=True):
    """`held`: not worse than the margin allows, proven; `broken`: worse, proven; else open."""

    metric: str
    arm: str
    effect: Effect
    margin: float
    state: Literal["held", "broken", "open"]


class Analysis(Struct, kw_only=True, frozen=True):
    """What an experiment says so far."""

    verdicts: dict[str, Verdict]
    effects: list[Effect]
    guardrails: list[GuardrailResult]
    secondary: list[Effect]
    sample_ratio_p: float
    counts: dict[str, int]
    changed_arm: int = 0
    """Units that were seen in more than one arm, and are in no count here."""


_SAME = 1e-9
"""A standard error below this share of the values is rounding, and not noise."""


def effect(
    metric: str,
    arm: str,
    control: npt.ArrayLike,
    variant: npt.ArrayLike,
    *,
    alpha: float = 0.05,
    horizon: float | None = None,
    looks: Sequence[float] = (),
) -> Effect:
    """Difference of means of two arms, one value per unit, anytime-valid (or at planned looks of the horizon)."""
    a, b = np.asarray(control, dtype=np.float64), np.asarray(variant, dtype=np.float64)
    gap = float(b.mean() - a.mean()) if len(a) and len(b) else 0.0
    if len(a) < 2 or len(b) < 2:
        return _effect(metric, arm, a, b, gap, math.inf, 1.0)
    error = math.sqrt(float(a.var(ddof=1)) / len(a) + float(b.var(ddof=1)) / len(b))
    return _judge(metric, arm, a, b, gap, error, 2 * len(a) * len(b) / (len(a) + len(b)), alpha, horizon, looks)


def paired_effect(
    metric: str,
    arm: str,
    control: npt.ArrayLike,
    variant: npt.ArrayLike,
    *,
    alpha: float = 0.05,
    horizon: float | None = None,
) -> Effect:
    """Replay mode: both arms answered the same prompts, so that what the prompts have in common cancels."""
    a, b = np.asarray(control, dtype=np.float64), np.asarray(variant, dtype=np.float64)
    gaps = b - a
    if len(gaps) < 2:
        return _effect(metric, arm, a, b, float(gaps.mean()) if len(gaps) else 0.0, math.inf, 1.0)
    error = float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
    return _judge(metric, arm, a, b, float(gaps.mean()), error, len(gaps), alpha, horizon, ())


def _judge(
    metric: str,
    arm: str,
    a: Floats,
    b: Floats,
    gap: float,
    error: float,
    information: float,
    alpha: float,
    horizon: float | None,
    looks: Sequence[float],
) -> Effect:
    least = _SAME * max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
    if error <= least:  # values that are all the same say nothing of how far the next ones lie apart
        return _effect(metric, arm, a, b, gap, math.inf, 1.0)
    z = gap / error
    if looks and horizon is not None:
        done = [look for look in looks if information >= look * horizon * 0.999]
        threshold = planned_boundaries(list(looks), alpha)[len(done) - 1] if done else math.inf
        p = alpha if abs(z) >= threshold else 1.0
    else:
        threshold = float(threshold_any_time(information, horizon, alpha))
        p = any_time_p(z, information, horizon)
    return _effect(metric, arm, a, b, gap, threshold * error, p)


def _effect(metric: str, arm: str, a: Floats, b: Floats, gap: float, half: float, p: float) -> Effect:
    return Effect(
        metric=metric,
        arm=arm,
        control_mean=float(a.mean()) if len(a) else 0.0,
        arm_mean=float(b.mean()) if len(b) else 0.0,
        difference=gap,
        low=gap - half,
        high=gap + half,
        p_value=p,
        n_control=len(a),
        n_arm=len(b),
    )


class Unit(Struct, kw_only=True, frozen=True):
    """One user or session: its arm, the mean of each metric, and a covariate from before the experiment, if known."""

    arm: str
    metrics: dict[str, float]
    before: float | None = None


def analyse(
    units: Sequence[Unit],
    shares: Mapping[str, float],
    *,
    metric: str,
    better: Literal["higher", "lower"] = "higher",
    guardrails: Sequence[tuple[str, float, Literal["higher", "lower"]]] = (),
    secondary: Sequence[str] = (),
    alpha: float = 0.05,
    horizon: float | None = None,
    looks: Sequence[float] = (),
    changed_arm: int = 0,
) -> Analysis:
    """Analyses one experiment.

    `shares`: promised share per arm, the control first; `guardrails`: metric, margin, which way is better.
    `changed_arm`: units that were left out because they were seen in more than one arm.

    With more than one variant the level is divided among them. CUPED is applied where every unit has a covariate.
    """
    control, *variants = shares
    level = alpha / max(1, len(variants))
    counts = {name: sum(unit.arm == name for unit in units) for name in shares}
    ratio = float(srm_p_value([counts[name] for name in shares], list(shares.values())))
    adjusted = _adjusted(units, metric)

    def values(name: str, of: str) -> list[float]:
        if of == metric and adjusted is not None:
            return [float(v) for v, unit in zip(adjusted, units, strict=True) if unit.arm == name]
        return [unit.metrics[of] for unit in units if unit.arm == name and of in unit.metrics]

    effects, checks, more = [], [], []
    verdicts: dict[str, Verdict] = {}
    for arm in variants:
        measured = effect(
            metric, arm, values(control, metric), values(arm, metric), alpha=level, horizon=horizon, looks=looks
        )
        effects.append(measured)
        for name, margin, good in guardrails:
            # One-sided at alpha: the two-sided interval at twice the level.
            side = effect(name, arm, values(control, name), values(arm, name), alpha=2 * level, horizon=horizon)
            worst, best = (-side.low, -side.high) if good == "higher" else (side.high, side.low)
            state: Literal["held", "broken", "open"] = (
                "held" if worst < margin else "broken" if best > margin else "open"
            )
            checks.append(GuardrailResult(metric=name, arm=arm, effect=side, margin=margin, state=state))
        more += [effect(name, arm, values(control, name), values(arm, name), horizon=horizon) for name in secondary]
        sign = 1 if better == "higher" else -1
        broken = any(check.state == "broken" for check in checks if check.arm == arm)
        if ratio < BLOCKING:
            verdicts[arm] = "blocked"
        elif sign * (measured.low if sign > 0 else measured.high) > 0 and not broken:
            verdicts[arm] = "better"
        elif sign * (measured.high if sign > 0 else measured.low) < 0 or broken:
            verdicts[arm] = "worse"
        else:
            verdicts[arm] = "no verdict yet"
    if more:
        family = holm([one.p_value for one in more])
        more = [msgspec.structs.replace(one, p_value=float(p)) for one, p in zip(more, family, strict=True)]
    return Analysis(
        verdicts=verdicts, effects=effects, guardrails=checks, secondary=more, sample_ratio_p=ratio, counts=counts,
        changed_arm=changed_arm,
    )  # fmt: skip


def _adjusted(units: Sequence[Unit], metric: str) -> Floats | None:
    before = [unit.before for unit in units if unit.before is not None]
    if not units or len(before) != len(units) or any(metric not in unit.metrics for unit in units):
        return None
    return cuped([unit.metrics[metric] for unit in units], before)
