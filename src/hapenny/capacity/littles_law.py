"""Little's law held against what is counted: how far the two may be apart before something is amiss."""

from __future__ import annotations

FREE = 0.5
"""Calls in flight by which the two counts may differ where few are in flight, and..."""
PART = 0.25
"""...the share where many are: a stretch cuts calls off at both ends."""


def agrees(seen: float, expected: float) -> bool:
    """Whether calls in flight, in the mean, are as many as calls a second times seconds a call explain."""
    return abs(seen - expected) <= max(FREE, PART * max(seen, expected))
