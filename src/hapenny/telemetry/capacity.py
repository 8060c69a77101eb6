"""Capacity that is paid by the hour: provisioned throughput, reserved tiers, servers of one's own.

A call to it costs nothing, so that the request saved its on-demand price; what the capacity costs stands in an entry of
its own for each hour in which the deployment ran, as a negative saving of the same technique. Both together say whether
it pays. An hour that has begun is booked whole, as providers bill it, and once, however many processes or reloads saw
it: the ledger takes one entry of a capacity an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import NamedTuple

from hapenny.core.clock import Clock
from hapenny.core.exchange import Target
from hapenny.core.log import get_logger
from hapenny.telemetry.rows import Entry

PREPAID = frozenset({"provisioned", "owned", "reserved"})
"""Service tiers whose calls may cost nothing: what is paid is the hour."""
HOUR = 3_600.0

_log = get_logger("hapenny.capacity")


class Capacity(NamedTuple):
    """One bill by the hour."""

    name: str
    """For people: where it is configured."""
    model: str
    """As it is called."""
    tier: str
    """`provisioned`, `owned` or `reserved`: the service tier of its calls, and the technique that saves."""
    nano: int | None
    """Nano-dollars an hour; None: nobody said."""


def nano_dollars(usd: float) -> int:
    """Dollars as nano-dollars."""
    return round(Decimal(str(usd)) * 1_000_000_000)


def prepaid(capacities: Collection[Capacity]) -> Callable[[Target], bool]:
    """Whether a target's calls cost nothing, because a bill that is known pays for them. Where nobody said what the
    hour costs, what a call costs or saves is not known either."""
    paid = {(each.model, each.tier) for each in capacities if each.nano is not None}

    def owned(target: Target) -> bool:
        return target.service_tier in PREPAID and (target.model, target.service_tier) in paid

    return owned


async def bill_hours(capacities: Sequence[Capacity], book: Callable[[Entry], None], clock: Clock) -> None:
    """Books the hour that has begun, then each one that begins. Runs until it is cancelled."""
    for each in capacities:
        if each.nano is None:
            _log.warning("capacity without a bill: requests it answers are unpriced", capacity=each.name)
    known = [(each, each.nano) for each in capacities if each.nano is not None]
    while known:
        hour = clock.wall() // HOUR * HOUR
        for each, nano in known:
            book(Entry(kind="capacity", wall=hour, technique=each.tier, actual=nano, saved=-nano, model=each.name))
        await clock.sleep(max(1.0, hour + HOUR - clock.wall()))
