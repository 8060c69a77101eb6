"""Which dispatchers are kept."""

from hapenny.core.exchange import Target
from hapenny.simulation import loop
from hapenny.stores.counters import MemoryCounters
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.throughput.options import ThroughputOptions


def test_made_up_models_push_out_no_model_that_is_in_use():
    async def main(clock):
        dispatchers = Dispatchers(ThroughputOptions(), MemoryCounters(clock), clock, most=10)
        kept = dispatchers.of(Target("in-use"))
        for number in range(100):
            dispatchers.of(Target(f"made-up-{number}"))
            assert dispatchers.of(Target("in-use")) is kept
        assert len(dispatchers.routes()) == 10

    loop.run(main)
