"""The simulated provider, in this process: no socket, no account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hapenny.backends.contract import Raw
from hapenny.backends.fitting import Find, Fitting, restored
from hapenny.core.answer import Source
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Event
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Request
from hapenny.protocols.codec import Codec
from hapenny.protocols.registry import codec
from hapenny.protocols.rules import HOME
from hapenny.simulation.call import SimulatedCall
from hapenny.simulation.embedding import embed
from hapenny.simulation.guardrail import apply
from hapenny.simulation.provider import SimulatedProvider
from hapenny.simulation.reranking import rerank

if TYPE_CHECKING:
    from hapenny.simulation.fleet_jobs import FolderJobs
    from hapenny.simulation.folder_bucket import FolderBucket


class SimulatedBackend:
    """A `Backend` over a `SimulatedProvider`, whose bill and quotas stay readable at `provider`.

    The provider is a Bedrock: requests are made fit for it as for the real one, then it looks at them as the real one
    does. `repairs` off leaves them as they came: then this is the provider itself, as `hapenny simulate` serves it.
    """

    def __init__(
        self, name: str, provider: SimulatedProvider, region: str = "us-east-1", *, find: Find | None = None
    ) -> None:
        self.name = name
        self.provider = provider
        self.repairs = True
        self._region = region
        self._fitting = Fitting(find)
        self._converse, self._invoke = codec("bedrock"), codec("invoke")

    def job_service(self, folder: Path, least: int | None) -> tuple[FolderJobs, FolderBucket]:
        """Bedrock's job service of this provider: the folder is its bucket. `least`: records that a job needs."""
        from hapenny.simulation.batch_answers import answers
        from hapenny.simulation.fleet_jobs import SMALLEST, FolderJobs
        from hapenny.simulation.folder_bucket import FolderBucket

        bucket = FolderBucket(folder)
        smallest = least if least is not None else SMALLEST
        return FolderJobs(bucket, self.provider.clock, answers(self.provider), least=smallest), bucket

    async def call(self, request: Request, target: Target, limits: Limits) -> Source:
        """Sends `request` to the simulated provider, at the target's tier, else the request's. Raises `Failure`."""
        tier, asked = target.service_tier, request.parameters.service_tier
        chosen = self._dialect(request, target.model) if self.repairs else codec(request.protocol)
        undo = None
        if self.repairs:
            fitted = self._fitting.take(request, target, chosen)
            request, undo = fitted.request, fitted.undo
        call = await self.provider.call(
            request,
            target.model,
            region=target.region or self._region,
            service_tier=asked if asked in ("flex", "priority") and tier == "standard" else tier,
            account=target.endpoint,
            service=HOME[chosen.name],
        )
        answer = _Limited(call, limits, self.provider.clock, request.stream)
        if request.stream:  # as with real providers, the head of a stream comes with its first words
            await answer.open()
        return restored(answer, undo)

    def notes(self, request: Request, target: Target) -> list[str]:
        """What is changed for Bedrock, and what its wire cannot say."""
        return self._fitting.notes(request, target, self._dialect(request, target.model)) if self.repairs else []

    def _dialect(self, request: Request, model: str) -> Codec:
        native = request.protocol == "invoke" or (request.protocol == "anthropic" and "claude" in model)
        return self._invoke if native else self._converse

    async def count(self, request: Request, target: Target) -> int | None:
        """Prompt tokens as the simulated model's own tokenizer counts them."""
        return self.provider.count(request, target.model)

    async def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, limits: Limits, region: str = ""
    ) -> Raw:
        """Embeddings, reranking and guardrails; nothing else stands behind the simulated models. Raises `Failure`."""
        answer = None
        if method == "POST":
            guarded = apply(path, body)
            if guarded is not None:
                return Raw(200, {"content-type": "application/json"}, _Whole(guarded))
            answer = await embed(self.provider, path, body, self._region)
            answer = answer or await rerank(self.provider, path, body, self._region)
        if answer is None:
            raise Failure("not_found", f"the simulated provider does not answer {method} {path.partition('?')[0]}")
        return Raw(200, {"content-type": "application/json", **answer[0]}, _Whole(answer[1]))

    async def aclose(self) -> None:
        """Nothing to let go of."""


class _Whole:
    """A body that is already there."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    async def read(self) -> bytes | None:
        """All of it, then None."""
        body, self._body = self._body, None
        return body

    def close(self) -> None:
        """Lets go of the rest."""
        self._body = None


class _Limited:
    """A simulated call under its two limits and the idle limit of streams."""

    __slots__ = ("_call", "_clock", "_first", "_limits", "_stream")

    def __init__(self, call: SimulatedCall, limits: Limits, clock: Clock, stream: bool) -> None:
        self._call = call
        self._limits = limits
        self._clock = clock
        self._stream = stream
        self._first: Sequence[Event] | None = None

    async def open(self) -> None:
        """Waits for the first batch, which comes with the head of a stream. Raises `Failure`."""
        limits, now = self._limits, self._clock.now()
        begin = limits.begin_by < limits.finish_by
        try:
            self._first = await self._call.read((limits.begin_by if begin else limits.finish_by) - now)
        except TimeoutError:
            self._call.close()
            late = (
                "the model did not accept the request in time" if begin else "the model's answer: not finished in time"
            )
            raise Failure("timeout", late) from None
        except BaseException:
            self._call.close()
            raise

    async def read(self) -> Sequence[Event] | None:
        """The next batch; `Failure('timeout')` when a limit is reached first."""
        first, self._first = self._first, None
        if first is not None:
            return first
        limits = self._limits
        left = limits.finish_by - self._clock.now()
        idle = self._stream and limits.idle < left
        try:
            return await self._call.read(limits.idle if idle else left)
        except TimeoutError:
            self._call.close()
            said = f"no event for {limits.idle:g} s" if idle else "not finished in time"
            raise Failure("timeout", f"the model's answer: {said}") from None

    def close(self) -> None:
        """Ends the simulated call at once."""
        self._call.close()
