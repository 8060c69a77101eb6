"""The two providers that answers are waited for: the catalog's card, and one at the times of the reference budget.

The reference budget has 330 ms for the first token and 650 ms of streaming, at the 95th percentile. Its provider is the
card with all times brought to these: so that the mix's requests, sent to the strong model directly, take as long; the
other models in proportion, and none slower.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

import msgspec

from hapenny.responsive.budget import STEPS
from hapenny.simulation.call import SimulatedCall
from hapenny.simulation.card import Lineup
from hapenny.simulation.loop import VirtualLoop
from hapenny.simulation.provider import SimulatedProvider

T = TypeVar("T")
LIMITS = {step.name: step.limit_ms / 1e3 for step in STEPS}


def gantt(card: Lineup, first: float, streaming: float) -> Lineup:
    """The card at the reference budget's times.

    Args:
        card: whose models, prices and tails it has.
        first: seconds to the first content, 95th percentile over the mix's requests to the strong model, tail and all.
        streaming: the same from the first content to the last.
    """
    strong = card.of_tier("strong")
    assert strong is not None
    sooner, faster = LIMITS["first_token"] / first, streaming / LIMITS["streaming"]
    models = []
    for model in card.models:
        first_factor = min(1.0, strong.ttft_p95 / model.ttft_p95) * sooner
        rate_factor = max(1.0, strong.rate_p95 / model.rate_p95) * faster
        models.append(
            msgspec.structs.replace(
                model,
                ttft_p50=model.ttft_p50 * first_factor,
                ttft_p95=model.ttft_p95 * first_factor,
                rate_p50=model.rate_p50 * rate_factor,
                rate_p95=model.rate_p95 * rate_factor,
            )
        )
    return msgspec.structs.replace(card, name=f"{card.name} at the reference budget", models=tuple(models))


class Elsewhere(SimulatedProvider):
    """A simulated provider whose own computing takes no time of the gateway's machine."""

    async def call(self, *given: Any, **named: Any) -> SimulatedCall:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            return await super().call(*given, **named)
        return await Aside(super().call(*given, **named), loop)


class Aside(Awaitable[T]):
    """Awaits something whose steps are computed elsewhere; only what it waits for takes time."""

    def __init__(self, work: Awaitable[T], loop: VirtualLoop) -> None:
        self._work = work
        self._loop = loop

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._work.__await__()
        sent: Any = None
        failure: BaseException | None = None
        while True:
            try:
                with self._loop.elsewhere():
                    waits = steps.throw(failure) if failure is not None else steps.send(sent)
            except StopIteration as done:
                result: T = done.value
                return result
            sent = failure = None
            try:
                sent = yield waits
            except BaseException as error:
                failure = error


def run(main: Any, seed: int) -> Any:
    """Runs `main(clock)` in virtual time in which this thread's computing passes."""
    from hapenny.simulation import loop

    return loop.run(main, seed=seed, worked=time.thread_time)
