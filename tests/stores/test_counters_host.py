import pytest

from hapenny.stores.host import HostCounters, HostLine, HostServer, HostState

from .counters_contract import CountersContract, ManualClock


class TestHost(CountersContract):
    @pytest.fixture
    async def store(self, tmp_path):
        clock = ManualClock()
        server = HostServer(HostState(clock, 1_000_000), str(tmp_path / "socket"))
        await server.start()
        counters = HostCounters(HostLine(f"host:{tmp_path / 'socket'}", clock))
        yield counters, clock
        await counters.aclose()
        await server.aclose()
