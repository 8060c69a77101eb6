"""Money as integers, and the price walk (design §3.1).

Rates are pico-dollars a token, amounts nano-dollars, each call rounded once. The walk prices the same delivered
answer after every stage with one and the same function, so that what the stages saved adds up by construction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

NANO = 1_000_000_000
PICO = 1_000_000_000_000


def dollars(nano: int, digits: int = 6) -> str:
    """`nano` as a decimal dollar amount without a float in between: `-0.001250` for -1,250,000."""
    sign = "-" if nano < 0 else ""
    scaled, rest = divmod(abs(nano), 10 ** (9 - digits))
    if rest * 2 >= 10 ** (9 - digits) and digits < 9:
        scaled += 1
    whole, fraction = divmod(scaled, 10**digits)
    return f"{sign}{whole}.{fraction:0{digits}d}" if digits else f"{sign}{whole}"


class Walk(Struct, frozen=True, kw_only=True, gc=False):
    """The money of one request, in nano-dollars. None anywhere: a price was unknown, the row counts as unpriced.

    `baseline - sum(savings.values()) - estimate_error == actual` holds for every priced row.
    """

    baseline: int | None
    savings: dict[str, int]
    estimate_error: int | None
    actual: int | None

    @property
    def saved(self) -> int | None:
        """All savings less own costs; None where a price is unknown."""
        return None if self.actual is None or self.baseline is None else sum(self.savings.values())

    @property
    def balanced(self) -> bool:
        """Whether the identity holds (an unpriced row has none to hold)."""
        if self.baseline is None or self.estimate_error is None or self.actual is None:
            return True
        return self.baseline - sum(self.savings.values()) - self.estimate_error == self.actual


class Totals(Struct, frozen=True, gc=False):
    """What a request has cost and saved, in nano-dollars; None: a price was unknown."""

    actual: int | None
    saved: int | None
    savings: dict[str, int]


def summed(each: Iterable[Totals | None]) -> Totals:
    """Requests' totals in sum. From the first that is not known on, amounts are None, and savings no longer grow."""
    actual: int | None = 0
    saved: int | None = 0
    savings: dict[str, int] = {}
    for totals in each:
        if totals is None or totals.actual is None or totals.saved is None or actual is None or saved is None:
            actual = saved = None
            continue
        actual += totals.actual
        saved += totals.saved
        for technique, nano in totals.savings.items():
            savings[technique] = savings.get(technique, 0) + nano
    return Totals(actual, saved, savings)


def walk(
    steps: Sequence[tuple[str, int | None]],
    calls: Iterable[tuple[str, int | None]],
    adopted: int | None,
) -> Walk:
    """Closes the books of one request.

    Args:
        steps: (technique, price of the request as it stood after that technique) in order; the first is the
            baseline, its name is ignored. Estimator counts, nano-dollars.
        calls: (technique, cost) of every paid call that did not deliver the answer: its technique's own cost.
        adopted: cost of the call that delivered the answer (0 where no call did).
    """
    own: dict[str, int] = {}
    unknown = adopted is None
    for technique, cost in calls:
        if cost is None:
            unknown = True
        elif cost:
            own[technique] = own.get(technique, 0) + cost
    known: list[int] = []
    for _, price in steps:
        if price is None:
            unknown = True
        known.append(price or 0)
    if unknown:
        return Walk(baseline=steps[0][1], savings={}, estimate_error=None, actual=None)
    savings: dict[str, int] = {}
    for (technique, _), before, after in zip(steps[1:], known, known[1:], strict=False):
        savings[technique] = savings.get(technique, 0) + before - after
    for technique, cost in own.items():
        savings[technique] = savings.get(technique, 0) - cost
    delivered = adopted or 0
    return Walk(
        baseline=known[0],
        savings=savings,
        estimate_error=known[-1] - delivered,
        actual=delivered + sum(own.values()),
    )
