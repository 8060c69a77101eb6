import msgspec
import pytest

from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.core.messages import Context
from hapenny.core.stage import Pipeline
from hapenny.simulation import loop
from hapenny.stores.counters import Charge, MemoryCounters
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.throughput.options import EndpointOptions, ModelOptions, ThroughputOptions
from hapenny.throughput.pools import QuotaSpec
from hapenny.throughput.queue import Shed
from hapenny.throughput.stage import ThroughputStage
from tests.core.house import STRONG, Asks, Terminal, exchange


def built(clock, terminal, **model):
    counters = MemoryCounters(clock)
    options = ThroughputOptions(models={"strong-model": ModelOptions(**model)} if model else {})
    stage = ThroughputStage(Dispatchers(options, counters, clock))
    return Pipeline([stage], {"throughput": "on"}, terminal, Asks()), stage, counters


def level(stage, counters):
    quota = stage.routes.of(STRONG).dispatcher.gate.endpoints[0].quota
    return counters.levels_now([Charge(quota.pool.key + ":tpm", quota.tokens, 0)])[0]


def test_settles_what_the_provider_reported():
    async def main(clock):
        spec = QuotaSpec(tokens_per_minute=100_000, output_burndown=5)
        pipeline, stage, counters = built(clock, Terminal(), quota=spec)
        answer = await pipeline(exchange(clock=clock))
        assert level(stage, counters) < 97_000  # input and the 4,096 that count when max_tokens is not set
        await answer.collect()
        assert level(stage, counters) == pytest.approx(100_000 - 10 - 5 * 5)

    loop.run(main)


def test_an_answer_that_nobody_reads_gives_its_reservation_back():
    async def main(clock):
        pipeline, stage, counters = built(clock, Terminal(), quota=QuotaSpec(tokens_per_minute=100_000))
        answer = await pipeline(exchange(clock=clock))
        answer.close()
        assert level(stage, counters) > 99_900
        assert stage.routes.of(STRONG).dispatcher.gate.endpoints[0].inflight == 0

    loop.run(main)


def test_throttling_is_absorbed_and_every_attempt_is_a_call():
    async def main(clock):
        throttled = Failure("rate_limited", "Too many tokens", upstream_status=429)
        there = exchange(clock=clock)
        pipeline, *_ = built(clock, Terminal(failures=[throttled]))
        answer = await pipeline(there)
        assert (await answer.collect()).text == "answer"
        return [(call.purpose, call.technique, call.outcome) for call in there.calls]

    assert loop.run(main) == [("serve", "serve", "failed"), ("retry", "throughput", "complete")]


@pytest.mark.parametrize("max_tokens", [None, 128_000])
def test_a_model_that_may_write_long_answers_can_be_waited_for(max_tokens):
    # The most a model may write is no forecast: at it no answer would end in time, and nobody could ever queue.
    async def main(clock):
        throttled = Failure("rate_limited", "Too many tokens", upstream_status=429)
        there = exchange(clock=clock)
        parameters = msgspec.structs.replace(there.request.parameters, max_tokens=max_tokens)
        there.request = msgspec.structs.replace(there.request, parameters=parameters)
        options = ThroughputOptions()
        stage = ThroughputStage(Dispatchers(options, MemoryCounters(clock), clock), most_output=lambda model: 128_000)
        terminal = Terminal(failures=[throttled])
        answer = await Pipeline([stage], {"throughput": "on"}, terminal, Asks())(there)
        return (await answer.collect()).text

    assert loop.run(main) == "answer"


def test_an_empty_quota_turns_requests_away_with_the_time_to_come_back():
    async def main(clock):
        terminal = Terminal()
        pipeline, *_ = built(clock, terminal, quota=QuotaSpec(tokens_per_minute=5_000))
        await (await pipeline(exchange(clock=clock))).collect()
        first = await pipeline(exchange(clock=clock))
        with pytest.raises(Shed) as shed:
            await pipeline(exchange(clock=clock))
        assert shed.value.status == 429
        assert shed.value.retry_after > 0
        first.close()
        return len(terminal.seen)

    assert loop.run(main) == 2


def test_calls_spill_to_the_next_endpoint_of_the_same_model():
    async def main(clock):
        small = QuotaSpec(tokens_per_minute=5_000)
        places = (
            EndpointOptions(name="here", region="eu-west-1", quota=small),
            EndpointOptions(name="flex", region="eu-west-1", service_tier="flex", quota=small, cost_factor=1.2),
        )
        terminal = Terminal()
        pipeline, *_ = built(clock, terminal, endpoints=places)
        for _ in range(2):
            await pipeline(exchange(clock=clock))
        return [target for _, target in terminal.seen]

    first, second = loop.run(main)
    assert first == Target("strong-model", "far", "eu-west-1", "standard")
    assert second == Target("strong-model", "far", "eu-west-1", "flex")


def test_the_exchanges_bound_on_calls_is_not_the_endpoints_fault():
    async def main(clock):
        there = exchange(clock=clock, max_calls=1)
        failures = [Failure("overloaded", "busy")] * 5
        pipeline, stage, _ = built(clock, Terminal(failures=failures))
        with pytest.raises(Failure, match="busy"):
            await pipeline(there)
        assert len(there.calls) == 1
        assert stage.routes.of(STRONG).dispatcher.gate.endpoints[0].inflight == 0

    loop.run(main)


def test_nothing_configured_holds_nothing_back():
    async def main(clock):
        terminal = Terminal()
        pipeline, *_ = built(clock, terminal)
        for _ in range(500):
            await (await pipeline(exchange(clock=clock))).collect()
        return clock.now(), len(terminal.seen)

    assert loop.run(main) == (0.0, 500)


def test_flex_is_for_background_calls_first_and_for_others_last():
    async def main(clock):
        spec = QuotaSpec(tokens_per_minute=5_000)
        places = (
            EndpointOptions(name="flex", service_tier="flex", quota=spec, cost_factor=0.5),
            EndpointOptions(name="standard", quota=spec),
        )
        seen = []
        for priority in (-1, 0):
            terminal = Terminal()
            pipeline, *_ = built(clock, terminal, endpoints=places)
            for _ in range(2):
                await pipeline(exchange(clock=clock, context=Context(tenant="a", priority=priority)))
            seen.append([target.service_tier for _, target in terminal.seen])
        return seen

    assert loop.run(main) == [["flex", "standard"], ["standard", "flex"]]


def test_a_server_with_priorities_is_told():
    async def main(clock):
        terminal = Terminal()
        places = (EndpointOptions(name="vllm", server_priority=True),)
        pipeline, *_ = built(clock, terminal, endpoints=places)
        for priority in (1, -1):
            await pipeline(exchange(clock=clock, context=Context(tenant="a", priority=priority)))
        return [request.extras["priority"] for request, _ in terminal.seen]

    assert loop.run(main) == [0, 2]
