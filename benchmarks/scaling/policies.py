"""Scaling policies on one simulated fleet: ours, requests a second as autoscalers in the field use it, and one that
knows what will come. All get the same servers, the same balancing and the same spill-over."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from hapenny.capacity.autoscaler import Autoscaler, ScalerOptions
from hapenny.simulation.batching import ServerCard
from hapenny.simulation.fleet import FleetSpec, Outcome, Policy, run
from hapenny.simulation.workload.trace import Arrival

CARD = ServerCard(
    step_s=0.03, sequence_s=0.0015, prefill_tokens_per_s=6_000, kv_tokens=60_000, cached_tokens=0, most=16, start_s=120
)
"""A small server, so that a fleet has more than two: of the order of an 8B model on one GPU of 24 GB; assumed."""
TTFT_S = 3.0
"""The objective: the first token within the hard limit of a useful answer."""
SPILL_S = 2.4
SPILL_PRICE = 3.0
SERVER_WEIGHT = (CARD.step_s / CARD.most + CARD.sequence_s) * CARD.prefill_tokens_per_s
"""What an answer's token weighs against a prompt's on a full server of `CARD`, by its own figures."""
OUTPUT_WEIGHT = 5.0
"""The same at a provider: the burndown of most models."""
HELD = 0.99


def weight(arrival: Arrival) -> float:
    """Weighted tokens of a request on a server of `CARD`."""
    return arrival.input + SERVER_WEIGHT * arrival.output


class Case(NamedTuple):
    """Requests, their weights, and how they are served."""

    arrivals: list[Arrival]
    weights: list[float]
    spec: FleetSpec

    def run(self, policy: Policy | int) -> Outcome:
        """What a policy comes to."""
        return run(self.arrivals, self.weights, policy, self.spec)


def case(arrivals: list[Arrival], full_per_s: float, first: int) -> Case:
    """Requests in front of a fleet of `CARD`, `first` of them ready."""
    spec = FleetSpec(
        card=CARD, full_per_s=full_per_s, first=first, ttft_s=TTFT_S, spill_s=SPILL_S, spill_price=SPILL_PRICE
    )
    return Case(arrivals, [weight(each) for each in arrivals], spec)


class Hapenny:
    """Our controller."""

    def __init__(self, full_per_s: float, target: float) -> None:
        self._scaler = Autoscaler(
            ScalerOptions(
                work_per_s=full_per_s, start_s=CARD.start_s, target=target, spill_price=SPILL_PRICE,
                output_weight=SERVER_WEIGHT, most=256,
            )
        )  # fmt: skip

    def arrived(self, at: float, input_tokens: int) -> None:
        """As in `Policy`."""
        self._scaler.arrived(input_tokens)

    def answered(self, output_tokens: int) -> None:
        """As in `Policy`."""
        self._scaler.answered(output_tokens)

    def servers(self, now: float, waiting: float, running: int) -> int:
        """As in `Policy`."""
        return self._scaler.wants(now, waiting, running).servers


class Rps:
    """Requests a second and server as Kubernetes' autoscaler follows a metric (HPA, also behind KEDA): the rate of the
    last minute over the target, 10 % tolerated, up at once, down to the most of the last five minutes."""

    STABLE_S = 300.0
    WINDOW_S = 60.0

    def __init__(self, per_server: float) -> None:
        self._per = per_server
        self._times: deque[float] = deque()
        self._wanted: deque[tuple[float, int]] = deque()

    def arrived(self, at: float, input_tokens: int) -> None:
        """As in `Policy`."""
        self._times.append(at)

    def answered(self, output_tokens: int) -> None:
        """As in `Policy`."""

    def servers(self, now: float, waiting: float, running: int) -> int:
        """As in `Policy`."""
        while self._times and self._times[0] <= now - self.WINDOW_S:
            self._times.popleft()
        if now < self.WINDOW_S:
            return running  # no metric of a whole window yet
        load = len(self._times) / self.WINDOW_S / self._per
        count = running if abs(load / running - 1) <= 0.1 else max(1, math.ceil(load - 1e-9))
        self._wanted.append((now, count))
        while self._wanted[0][0] <= now - self.STABLE_S:
            self._wanted.popleft()
        return max(each for _, each in self._wanted)


class Invocations:
    """Invocations a minute and instance as Application Auto Scaling tracks a target: out after three of three minutes
    above it, in after fifteen of fifteen below nine tenths of it, and 300 s between two steps in."""

    def __init__(self, per_server: float) -> None:
        self._per = per_server
        self._count = 0
        self._next = 60.0
        self._minutes: deque[float] = deque(maxlen=15)
        self._rest = 0.0

    def arrived(self, at: float, input_tokens: int) -> None:
        """As in `Policy`."""
        self._count += 1

    def answered(self, output_tokens: int) -> None:
        """As in `Policy`."""

    def servers(self, now: float, waiting: float, running: int) -> int:
        """As in `Policy`."""
        count = running
        while now >= self._next:
            self._minutes.append(self._count / 60)
            self._count, self._next = 0, self._next + 60.0
            last = list(self._minutes)
            if len(last) >= 3 and min(last[-3:]) / count > self._per:
                count = math.ceil(last[-1] / self._per)
            elif len(last) == 15 and max(last) / count < 0.9 * self._per and now >= self._rest:
                count, self._rest = max(1, math.ceil(max(last) / self._per)), now + 300.0
        return count


class Clairvoyant:
    """Knows all arrivals: enough servers for each stretch of `window_s` from now until one started now would serve."""

    def __init__(self, case: Case, target: float, window_s: float) -> None:
        self._at = np.array([each.at for each in case.arrivals]) - case.arrivals[0].at
        self._sums = np.concatenate([[0.0], np.cumsum(case.weights)])
        self._carried = case.spec.full_per_s * target
        self._window = window_s
        self._ahead = np.arange(0.0, case.spec.card.start_s + 1, 10.0)

    def arrived(self, at: float, input_tokens: int) -> None:
        """As in `Policy`."""

    def answered(self, output_tokens: int) -> None:
        """As in `Policy`."""

    def servers(self, now: float, waiting: float, running: int) -> int:
        """As in `Policy`."""
        starts = now + self._ahead
        low, high = np.searchsorted(self._at, starts), np.searchsorted(self._at, starts + self._window)
        work = float((self._sums[high] - self._sums[low]).max()) / self._window
        return max(1, math.ceil(work / self._carried - 1e-9))


def cheapest_static(case: Case, most: int = 64) -> tuple[int, Outcome]:
    """The number of servers that, kept all the time, holds the objective at the least cost."""
    outcomes: dict[int, Outcome] = {}

    def cost(count: int) -> float:
        if count not in outcomes:
            outcomes[count] = case.run(count)
        return outcomes[count].cost if outcomes[count].slo >= HELD else math.inf

    seconds = max(1.0, case.arrivals[-1].at - case.arrivals[0].at)
    count = max(1, round(sum(case.weights) / seconds / case.spec.full_per_s))
    while cost(count) == math.inf and count < most:
        count += 1
    while count > 1 and cost(count - 1) < cost(count):
        count -= 1
    while count < most and cost(count + 1) < cost(count):
        count += 1
    return count, outcomes[count]


def tuned(case: Case, make: Callable[..., Policy], grid: Iterable[Sequence[float]]) -> Sequence[float]:
    """The parameters that hold the objective at the least cost; where none does, those that come nearest."""
    best: tuple[tuple[bool, float], Sequence[float]] | None = None
    for parameters in grid:
        outcome = case.run(make(*parameters))
        rank = (outcome.slo < HELD, outcome.cost if outcome.slo >= HELD else -outcome.slo)
        if best is None or rank < best[0]:
            best = rank, parameters
    assert best is not None
    return best[1]


def grid(*axes: Sequence[float]) -> list[tuple[float, ...]]:
    """All combinations."""
    return list(itertools.product(*axes))
