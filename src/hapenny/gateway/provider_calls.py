"""One paid attempt at a provider: the end of every pipeline, and the only place where a backend is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from hapenny.admission.gate import Gate, Held
from hapenny.admission.isolation import TECHNIQUE as ISOLATION
from hapenny.admission.isolation import Isolation
from hapenny.backends.contract import Backend
from hapenny.backends.opening import OPENED, Opening
from hapenny.core.answer import Answer, begin
from hapenny.core.clock import Clock, within
from hapenny.core.errors import Failure, Unavailable
from hapenny.core.exchange import Exchange
from hapenny.core.metering import Metered
from hapenny.telemetry.books import Books
from hapenny.telemetry.refusals import Refusals

_FINISH_S = 10.0
"""How long calls of the gateway's own may go on when it ends: what a provider bills for a call that is cut off is not
known."""


class ProviderCalls:
    """Calls the backends of a deployment.

    Args:
        backends: by name.
        books: are told what is expected of a call, and that it has begun.
        clock: the deployment's clock.
        gate: has budgets pay for a call before it is made.
        isolation: marks prompts by tenant, where that is configured.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        books: Books,
        clock: Clock,
        gate: Gate | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        self._gate = gate
        self._isolation = isolation
        self._backends = backends
        self._bounded = frozenset(name for name, each in backends.items() if getattr(each, "bounded", False))
        """Those that keep to the limits of a call by themselves, whatever hangs."""
        self._books = books
        self._clock = clock
        self.refusals = Refusals(clock)
        """Where refusals of the gateway's own account are told."""
        self._own = 0
        self._idle = asyncio.Event()

    async def call(self, exchange: Exchange) -> Answer:
        """Asks the exchange's target; returns when the answer has begun, or when a stream that the provider accepted
        was silent for `limits.head_after`.

        Raises:
            Failure: the provider's, or `timeout` if it did not begin in time.
        """
        target, limits = exchange.target, exchange.limits
        backend = self._backends.get(target.backend)
        if backend is None:
            raise Unavailable(f"no backend serves {target.model}")
        if self._isolation is not None:
            exchange.request = self._isolation.marked(exchange.request, exchange.context.tenant)
            exchange.step(ISOLATION)
        for note in backend.notes(exchange.request, target):
            exchange.note(note)
        gate = self._gate
        held: Held | None = None
        if gate is not None and (gate.keyed or gate.registry.limits):
            held = await gate.reserve(exchange, target, exchange.request)
        try:
            call = exchange.begin_call(target, exchange.purpose, exchange.payer)
        except BaseException:
            if gate is not None and held is not None:
                gate.release(held.id)
            raise
        if gate is not None and held is not None:
            gate.attach(exchange, call, held)
        if exchange.background:
            self._own += 1
            exchange.on_end(self._ended)
        if exchange.steps:  # what is counted while the provider works, nobody waits for
            asyncio.get_running_loop().call_soon(self._books.expect, call)
        # An answer that comes whole has begun only when it is finished.
        streams = exchange.request.stream
        until = limits.begin_by if streams else limits.finish_by
        opened: list[Opening] = []
        watch = OPENED.set(opened)
        try:
            if target.backend in self._bounded:
                source = await backend.call(exchange.request, target, limits)
                if not streams:
                    answer = await begin(source)
            else:
                with within(until - self._clock.now()):
                    source = await backend.call(exchange.request, target, limits)
                    if not streams:
                        answer = await begin(source)
            if streams:  # the provider has accepted: from here on the limits of streams hold
                answer = await begin(source, limits.head_after)
        except TimeoutError:
            failure = Failure("timeout", "the model did not begin to answer in time")
            exchange.end_call(call, "failed", failure)
            raise failure from None
        except Failure as failure:
            exchange.end_call(call, "failed", failure)
            self.refusals.tell(failure, target)
            raise
        except BaseException:
            exchange.end_call(call, "abandoned")
            raise
        finally:
            OPENED.reset(watch)
            if opened:
                call.opened = opened[-1]
        if answer.begun:
            call.began = self._clock.now()
            self._books.begun(exchange, call)
        exchange.adopted = call
        return answer.timed(call, self._clock).through(
            Metered(call, exchange, answer.head, self._books.begun, self._books.plausible)
        )

    async def finish(self, seconds: float = _FINISH_S) -> None:
        """Waits until the gateway's own exchanges that made a call have ended, but not longer than `seconds`."""
        await asyncio.sleep(0)  # what was only just begun is under way then
        if self._own:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)

    def _ended(self) -> None:
        self._own -= 1
        if not self._own:
            self._idle.set()
