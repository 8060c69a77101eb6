"""What a promise leaves to spend: wrong answers allowed so far, less those that were probably served.

A promise is on all requests of a route. While a cache is closed or careful it uses less than it may; what is surely
left over may be spent later, so that one unlucky label does not starve a route for thousands of requests.

"Surely": what was spent is corrected by the audits where they found more than expected, and taken at its upper bound,
with twice Poisson's variance because wrong answers come in company. A young route thus has next to nothing to carry
over, and what is carried is bounded by a part of a window's own allowance.
"""

from __future__ import annotations

import math

WINDOW = 1_000
"""Requests over which a threshold is found, and what was left over is spent."""
_MEMORY = 10_000
"""Requests over which allowance and spending are added up, older ones fading."""
_CARRIED = 0.15
_SPREAD = 2.0
_PRIOR = 2.0
"""Wrong audits that are taken as found and as expected before there are any."""


class Allowance:
    """The account of one promise on wrong answers / requests."""

    def __init__(self, asked: float = 0.0, spent: float = 0.0, expected: float = _PRIOR, found: float = _PRIOR) -> None:
        """`asked`: requests; `spent`: expected wrong answers among their hits, both fading with age; `expected`,
        `found`: wrong audits."""
        self.asked, self.spent, self.expected, self.found = asked, spent, expected, found

    def request(self) -> None:
        """Counts a request."""
        keep = 1 - 1 / _MEMORY
        self.asked = self.asked * keep + 1
        self.spent *= keep

    def audited(self, error: float, wrong: bool) -> None:
        """An audit: how probably wrong the hit was held to be, and whether it was."""
        self.expected += error
        self.found += wrong

    def spend(self, error: float) -> None:
        """Books a served answer by its estimated chance of being wrong, or the rest of it once it is known."""
        self.spent += error

    def limit(self, max_error: float, z: float) -> float:
        """Wrong answers / requests of the next window: `max_error`, and what was left over at `z` deviations."""
        spent = self.spent * max(1.0, self.found / self.expected)
        over = max_error * self.asked - spent - z * math.sqrt(_SPREAD * spent)
        return max_error + min(max(over / WINDOW, 0.0), _CARRIED * max_error)
