"""The stage contract and the pipeline that alone reads the mode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeAlias

from msgspec import Struct

from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Purpose, Taken, Target
from hapenny.core.guardrails import GuardRequest, Verdict
from hapenny.core.messages import Request
from hapenny.core.notes import Note
from hapenny.core.shape import shape_of
from hapenny.core.stage_spec import Mode, StageSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Ask", "Decision", "Mode", "Onward", "Pipeline", "Stage", "StageSpec"]

PREVIEWS: Note[dict[str, Request | str]] = Note("pipeline.previews")
"""What stages that were kept from acting on this request would have sent, or answered, by their names."""

Onward: TypeAlias = Callable[[Exchange], Awaitable[Answer]]
"""Passes the exchange to the next stage; returns when the answer has begun."""


class Decision(Struct, kw_only=True, gc=False):
    """What a stage decided. Stages extend it with what `apply` needs; it must hold no text of the client."""

    would_save: int | None = None
    """Nano-dollars, an estimate; recorded in shadow, never summed."""
    instead: Target | None = None
    """Who would be asked instead: what that would save is priced when the tokens are known."""
    spared: bool | None = None
    """Whether no model would be asked; None: that was not the question."""
    weight: int = 1
    """How many requests this one stands for, where a stage in shadow watches some of them alone."""
    label: str = ""
    """What else it would take, where switching the stage on is not enough."""
    reason: str = ""
    score: float | None = None
    """What the choice rested on, for the ledger."""
    freed: int = 0
    """Quota tokens that it leaves to others."""
    needed: bool = False
    """The request would fail without it: it is carried out even where the stage is to watch only."""
    idle: bool = False
    """There is nothing to carry out: it is only recorded."""


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

    async def guard(
        self, exchange: Exchange, asked: GuardRequest, *, technique: str, model: str, deadline: float
    ) -> Verdict:
        """What a provider's guardrail, named `model`, says of texts within `deadline` seconds."""


class Stage:
    """One technique. `class ExactStage(Stage, spec=EXACT_STAGE)` stands in the table of stages and has its name there;
    a stage without a spec (of a benchmark, say) names itself."""

    spec: ClassVar[StageSpec[Any] | None] = None
    name: str = ""
    needs: int = 0
    """Traits (`hapenny.core.shape`) of which a request must have one: the stage has nothing to do with any other. 0: it
    is asked about every request."""

    def __init_subclass__(cls, spec: StageSpec[Any] | None = None) -> None:
        super().__init_subclass__()
        if spec is not None:
            cls.spec, cls.name = spec, spec.name

    async def decide(self, exchange: Exchange, ask: Ask) -> Decision | None:
        """Decides without changing the exchange; may wait and make `embed` calls. None: nothing to do."""
        return None

    async def apply(self, decision: Any, exchange: Exchange, onward: Onward) -> Answer:
        """Carries the decision out: changes the exchange and calls onward (again, on branches), or answers."""
        return await onward(exchange)

    def preview(self, decision: Any, exchange: Exchange) -> Request | str | None:
        """What `apply` would send, or answer by itself, for audits of a stage that is kept from acting; None where it
        cannot be said without doing it."""
        return None


class _Link(NamedTuple):
    stage: Stage
    name: str
    needs: int
    on: bool
    lossy: bool
    after: _Rest


class _Rest:
    """The pipeline from one stage on. Stages that only look cost a turn of its loop; the first that acts is handed what
    is left behind it."""

    __slots__ = ("_ask", "_closed", "_stepped_back", "_terminal", "links")

    def __init__(
        self,
        links: tuple[_Link, ...],
        terminal: Onward,
        ask: Ask,
        stepped_back: Callable[[str], bool] | None,
        closed: Callable[[str, Exchange], int | None] | None,
    ) -> None:
        self.links = links
        self._closed = closed
        self._terminal = terminal
        self._ask = ask
        self._stepped_back = stepped_back

    async def __call__(self, exchange: Exchange) -> Answer:
        clock, ask, stepped_back = exchange.clock, self._ask, self._stepped_back
        before = clock.now()
        if exchange.shaped is not exchange.request:
            exchange.shaped = exchange.request
            exchange.traits = shape_of(exchange.request, exchange.asked)
        traits = exchange.traits
        for stage, name, needs, on, lossy, after in self.links:
            if needs and not needs & traits:
                continue
            kept = False
            stands_for: int | None = None
            if on and lossy:
                if stepped_back is not None and stepped_back(name):
                    continue
                if self._closed is not None:
                    stands_for = self._closed(name, exchange)
                    if stands_for == 0:
                        continue
                    if stands_for is not None:
                        on, kept = False, True
            error: str | None = None
            decision: Decision | None = None
            try:
                decision = await stage.decide(exchange, ask)
            except Failure as failure:
                if on:
                    exchange.decisions.append(Taken(name, "on", None, clock.now() - before, failure.kind))
                    raise
                error = failure.kind
            except Exception as unexpected:
                error = type(unexpected).__name__
            now = clock.now()
            if kept and decision is not None and decision.needed:
                on, kept = True, False
            if decision is not None or error is not None:
                exchange.decisions.append(Taken(name, "on" if on else "shadow", decision, now - before, error))
                if kept and decision is not None:
                    decision.weight = stands_for or 1
                    preview = stage.preview(decision, exchange)
                    if preview is not None:
                        exchange.stage_notes.setdefault(PREVIEWS, {})[name] = preview
                if on and decision is not None and not decision.idle:
                    onward = _Onward(name, after)
                    answer = await stage.apply(decision, exchange, onward)
                    if not onward.passed:
                        exchange.step(name, free=True)
                    return answer
            before = now
        return await self._terminal(exchange)


class _Onward:
    """What an acting stage calls: the rest of the pipeline, after the change it made is noted."""

    __slots__ = ("_after", "_name", "passed")

    def __init__(self, name: str, after: _Rest) -> None:
        self._name = name
        self._after = after
        self.passed = False

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, Answer]:
        self.passed = True
        exchange.step(self._name)
        return self._after(exchange)


class Pipeline(_Rest):
    """Stages in order before a terminal; built once for each route and reused for every request.

    A decision that fails unexpectedly never fails the request: it is recorded with its error and the request goes
    on; only a `Failure` a stage raises on purpose ends it.

    Args:
        stages: in order.
        modes: by stage; a stage that is not named is off.
        terminal: makes the call.
        ask: what stages call models with.
        stepped_back: whether the stage of that name is to behave as off for now. Stages that cannot change an answer
            never are, and are not asked about.
        closed: whether the stage of that name is to watch this request only, though it is on, and then for how many
            requests it stands (0: not even that); None: it acts. Asked about the same.
    """

    __slots__ = ("modes", "stages")

    def __init__(
        self,
        stages: Sequence[Stage],
        modes: Mapping[str, Mode],
        terminal: Onward,
        ask: Ask,
        stepped_back: Callable[[str], bool] | None = None,
        closed: Callable[[str, Exchange], int | None] | None = None,
    ) -> None:
        self.stages = tuple(stages)
        self.modes = {stage.name: modes.get(stage.name, "off") for stage in stages}
        rest = _Rest((), terminal, ask, stepped_back, closed)
        for stage in reversed(self.stages):
            mode = self.modes[stage.name]
            if mode != "off":
                lossy = stage.spec is None or stage.spec.lossy
                links = (_Link(stage, stage.name, stage.needs, mode == "on", lossy, rest), *rest.links)
                rest = _Rest(links, terminal, ask, stepped_back, closed)
        super().__init__(rest.links, terminal, ask, stepped_back, closed)
