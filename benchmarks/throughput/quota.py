"""Managed quota: every policy at every load and window, four sharing processes, an unknown quota, drift."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from benchmarks.throughput.ours import Hapenny
from benchmarks.throughput.replay import play, quota_figures
from benchmarks.throughput.rivals import Aimd, BotocoreAdaptive, BotocoreStandard, FifoBucket, Gradient2, Limited, Vegas
from benchmarks.throughput.traces import Arrival, to_load
from hapenny.simulation import loop
from hapenny.simulation.fleet_provider import Provider, ProviderCard
from hapenny.simulation.loop import VirtualClock
from hapenny.stores.counters import Charge, MemoryCounters
from hapenny.throughput.dispatch import Dispatcher
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import Gate
from hapenny.throughput.pools import Pool, QuotaSpec
from hapenny.throughput.quota import Quota

TPM = 400_000.0
BURNDOWN = 5.0
Window = Literal["refill", "minute"]
WINDOWS: tuple[Window, ...] = ("refill", "minute")
Serve = Callable[[Arrival, float], Awaitable[float]]
POOL = Pool("assumed-model", "us-east-1")


def at_load(rows: list[Arrival], load: float) -> list[Arrival]:
    """The rows, so that their settled demand is `load` times the quota in the mean."""
    return to_load(rows, [r.input + BURNDOWN * r.output for r in rows], load * TPM / 60)


def hapenny(clock: VirtualClock, provider: Provider, counters: MemoryCounters, spec: QuotaSpec) -> Hapenny:
    """One process of ours in front of `provider`."""
    endpoint = Endpoint("provider", clock, quota=Quota(POOL, spec, counters, clock))
    return Hapenny(clock, Dispatcher(clock, Gate(clock, [endpoint])), {"provider": provider})


def spec_of(window: Window, known: bool = True) -> QuotaSpec:
    """The quota as an operator would configure it; nothing about it if it is not known."""
    if not known:
        return QuotaSpec(output_burndown=BURNDOWN)
    return QuotaSpec(tokens_per_minute=TPM, window=window, output_burndown=BURNDOWN)


def policies(clock: VirtualClock, provider: Provider, window: Window) -> dict[str, Callable[[], Serve]]:
    """How to build each policy."""
    return {
        "hapenny": lambda: hapenny(clock, provider, MemoryCounters(clock), spec_of(window)).serve,
        "botocore_standard": lambda: BotocoreStandard(clock, provider).serve,
        "botocore_adaptive": lambda: BotocoreAdaptive(clock, provider).serve,
        "aimd": lambda: Limited(clock, provider, Aimd()).serve,
        "gradient2": lambda: Limited(clock, provider, Gradient2()).serve,
        "vegas": lambda: Limited(clock, provider, Vegas()).serve,
        "fifo": lambda: FifoBucket(clock, provider).serve,
    }


POLICIES = ("hapenny", "botocore_standard", "botocore_adaptive", "aimd", "gradient2", "vegas", "fifo")


def compare(rows: list[Arrival], load: float, window: Window, policy: str, seed: int) -> dict[str, float]:
    """One cell of the table."""
    arrivals = at_load(rows, load)

    async def main(clock: VirtualClock) -> dict[str, float]:
        provider = Provider(clock, ProviderCard(tokens_per_minute=TPM, window=window, burndown=BURNDOWN))
        records = await play(clock, arrivals, policies(clock, provider, window)[policy]())
        return quota_figures(records, [provider], arrivals[-1].at)

    return loop.run(main, seed)


class DistantCounters(MemoryCounters):
    """Memory counters behind a network: what four processes see of one Redis, in virtual time."""

    def __init__(self, clock: VirtualClock, delay_s: float = 0.001) -> None:
        super().__init__(clock)
        self._delay_s = delay_s
        self._virtual = clock

    async def reserve(self, charges: Any, ttl_s: float = 600.0) -> Any:
        """As in `Counters`, a round trip later."""
        await self._virtual.sleep(self._delay_s)
        grant = self.reserve_now(charges, ttl_s)
        await self._virtual.sleep(self._delay_s)
        return grant


def shared(rows: list[Arrival], load: float, window: Window, seed: int, processes: int = 4) -> dict[str, float]:
    """Several processes, each with its own queue, in front of one quota."""
    arrivals = at_load(rows, load)

    async def main(clock: VirtualClock) -> dict[str, float]:
        provider = Provider(clock, ProviderCard(tokens_per_minute=TPM, window=window, burndown=BURNDOWN))
        counters = DistantCounters(clock)
        nodes = [hapenny(clock, provider, counters, spec_of(window)) for _ in range(processes)]

        async def serve(row: Arrival, deadline: float) -> float:
            return await clock.random.choice(nodes).serve(row, deadline)

        records = await play(clock, arrivals, serve)
        return quota_figures(records, [provider], arrivals[-1].at)

    return loop.run(main, seed)


def unknown(rows: list[Arrival], load: float, window: Window, seed: int) -> dict[str, float]:
    """Nothing is known of the quota; figures from 120 s on."""
    arrivals = at_load(rows, load)

    async def main(clock: VirtualClock) -> dict[str, float]:
        provider = Provider(clock, ProviderCard(tokens_per_minute=TPM, window=window, burndown=BURNDOWN))
        ours = hapenny(clock, provider, MemoryCounters(clock), spec_of(window, known=False))
        seen = {"calls": 0, "throttled": 0}
        clock_loop = ours.clock

        async def serve(row: Arrival, deadline: float) -> float:
            if clock_loop.now() >= 120 and not seen["calls"]:
                seen["calls"], seen["throttled"] = provider.calls, provider.throttled
            return await ours.serve(row, deadline)

        records = await play(clock, arrivals, serve)
        figures = quota_figures(records, [provider], arrivals[-1].at)
        late = provider.calls - seen["calls"]
        figures["upstream_429_share"] = round((provider.throttled - seen["throttled"]) / max(1, late), 4)
        return figures

    return loop.run(main, seed)


def drift(rows: list[Arrival], seed: int, calls: int = 10_000) -> dict[str, float]:
    """After `calls` calls, a tenth of them aborted midway: our counters' level against the provider's own."""
    arrivals = at_load([rows[i % len(rows)]._replace(at=float(i)) for i in range(calls)], 0.9)

    async def main(clock: VirtualClock) -> dict[str, float]:
        provider = Provider(clock, ProviderCard(tokens_per_minute=TPM, burndown=BURNDOWN))
        counters, spec = MemoryCounters(clock), spec_of("refill")
        ours = hapenny(clock, provider, counters, spec)
        given = {"units": 0.0}

        async def serve(row: Arrival, deadline: float) -> float:
            leaves = clock.random.random() if clock.random.random() < 0.1 else None
            units = await ours.serve(row, deadline, leaves=leaves)
            given["units"] += units
            return units

        await play(clock, arrivals, serve)
        endpoint = ours.gate.endpoints[0]
        assert endpoint.quota is not None
        assert endpoint.quota.tokens is not None
        level = counters.levels_now([Charge(POOL.key + ":tpm", endpoint.quota.tokens, 0)])[0]
        return {
            "drift_share": round(abs(given["units"] - provider.settled) / provider.settled, 6),
            "level_gap_share": round(abs(level - provider.quota.left) / TPM, 6),
        }

    return loop.run(main, seed)
