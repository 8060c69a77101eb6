"""A fleet of simulated servers under a scaling policy, without a loop: what it held, and what it cost.

Theory of operation. Requests come in order; before each, every server is brought to that moment. A request goes to the
ready server with the fewest inside. Where `spill_s` is set and its first token would come later than that, as whoever
sends requests can work it out from what is under way, it spills over to a price by the token. Every `tick_s` the policy
says how many servers it wants: more are started and serve after `start_s`; fewer are drained, those that do not serve
yet first, and stop when what they have begun is done. All that is started is paid, start-up and drain included.

Costs are in server hours. What spills is paid by its tokens: `spill_price` times what the same work costs on a server
that is full (`full_per_s` weighted tokens a second).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from msgspec import Struct

from hapenny.simulation import batching
from hapenny.simulation.batching import Engine, ServerCard
from hapenny.simulation.workload.trace import Arrival


class Policy(Protocol):
    """Decides how many servers run."""

    def arrived(self, at: float, input_tokens: int) -> None:
        """A request came."""

    def answered(self, output_tokens: int) -> None:
        """An answer has ended: its length is known."""

    def servers(self, now: float, waiting: float, running: int) -> int:
        """How many are wanted; `waiting`: prompt tokens inside that are not prefilled; `running`: those that run or
        start."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What a policy came to."""

    requests: int
    slo: float
    """Share of requests whose first token came in time."""
    server_hours: float
    """Start-up and drain included."""
    spilled: float
    """Share of weighted tokens that spilled over."""
    spill_hours: float
    """What they cost, in server hours."""
    ttft_p50_s: float
    ttft_p95_s: float
    most: int
    servers: tuple[int, ...] = ()
    """How many ran after each tick."""

    @property
    def cost(self) -> float:
        """All of it, in server hours."""
        return self.server_hours + self.spill_hours


class FleetSpec(Struct, frozen=True, kw_only=True):
    """What is the same for every policy. Times in seconds."""

    card: ServerCard
    full_per_s: float
    """Weighted tokens that a full server does a second."""
    first: int = 1
    """Servers that are ready at the start."""
    ttft_s: float = 2.0
    """The objective."""
    tick_s: float = 10.0
    spill_s: float = math.inf
    """A first token that would come later than this spills over."""
    spill_ttft_s: float = 0.8
    """First token of what spilled over; assumed."""
    spill_price: float = 3.0


def run(arrivals: Sequence[Arrival], weights: Sequence[float], policy: Policy | int, spec: FleetSpec) -> Outcome:
    """Runs a trace through a fleet.

    Args:
        weights: of the arrivals, weighted tokens.
        policy: a number: so many servers all the time.
    """
    card = spec.card
    static = policy if isinstance(policy, int) else None
    asked = None if isinstance(policy, int) else policy
    engines = [Engine(card) for _ in range(static if static is not None else spec.first)]
    starting: list[Engine] = []
    draining: list[Engine] = []
    start = arrivals[0].at
    seconds, seen, spilled = 0.0, start, 0.0
    tick = start if asked is not None else math.inf
    spill_s, late = spec.spill_s, spec.spill_ttft_s
    sequences: list[tuple[float, batching.Sequence]] = []
    times: list[float] = []
    counts: list[int] = []
    most = len(engines)
    make = batching.Sequence
    for arrival, work in zip(arrivals, weights, strict=True):
        at = arrival.at
        while tick <= at:
            running = len(engines) + len(starting) + len(draining)
            seconds += (tick - seen) * running
            seen = tick
            for engine in draining:
                engine.advance(tick)
            draining = [engine for engine in draining if engine.inside]
            if starting:
                engines += [engine for engine in starting if engine.ready_at <= tick]
                starting = [engine for engine in starting if engine.ready_at > tick]
            waiting = 0
            for engine in engines:
                engine.advance(tick)
                waiting += engine.pending
            assert asked is not None
            wanted = max(1, asked.servers(tick - start, waiting, len(engines) + len(starting)))
            while len(engines) + len(starting) < wanted:
                starting.append(Engine(card, ready_at=tick + card.start_s))
            while len(engines) + len(starting) > wanted:
                if starting:
                    starting.pop()
                    continue
                gone = min(engines, key=lambda each: each.inside)
                engines.remove(gone)
                if gone.inside:
                    draining.append(gone)
            counts.append(wanted)
            most = max(most, wanted)
            tick += spec.tick_s
        if starting and starting[0].ready_at <= at:
            engines += [engine for engine in starting if engine.ready_at <= at]
            starting = [engine for engine in starting if engine.ready_at > at]
        best, soonest, size = engines[0], math.inf, arrival.input
        for engine in engines:
            if engine.next_at <= at:
                engine.advance(at)
            first = engine.first_token_s(size)
            if first < soonest:
                best, soonest = engine, first
        if asked is not None:
            asked.arrived(at - start, arrival.input)
        if soonest > spill_s:
            spilled += work
            times.append(late)
            if asked is not None:
                asked.answered(arrival.output)
            continue
        sequence = make(arrival.input, arrival.output)
        if asked is not None:
            sequence.on_end = partial(_ended, asked, arrival.output)
        sequences.append((at, sequence))
        best.add(sequence, at)
    end = arrivals[-1].at
    seconds += (end - seen) * (len(engines) + len(starting) + len(draining))
    for engine in engines + draining:
        # What is under way at the end is not paid for, by any policy: the traffic would go on.
        engine.finish()
    times += [sequence.first_at - at for at, sequence in sequences if sequence.first_at is not None]
    array = np.array(times)
    total = float(sum(weights))
    p50, p95 = np.percentile(array, (50, 95))
    return Outcome(
        requests=len(times),
        slo=float((array <= spec.ttft_s).mean()),
        server_hours=seconds / 3600,
        spilled=spilled / total if total else 0.0,
        spill_hours=spec.spill_price * spilled / spec.full_per_s / 3600,
        ttft_p50_s=float(p50),
        ttft_p95_s=float(p95),
        most=most,
        servers=tuple(counts),
    )


def _ended(policy: Policy, output: int, at: float) -> None:
    policy.answered(output)


def full_rate(
    arrivals: Sequence[Arrival], weigh: Callable[[Arrival], float], card: ServerCard, sample: int = 1_500
) -> float:
    """Weighted tokens a second that one server does when it always has enough to do, measured on requests of the trace
    themselves."""
    rows = arrivals[:: max(1, len(arrivals) // sample)][:sample]
    engine = Engine(card)
    for row in rows:
        engine.add(batching.Sequence(row.input, row.output), 0.0)
    work = sum(map(weigh, rows))
    # The ends, where the batch fills and empties, are not a full server.
    engine.finish()
    return work / engine.busy_s if engine.busy_s else 0.0
