"""Live measures count upstream's time, not that of our readers."""

import asyncio

from hapenny.core.answer import begin
from hapenny.core.events import Stopped, TextDelta, Tokens
from hapenny.core.exchange import Target
from hapenny.simulation.loop import clock as virtual_clock
from hapenny.simulation.loop import run as run_virtual
from hapenny.telemetry.live import Live, Window
from tests.telemetry import made


class Slow:
    """An upstream that takes its time for each token."""

    def __init__(self, clock, first, pace, tokens):
        self.clock, self.pause, self.pace, self.left = clock, first, pace, tokens

    async def read(self):
        if not self.left:
            return None
        await self.clock.sleep(self.pause)
        self.pause = self.pace
        self.left -= 1
        return [TextDelta("x")] if self.left else [TextDelta("x"), Stopped("end_turn")]

    def close(self):
        pass


def test_a_slow_reader_does_not_make_the_model_look_slow():
    async def main():
        clock = virtual_clock()
        live = Live(clock)
        ex = made.exchange(clock, made.ask(stream=True))
        call = ex.begin_call(Target("dear"), "serve", "serve")
        answer = (await begin(Slow(clock, 0.4, 0.02, 101))).timed(call, clock)
        call.began = clock.now()
        while await answer.read() is not None:
            await asyncio.sleep(1.0)  # the reader dawdles
        call.tokens, call.provenance = Tokens(output=101), "reported"
        ex.end_call(call, "complete")
        live.observe(call)
        return live.ttft("dear"), live.tpot("dear"), call.ended - call.started

    ttft, tpot, whole = run_virtual(main())
    assert abs(ttft - 0.4) < 1e-6
    assert abs(tpot - 0.02) < 1e-6
    assert whole > 100


def test_old_samples_are_forgotten_and_failures_are_a_share():
    clock = made.Clock()
    live = Live(clock, window_s=60)

    def one(seconds, outcome="complete"):
        ex = made.exchange(clock, made.ask(stream=True))
        call = ex.begin_call(Target("dear"), "serve", "serve")
        clock.t += seconds
        call.began = clock.now()
        call.tokens, call.provenance = Tokens(output=50), "reported"
        ex.end_call(call, outcome)
        live.observe(call)

    for seconds in (0.1, 0.2, 0.3):
        one(seconds)
    one(0.1, "failed")
    assert live.pace("dear").failure_share == 0.25
    assert abs(live.ttft("dear", 0.5) - 0.2) < 1e-9
    assert live.snapshot()["dear"]["calls"] == 4
    clock.t += 61
    assert live.ttft("dear") is None
    assert live.snapshot()["dear"]["calls"] == 0


def test_a_window_is_bounded_and_its_quantiles_are_those_of_its_samples():
    window = Window(1e9, kept=100)
    for n in range(1_000):
        window.add(float(n), float((n * 7) % 1_000))
    assert len(window) == 100
    kept = sorted(float((n * 7) % 1_000) for n in range(900, 1_000))
    assert (window.quantile(0.0), window.quantile(0.5), window.quantile(1.0)) == (kept[0], kept[50], kept[-1])
    assert Window(1).quantile(0.5) is None
