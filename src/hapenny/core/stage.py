"""The stage contract and the pipeline that alone reads the mode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Purpose, Taken, Target
from hapenny.core.messages import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Mode: TypeAlias = Literal["off", "shadow", "on"]

Onward: TypeAlias = Callable[[Exchange], Awaitable[Answer]]
"""Passes the exchange to the next stage; returns when the answer has begun."""


class Decision(Struct, kw_only=True):
    """What a stage decided. Stages extend it with what `apply` needs; it must hold no text of the client."""

    would_save: int | None = None
    """Nano-dollars, an estimate; recorded in shadow, never summed."""
    reason: str = ""


class Ask(Protocol):
    """A tagged way to call a model, handed to stages by the gateway. Every call it makes is on the exchange."""

    async def model(
        self, exchange: Exchange, request: Request, target: Target, *, purpose: Purpose, technique: str
    ) -> Answer:
        """A model's answer, begun. `exchange` books the call to `technique`."""

    async def embed(
        self, exchange: Exchange, texts: Sequence[str], *, technique: str, model: str | None = None
    ) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), d), from the configured embedder (local ones cost nothing)."""

    async def rerank(
        self, exchange: Exchange, query: str, documents: Sequence[str], *, technique: str, model: str | None = None
    ) -> list[float]:
        """A relevance score for each document."""


class Stage:
    """One technique. `name` is its word in configuration, ledger and report."""

    name: str = ""

    async def decide(self, exchange: Exchange, ask: Ask) -> Decision | None:
        """Decides without changing the exchange; may wait and make `embed` calls. None: nothing to do."""
        return None

    async def apply(self, decision: Any, exchange: Exchange, onward: Onward) -> Answer:
        """Carries the decision out: changes the exchange and calls onward (again, on branches), or answers."""
        return await onward(exchange)


class Pipeline:
    """Stages in order before a terminal; built once for each route and reused for every request.

    A decision that fails unexpectedly never fails the request: it is recorded with its error and the request goes
    on; only a `Failure` a stage raises on purpose ends it.

    Args:
        stages: in order.
        modes: by stage; a stage that is not named is off.
        terminal: makes the call.
        ask: what stages call models with.
        stepped_back: whether the stage of that name is to behave as off for now.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        modes: Mapping[str, Mode],
        terminal: Onward,
        ask: Ask,
        stepped_back: Callable[[str], bool] | None = None,
    ) -> None:
        self.stages = tuple(stages)
        self.modes = {stage.name: modes.get(stage.name, "off") for stage in stages}
        onward = terminal
        for stage in reversed(self.stages):
            mode = self.modes[stage.name]
            if mode != "off":
                onward = _link(stage, mode, onward, ask, stepped_back)
        self._first = onward

    async def __call__(self, exchange: Exchange) -> Answer:
        """Runs the exchange through; returns when the answer has begun."""
        return await self._first(exchange)


def _link(stage: Stage, mode: Mode, onward: Onward, ask: Ask, stepped_back: Callable[[str], bool] | None) -> Onward:
    name = stage.name

    async def decide(exchange: Exchange) -> Decision | None:
        started = exchange.clock.now()
        try:
            decision = await stage.decide(exchange, ask)
        except Failure as failure:
            taken = Taken(name, mode, None, exchange.clock.now() - started, failure.kind)
            exchange.decisions.append(taken)
            if mode == "on":
                raise
            return None
        except Exception as error:
            exchange.decisions.append(Taken(name, mode, None, exchange.clock.now() - started, type(error).__name__))
            return None
        if decision is not None:
            exchange.decisions.append(Taken(name, mode, decision, exchange.clock.now() - started))
        return decision

    async def shadow(exchange: Exchange) -> Answer:
        await decide(exchange)
        return await onward(exchange)

    async def run(exchange: Exchange) -> Answer:
        if stepped_back is not None and stepped_back(name):
            return await onward(exchange)
        decision = await decide(exchange)
        if decision is None:
            return await onward(exchange)
        passed = False

        async def stepped(there: Exchange) -> Answer:
            nonlocal passed
            passed = True
            there.step(name)
            return await onward(there)

        answer = await stage.apply(decision, exchange, stepped)
        if not passed:
            exchange.step(name, free=True)
        return answer

    return shadow if mode == "shadow" else run
