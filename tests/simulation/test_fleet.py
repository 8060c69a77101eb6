import asyncio

import pytest

from hapenny.simulation import loop
from hapenny.simulation.fleet_provider import Broken, Provider, ProviderCard, Throttled
from hapenny.simulation.fleet_server import Server, ServerCard


async def first_token(server, clock, *args, **kwargs):
    began = []
    start = clock.now()
    await server.call(*args, on_begin=lambda: began.append(clock.now() - start), **kwargs)
    return began[0], clock.now() - start


def test_more_sequences_at_once_move_more_tokens_but_each_slower():
    def run(count):
        async def main(clock):
            server = Server(clock)
            times = await asyncio.gather(*(first_token(server, clock, 200, 400, 400) for _ in range(count)))
            return max(whole for _, whole in times)

        return loop.run(main)

    alone, crowd = run(1), run(32)
    assert alone < crowd < 3 * alone
    assert 32 * 400 / crowd > 10 * 400 / alone


def test_a_long_prompt_delays_the_first_token_and_slows_others():
    async def main(clock):
        server = Server(clock)
        short, _ = await first_token(server, clock, 100, 10, 10)
        long, _ = await first_token(server, clock, 20_000, 10, 10)
        return short, long

    short, long = loop.run(main)
    assert long > 20_000 / ServerCard().prefill_tokens_per_s > 10 * short


def test_memory_pressure_preempts_and_everyone_still_finishes():
    async def main(clock):
        server = Server(clock, ServerCard(kv_tokens=6_000))
        made = await asyncio.gather(*(server.call(800, 900, 900) for _ in range(12)))
        return made, server

    made, server = loop.run(main)
    assert made == [900] * 12
    assert server.preemptions > 0
    assert server.inside == 0
    assert server.kv == 0


def test_an_equal_prefix_skips_its_prefill():
    async def main(clock):
        server = Server(clock)
        cold, _ = await first_token(server, clock, 8_000, 10, 10, prefix="shop")
        warm, _ = await first_token(server, clock, 8_000, 10, 10, prefix="shop")
        other, _ = await first_token(server, clock, 8_000, 10, 10, prefix="else")
        return cold, warm, other

    cold, warm, other = loop.run(main)
    assert warm < cold / 5
    assert other == pytest.approx(cold)


def test_leaving_frees_memory_at_every_point():
    async def main(clock):
        server = Server(clock)
        for delay in (0.0, 0.05, 0.3, 2.0):
            tasks = [asyncio.create_task(server.call(3_000, 500, 500)) for _ in range(5)]
            await clock.sleep(delay)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await clock.sleep(1)
            assert server.inside == 0
            assert server.kv == 0

    loop.run(main)


def test_a_starting_server_makes_callers_wait():
    async def main(clock):
        server = Server(clock, ready_at=120.0)
        return (await first_token(server, clock, 100, 10, 10))[0]

    assert loop.run(main) > 120


def test_provider_reserves_input_and_max_tokens_and_settles_output_five_times():
    async def main(clock):
        provider = Provider(clock, ProviderCard(tokens_per_minute=10_000))
        call = asyncio.create_task(provider.call(1_000, 4_000, 100))
        await clock.sleep(0.2)
        assert provider.quota.left == pytest.approx(5_000, abs=50)
        await call
        assert provider.settled == 1_500
        assert provider.quota.left > 8_500

    loop.run(main)


def test_provider_refuses_beyond_its_quota_and_by_the_minute():
    async def main(clock):
        provider = Provider(clock, ProviderCard(tokens_per_minute=10_000, window="minute"))
        await provider.call(4_000, 1_000, 1_000)
        with pytest.raises(Throttled):
            await provider.call(4_000, 1_000, 10)
        await clock.sleep(60 - clock.now() % 60)
        await provider.call(4_000, 1_000, 10)

    loop.run(main)


def test_provider_settles_what_an_aborted_stream_had_generated():
    async def main(clock):
        provider = Provider(clock, ProviderCard(ttft_s=0.5, tokens_per_s=80))
        task = asyncio.create_task(provider.call(1_000, 1_000, 800))
        await clock.sleep(0.51 + 2.0)
        task.cancel()
        await asyncio.wait([task])
        return provider.settled

    assert loop.run(main) == pytest.approx(1_000 + 5 * 160, abs=10)


def test_provider_is_down_in_its_outages():
    async def main(clock):
        provider = Provider(clock, ProviderCard(outages=((10.0, 20.0),)))
        await provider.call(10, 10, 1)
        await clock.sleep(15 - clock.now())
        with pytest.raises(Broken):
            await provider.call(10, 10, 1)
        await clock.sleep(20 - clock.now())
        await provider.call(10, 10, 1)

    loop.run(main)
