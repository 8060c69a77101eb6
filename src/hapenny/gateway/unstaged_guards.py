"""Guardrails of routes for what goes through no pipeline: texts to be embedded, and lines of providers' batch jobs.

The same stages read it, by the rules of the route that the request would have taken. What a provider's guardrail has to
judge needs a request whose books pay for it: an embedding has one; a line of a job has none, so it stays out of the job
and is answered alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from msgspec.structs import replace

from hapenny.config import RouteOptions
from hapenny.core.answer import Answer, Replay
from hapenny.core.errors import Failure, invalid
from hapenny.core.events import Completion
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Request, Text
from hapenny.core.stage import Ask, Stage
from hapenny.guarding.options import GUARD_INPUT_STAGE, GUARD_OUTPUT_STAGE
from hapenny.protocols.openai.embeddings import Asked

if TYPE_CHECKING:
    from hapenny.guarding.input_stage import InputGuardStage
    from hapenny.guarding.output_stage import OutputGuardStage

_STOPPED = "This was stopped by a guardrail."
_ALONE = "a provider's guardrail has to judge it, and it is asked about requests that are answered one by one"


class RouteGuards(NamedTuple):
    """The guardrails that are on on a route."""

    input: InputGuardStage | None = None
    output: OutputGuardStage | None = None

    def line(self, request: Request) -> Request:
        """A line of a job as it may go on; the very same where nothing was changed.

        Raises:
            Failure: `invalid_request`, where a rule blocks it or a provider's guardrail has to judge it.
        """
        if any(stage is not None and stage.asks_provider for stage in self):
            raise invalid(_ALONE, "messages", "send it by itself, or have `batch` answer it")
        if self.input is None:
            return request
        checked = self.input.check(request)
        if checked.blocked:
            raise _refused(self.input, "messages")
        return checked.request

    def answer(self, completion: Completion) -> Completion:
        """The answer to a line as it may go out.

        Raises:
            Failure: `unavailable`, where a provider's guardrail has to judge it.
        """
        if self.output is None:
            return completion
        if self.output.asks_provider:
            raise Failure("unavailable", f"The answer cannot go out: {_ALONE}.")
        return self.output.whole(completion)

    async def texts(self, exchange: Exchange, asked: Asked, ask: Ask) -> Asked:
        """What is to be embedded as it may go on.

        Raises:
            Failure: `invalid_request`, where a rule blocks it or it is no text.
        """
        stage = self.input
        if stage is None:
            return asked
        if not asked.texts:
            raise invalid("a guardrail reads what is embedded here, and it reads no tokens", "input", "send texts")
        decision = await stage.decide(exchange, ask)
        if decision is None:
            return asked
        reached: list[Request] = []

        async def onward(exchange: Exchange) -> Answer:
            reached.append(exchange.request)
            return Answer(Replay([]))

        await stage.apply(decision, exchange, onward)
        if not reached:
            raise _refused(stage, "input")
        (message,) = reached[0].messages
        return replace(asked, inputs=tuple([block.text for block in message.content if isinstance(block, Text)]))


def _refused(stage: InputGuardStage, field: str) -> Failure:
    return invalid(stage.message or _STOPPED, field, "leave out what the operator's guardrail does not let through")


def guards_of(route: RouteOptions, stages: Sequence[Stage]) -> RouteGuards:
    """Those among the stages of a route that are on."""
    by_name: Mapping[str, Stage] = {stage.name: stage for stage in stages}
    spec, out = GUARD_INPUT_STAGE, GUARD_OUTPUT_STAGE
    return RouteGuards(
        cast("InputGuardStage | None", by_name.get(spec.name) if route.mode(spec) == "on" else None),
        cast("OutputGuardStage | None", by_name.get(out.name) if route.mode(out) == "on" else None),
    )
