"""What is to happen on a compressed day under faults: all of it follows from the day's number."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from hapenny.core.clock import RealClock
from hapenny.simulation.faults import KINDS, Fault

DAY_S = 1_800.0
"""How long a compressed day is: faults last minutes in it, not hours."""

MishapKind: TypeAlias = Literal[
    "restart", "kill", "reload", "clock_jump", "ledger_full", "ledger_gone", "store_loss", "burst", "leaving",
    "slow_readers",
]  # fmt: skip
MISHAPS: tuple[MishapKind, ...] = get_args(MishapKind)
"""What befalls the gateway itself and its clients; the provider's faults are `simulation.faults.KINDS`."""


class Mishap(Struct, frozen=True, kw_only=True):
    """Something that befalls the gateway or its clients.

    `restart`: the process ends with requests under way, and another begins. `kill`: the same without a word. `reload`:
    its configuration is read again. `clock_jump`: the wall clock moves by `amount` seconds. `ledger_full`: no row can
    be written. `ledger_gone`: the ledger's file is deleted. `store_loss`: the store of quotas cannot be reached.
    `burst`: requests come at once. `leaving`: clients leave midway. `slow_readers`: clients read slowly.
    """

    kind: MishapKind
    at: float
    until: float
    amount: float = 0.0

    def lasts(self, at: float) -> bool:
        """Whether it is so at that time."""
        return self.at <= at < self.until


class Ask(Struct, frozen=True, kw_only=True):
    """One request of a tenant."""

    at: float
    tenant: int
    question: str
    most: int
    """The answer's limit, tokens."""
    leaves: float | None = None
    """Seconds after which its client goes away."""
    pause: float = 0.0
    """Seconds that its client takes for each event."""


class DayPlan(Struct, frozen=True, kw_only=True):
    """A day."""

    faults: list[Fault]
    mishaps: list[Mishap]
    asks: list[Ask]
    tokens_per_minute: float

    def of(self, kind: MishapKind) -> list[Mishap]:
        """Mishaps of one kind, by time."""
        return [mishap for mishap in self.mishaps if mishap.kind == kind]


def draw(seed: int, requests: int) -> DayPlan:
    """The day of a seed."""
    clock = RealClock(seed)
    chance = clock.random
    faults = []
    for _ in range(chance.randint(2, 6)):
        begin = chance.uniform(0, DAY_S * 0.8)
        kind = chance.choice(KINDS)
        # A provider that says when to come back may say anything.
        factor = chance.choice((0.5, 5.0, 45.0, 1e6)) if kind == "retry_after" else chance.uniform(2, 20)
        faults.append(
            Fault(
                kind=kind, share=chance.choice((0.1, 0.5, 1.0)), begin=begin, end=begin + chance.uniform(10, 240),
                factor=factor, at=chance.random(),
            )
        )  # fmt: skip
    mishaps = [_mishap(clock, kind) for kind in chance.sample(MISHAPS, chance.randint(1, 4))]
    return DayPlan(
        faults=sorted(faults, key=lambda fault: fault.begin),
        mishaps=sorted(mishaps, key=lambda mishap: mishap.at),
        asks=_asks(clock, seed, requests, mishaps),
        # Between half and thrice what is asked for.
        tokens_per_minute=requests / (DAY_S / 60) * 1_000 * chance.choice((0.5, 1.0, 3.0)),
    )


def _mishap(clock: RealClock, kind: MishapKind) -> Mishap:
    chance = clock.random
    at = chance.uniform(0.1, 0.7) * DAY_S
    amount = chance.choice((-7_200.0, -90.0, 90.0, 86_400.0)) if kind == "clock_jump" else 0.0
    return Mishap(kind=kind, at=at, until=at + chance.uniform(5, 240), amount=amount)


def _asks(clock: RealClock, seed: int, requests: int, mishaps: list[Mishap]) -> list[Ask]:
    chance = clock.random
    known = [f"Where is order {chance.randint(1, 10**6)}?" for _ in range(max(5, requests // 4))]
    spans = {mishap.kind: mishap for mishap in mishaps}
    burst, leaving, slow = spans.get("burst"), spans.get("leaving"), spans.get("slow_readers")
    asks = []
    for number in range(requests):
        question = chance.choice(known) if chance.random() < 0.5 else f"Which volume is number {seed} {number}?"
        at = chance.uniform(0, DAY_S)
        if burst is not None and chance.random() < 0.1:  # a tenth of all at once, half of them the same
            at, question = burst.at, known[0] if chance.random() < 0.5 else question
        leaves, pause = None, 0.0
        if leaving is not None and leaving.lasts(at) and chance.random() < 0.5:
            leaves = chance.choice((0.0, 0.3, 1.0, 4.0))
        if slow is not None and slow.lasts(at):
            pause = chance.choice((0.0, 0.5, 2.0))
        asks.append(
            Ask(
                at=at, tenant=chance.randrange(3), question=question, most=chance.choice((60, 200, 400)), leaves=leaves,
                pause=pause,
            )
        )  # fmt: skip
    return sorted(asks, key=lambda ask: ask.at)
