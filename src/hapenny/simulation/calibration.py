"""A server's card from a few measured points: what its steps take, fitted by least squares.

A token of an answer takes `step_s` + `sequence_s` x the sequences at once; a first token takes its prompt's time, a
step's, and that of the other prompts that came with it. Two points with different numbers of sequences at once are
enough; more even out what measuring errs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from hapenny.simulation.batching import ServerCard


class Point(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured with so many requests at once (`hapenny bench` shows it). Seconds, tokens."""

    at_once: int
    prompt: int
    first_s: float
    """To the first token, in the mean, where requests come one by one."""
    token_s: float
    """Each further token, in the mean."""


class Calibrated(Struct, frozen=True, kw_only=True):
    """A card, and by how much it misses the points."""

    card: ServerCard
    error: float
    """Mean relative error over all points' tokens and first tokens."""


def calibrate(points: Sequence[Point], known: ServerCard | None = None) -> Calibrated:
    """Fits `step_s`, `sequence_s` and `prefill_tokens_per_s`; all else is as in `known`.

    Raises:
        ValueError: too few points, or none that tells; with the fix.
    """
    known = known or ServerCard()
    if len({each.at_once for each in points}) < 2:
        raise ValueError("points with one number of requests at once tell no slope. Fix: two, such as 1 and 32 at once")
    if min(min(each.at_once, each.prompt, each.first_s, each.token_s) for each in points) <= 0:
        raise ValueError("a measured point holds a figure that is not above 0. Fix: measure it again")
    at_once = np.array([each.at_once for each in points], dtype=float)
    token = np.array([each.token_s for each in points])
    step, sequence = _line(at_once, token)
    token_fit = step + sequence * at_once
    prompts = np.array([each.prompt for each in points], dtype=float)
    first = np.array([each.first_s for each in points])
    steps = token_fit * np.ceil(prompts / known.chunk)
    waited = first - steps
    seen = waited > 0
    if not seen.any():
        raise ValueError("first tokens come no later than others: no prompt is seen. Fix: points with longer prompts")
    per_token = float((waited[seen] * prompts[seen]).sum() / (prompts[seen] ** 2).sum())
    card = replace(known, step_s=step, sequence_s=sequence, prefill_tokens_per_s=1 / per_token)
    errors = np.concatenate([abs(token_fit / token - 1), abs((prompts * per_token + steps) / first - 1)])
    return Calibrated(card=card, error=float(errors.mean()))


def _line(
    x: np.ndarray[tuple[int], np.dtype[np.float64]], y: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> tuple[float, float]:
    """The line through (x, y) with no negative part; relative errors count."""
    weights = 1 / y
    slope, start = (float(each) for each in np.polyfit(x, y, 1, w=weights))
    if slope < 0:
        return float(1 / weights.mean()), 0.0
    if start < 0:
        return 0.0, float((weights**2 * x * y).sum() / (weights**2 * x * x).sum())
    return start, slope
