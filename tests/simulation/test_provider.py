"""The provider in virtual time: pace, quotas, caching, faults, and a bill for exactly what was delivered."""

import asyncio
import statistics

import msgspec
import pytest

from hapenny.catalog import price, resolve
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, Event, Started, Stopped, TextDelta, Usage
from hapenny.core.messages import Message, Request, Text, Thinks, Tool, ToolChoice
from hapenny.simulation.cards import CURRENT_2026, LINEUPS, MANGA_2024, Lineup
from hapenny.simulation.faults import Fault
from hapenny.simulation.loop import VirtualClock, run
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.simulation.workload.truth import KINDS
from tests.simulation.helpers import HAIKU, HAIKU_ID, SONNET, ask, questions, text_of


async def drain(provider: SimulatedProvider, request: Request, **how: object) -> tuple[list[Event], list[float]]:
    """All events, and the seconds after which each batch came."""
    started = provider.clock.now()
    call = await provider.call(request, **how)  # type: ignore[arg-type]
    events, times = [], []
    while (batch := await call.read()) is not None:
        assert batch
        events.extend(batch)
        times.append(provider.clock.now() - started)
    return events, times


def test_a_stream_keeps_the_pace_of_its_card() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock)
        first, rates = [], []
        for question in questions(300):
            events, times = await drain(provider, ask(question))
            usage = next(event.tokens for event in events if isinstance(event, Usage))
            first.append(times[0])
            if usage.output > 40:
                rates.append((usage.output - 4) / (times[-1] - times[0]))
        card = MANGA_2024.of_tier("fast")
        assert card is not None
        assert statistics.median(first) == pytest.approx(card.ttft_p50, rel=0.12)
        assert statistics.quantiles(first, n=20)[-1] == pytest.approx(card.ttft_p95, rel=0.25)
        assert statistics.median(rates) == pytest.approx(card.rate_p50, rel=0.12)

    run(main)


def test_events_come_in_order_and_usage_is_the_bill() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock)
        events, _ = await drain(provider, ask("How long does shipping to Ireland take?"))
        assert isinstance(events[0], Started)
        assert [type(event) for event in events[-2:]] == [Stopped, Usage]
        usage = events[-1]
        assert isinstance(usage, Usage)
        assert usage.tokens.input == provider.count(ask("How long does shipping to Ireland take?"))
        line = provider.bill.lines[0]
        assert (line.id, line.tokens, line.outcome) == (events[0].id, usage.tokens, "complete")
        card = resolve(HAIKU)
        assert card is not None
        assert provider.bill.nano == price(card, usage.tokens)
        assert "Ireland" in text_of(events)

    run(main)


def test_without_streaming_all_comes_at_once_at_the_end() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock)
        streamed, times = await drain(provider, ask("Explain the return of a box set"))
        whole, once = await drain(SimulatedProvider(clock), ask("Explain the return of a box set", stream=False))
        assert len(once) == 1
        assert once[0] == pytest.approx(times[-1], rel=0.01)
        assert text_of(whole) == text_of(streamed)

    run(main)


def test_equal_seeds_equal_runs() -> None:
    async def main(clock: VirtualClock) -> list[object]:
        provider = SimulatedProvider(clock, seed=3)
        answers = await asyncio.gather(*(drain(provider, ask(question)) for question in questions(40)))
        return [(text_of(events), times) for events, times in answers] + [provider.bill.total]

    assert run(main, seed=1) == run(main, seed=1)


def test_a_repeat_is_the_same_answer_at_another_pace() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock)
        first, second = [await drain(provider, ask("Where is my order?")) for _ in range(2)]
        assert text_of(first[0]) == text_of(second[0])
        assert first[1] != second[1]

    run(main)


def test_a_few_first_tokens_come_very_late() -> None:
    async def main(clock: VirtualClock) -> list[float]:
        provider = SimulatedProvider(clock, quotas={"*": Limit()})
        first = []
        for number in range(3000):
            call = await provider.call(ask(f"Where is order {number}?", max_tokens=1))
            began = clock.now()
            await call.read()
            first.append(clock.now() - began)
            call.close()
        return sorted(first)

    first = run(main)
    median = first[len(first) // 2]
    assert 3 < first[int(len(first) * 0.999)] / median < 25


def test_larger_deltas_change_no_time_and_no_word() -> None:
    async def main(clock: VirtualClock) -> None:
        request = ask("Explain the return of a box set")
        fine, times = await drain(SimulatedProvider(clock), request)
        coarse, later = await drain(SimulatedProvider(clock, chunk=40), request)
        assert text_of(fine) == text_of(coarse)
        assert len(later) < len(times)
        assert (later[0], later[-1]) == pytest.approx((times[0], times[-1]))

    run(main)


def test_max_tokens_and_stop_sequences_cut() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock)
        events, _ = await drain(provider, ask("How long does shipping to Ireland take?", max_tokens=5))
        stopped, usage = events[-2], events[-1]
        assert isinstance(stopped, Stopped)
        assert isinstance(usage, Usage)
        assert stopped.reason == "max_tokens"
        assert usage.tokens.output == 5
        events, _ = await drain(provider, ask("How long does shipping to Ireland take?", stop=("Ireland",)))
        stopped = events[-2]
        assert isinstance(stopped, Stopped)
        assert (stopped.reason, stopped.sequence) == ("stop_sequence", "Ireland")
        assert "Ireland" not in text_of(events)

    run(main)


def test_tools_and_thinking_collect_to_whole_blocks() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock, CURRENT_2026)
        tool = Tool("track", "Track an order", {"type": "object", "properties": {"order": {"type": "integer"}}})
        request = Request(
            protocol="openai",
            model="anthropic.claude-haiku-4-5",
            messages=(Message("user", (Text("Track order 12"),)),),
            tools=(tool,),
            tool_choice=ToolChoice("any"),
        )
        collector = Collector()
        for event in (await drain(provider, request))[0]:
            collector.feed(event)
        done = collector.finish()
        assert done.reason == "tool_use"
        assert '"order": 12' in done.choices[0].content[0].arguments  # type: ignore[union-attr]
        request = ask("Where is my order?", model="anthropic.claude-haiku-4-5", thinking=Thinks("enabled", 2000))
        collector = Collector()
        for event in (await drain(provider, request))[0]:
            collector.feed(event)
        done = collector.finish()
        assert [type(block).__name__ for block in done.choices[0].content] == ["Thinking", "Text"]
        assert done.tokens is not None
        assert 0 < done.tokens.reasoning < done.tokens.output

    run(main)


def test_a_cache_hit_shortens_the_first_token_and_is_billed_as_read() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock, CURRENT_2026)
        system = Text(" ".join(questions(600)), checkpoint="default")

        def request(question: str) -> Request:
            return Request(
                protocol="anthropic",
                model="anthropic.claude-sonnet-4-6",
                system=(system,),
                messages=(Message("user", (Text(question),)),),
                stream=True,
            )

        cold, warm = [], []
        for number, question in enumerate(questions(60, seed=9)):
            if number % 2 == 0:
                await clock.sleep(400)
            events, times = await drain(provider, request(question))
            usage = events[-1]
            assert isinstance(usage, Usage)
            assert (usage.tokens.cache_read > 1000) == (number % 2 == 1)
            assert (usage.tokens.cache_write > 1000) == (number % 2 == 0)
            (warm if number % 2 else cold).append(times[0])
        assert statistics.median(warm) < 0.5 * statistics.median(cold)

    run(main)


def test_quota_is_reserved_with_max_tokens_and_settled() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock, quotas={HAIKU_ID: Limit(tpm=10_000)})
        with pytest.raises(Failure, match="Too many tokens") as error:
            for _ in range(4):  # unset max_tokens reserves the model's 4,096
                await provider.call(ask("Where is my order?"))
        assert (error.value.kind, error.value.upstream_status) == ("rate_limited", 429)
        assert error.value.retry_after is None
        for _ in range(30):
            await drain(provider, ask("Where is my order?", max_tokens=50, context=""))
            await clock.sleep(1)

    run(main)


def test_leaving_releases_quota_at_once_and_bills_what_came() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock, quotas={"*": Limit(tpm=100_000)})
        call = await provider.call(ask("Explain the return of a box set"))
        assert provider.quota(HAIKU_ID).available(clock.now()) < 96_000
        await call.read()
        second = await call.read()
        assert second
        call.close()
        call.close()
        assert await call.read() is None
        assert provider.open_calls == 0
        assert provider.quota(HAIKU_ID).available(clock.now()) > 99_000
        (line,) = provider.bill.lines
        assert line.outcome == "abandoned"
        assert 4 <= line.tokens.output < 20
        early = await provider.call(ask("Where is it?"))
        early.close()
        (_, accepted) = provider.bill.lines  # the prompt was taken in
        assert (accepted.outcome, accepted.tokens.output) == ("abandoned", 0)
        assert accepted.tokens.prompt > 0

    run(main)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [("throttle", "rate_limited"), ("error", "upstream"), ("unavailable", "overloaded")],
)
def test_faults_before_the_answer(kind: str, failure: str) -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock)
        with pytest.raises(Failure) as error:
            await provider.call(ask("Where is it?", metadata={"simulate_fault": kind}))
        assert error.value.kind == failure
        assert error.value.retryable
        assert provider.bill.calls == provider.open_calls == 0
        await drain(provider, ask("Where is it?"))

    run(main)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["exception", "drop", "truncate"])
def test_faults_in_the_middle(kind: str, stream: bool) -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock)
        request = ask("Explain the return of a box set", stream=stream, metadata={"simulate_fault": kind})
        call = await provider.call(request)
        events: list[Event] = []
        failed = False
        try:
            while (batch := await call.read()) is not None:
                events.extend(batch)
        except Failure:
            failed = True
        assert failed == (kind != "truncate")
        assert not any(isinstance(event, (Stopped, Usage)) for event in events)
        assert any(isinstance(event, TextDelta) for event in events) == stream
        assert provider.open_calls == 0
        if kind == "exception" and not stream:  # an error in place of the answer
            assert not provider.bill.lines
            return
        (line,) = provider.bill.lines  # what was generated is billed, however it ended
        assert line.outcome == ("truncated" if kind == "truncate" else "broken")
        assert line.tokens.output > 0

    run(main)


def test_slow_and_hanging_calls() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock)
        _, normal = await drain(provider, ask("Where is it?"))
        _, slow = await drain(SimulatedProvider(clock), ask("Where is it?", metadata={"simulate_fault": "slow:10"}))
        assert slow[0] == pytest.approx(10 * normal[0])
        call = await provider.call(ask("Where is it?", metadata={"simulate_fault": "hang"}))
        with pytest.raises(TimeoutError):
            await call.read(5000.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(9000):
                await call.read()
        call.close()
        assert provider.open_calls == 0

    run(main)


def test_faults_by_share_window_and_model() -> None:
    async def main(clock: VirtualClock) -> None:
        plan = [Fault(kind="throttle", share=0.3, models=(HAIKU_ID,), begin=0.0, end=1000.0)]
        provider = SimulatedProvider(clock, faults=plan, quotas={"*": Limit()})

        async def failures(model: str) -> int:
            count = 0
            for question in questions(200):
                try:
                    (await provider.call(ask(question, model=model))).close()
                except Failure:
                    count += 1
            return count

        assert 40 < await failures(HAIKU) < 80
        assert await failures(SONNET) == 0
        await clock.sleep(1000)
        assert await failures(HAIKU) == 0

    run(main)


def test_what_the_model_refuses_is_refused() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock, CURRENT_2026)
        strict = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
        for request, kind, field in (
            (ask("?", model="no-such-model"), "not_found", "model"),
            (ask("?", model=strict, temperature=0.1, top_p=0.9), "invalid_request", "top_p"),
            (ask("?", model="amazon.nova-micro-v1:0", context="word " * 130_000), "context_overflow", "messages"),
        ):
            with pytest.raises(Failure) as error:
                await provider.call(request)
            assert (error.value.kind, error.value.field) == (kind, field)
        assert provider.bill.calls == 0

    run(main)


def test_cards_are_frozen_dated_and_sourced() -> None:
    assert MANGA_2024.digest() != CURRENT_2026.digest()
    for lineup in LINEUPS.values():
        assert len(lineup.digest()) == 16
        assert lineup.find(lineup.baseline) is not None
        assert any(lineup.digest() in line for line in lineup.describe())
        for tier in ("fast", "balanced", "strong", "max"):
            assert lineup.of_tier(tier) is not None
        for model in lineup.models:
            card = resolve(model.id)
            assert card is not None, model.id
            assert card.rates() is not None, model.id
            figures = set(model.__struct_fields__) - {"id", "tier", "correctness", "sources"}
            assert figures | set(KINDS) == set(model.sources), model.id
            assert set(model.correctness) == set(KINDS), model.id
            assert all(0 < share < 1 for share in model.correctness.values())
        assert set(lineup.shared) == set(lineup.sources) == set(KINDS)


def test_a_changed_card_gets_a_new_date() -> None:
    frozen = {"manga-2024": ("2026-11-30", "0117083931ee2858"), "current-2026": ("2026-11-30", "20fc73a5319c0d92")}
    assert {name: (lineup.date, lineup.digest()) for name, lineup in LINEUPS.items()} == frozen


def test_a_card_of_another_name_is_the_same_world() -> None:
    renamed = msgspec.structs.replace(MANGA_2024, name="another")
    assert renamed.digest() != MANGA_2024.digest()

    async def answers(clock: VirtualClock, lineup: Lineup) -> list[str]:
        provider = SimulatedProvider(clock, lineup, quotas={"*": Limit()})
        return [text_of((await drain(provider, ask(question)))[0]) for question in questions(60)]

    assert run(lambda clock: answers(clock, renamed)) == run(lambda clock: answers(clock, MANGA_2024))


def test_another_draw_is_another_world() -> None:
    async def main(clock: VirtualClock) -> None:
        texts = []
        for latents in (0, 1):
            provider = SimulatedProvider(clock, latents=latents, quotas={"*": Limit()})
            texts.append([text_of((await drain(provider, ask(question)))[0]) for question in questions(60)])
        assert texts[0] != texts[1]

    run(main)


async def test_it_runs_in_real_time_too() -> None:
    provider = SimulatedProvider(RealClock(seed=1))
    events, _ = await drain(provider, ask("Where is it?", max_tokens=12))
    assert isinstance(events[-1], Usage)
