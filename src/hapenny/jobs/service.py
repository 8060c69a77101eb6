"""Provider batches of a deployment: which batch APIs its configuration names, in which dialect their jobs are written,
and how what they answered comes into the books.

A record is a request in the caller's dialect. In a job it stands in the provider's, under a number of its own; when the
job has ended its answer is written back in the caller's dialect, with a row in the ledger: the baseline is the price of
the same request on demand, the step to the batch price is the saving of the technique `batch`.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from hapenny.admission.keys import Identity
from hapenny.batch.bedrock import BedrockBatch, Control, S3Bucket
from hapenny.batch.hosted import AnthropicBatch, Http, OpenAIBatch
from hapenny.batch.records import BatchProvider, BatchRefused, JobStatus, Record, Result
from hapenny.config import BackendOptions, BatchApiOptions, Config
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, Completion, Event
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Context, Request
from hapenny.gateway.gateway import Gateway
from hapenny.protocols.codec import Codec
from hapenny.protocols.registry import codec
from hapenny.protocols.rules import HOME, fit

Hold = Callable[[], AbstractContextManager[Gateway]]
Described = Callable[[Request], tuple[Context, Identity]]
"""Who asks, and under which conditions, for a record's request."""

TECHNIQUE = "batch"
TURN = 25
"""Records that are translated in one turn of the loop, so that requests go on meanwhile."""
_FAR = {"bedrock": "bedrock", "simulated": "bedrock", "openai": "openai", "anthropic": "anthropic"}
_NOT_IN_JOBS = ("model", "stream", "stream_options", "service_tier", "serviceTier", "performanceConfig")


class Deferred:
    """A `BatchProvider` whose records are requests in the caller's dialect, answered by `inner` in the provider's.

    Args:
        inner: runs the jobs.
        near: the caller's dialect.
        far: the dialect of `inner`'s records.
        backend: the configured backend whose models `inner` serves.
        hold: the gateway of the moment.
        described: context and identity of a record's request.
        clock: the deployment's.
    """

    def __init__(
        self,
        inner: BatchProvider,
        near: Codec,
        far: Codec,
        backend: str,
        hold: Hold,
        described: Described,
        clock: Clock,
    ) -> None:
        self._inner = inner
        self._near = near
        self._far = far
        self._backend = backend
        self._hold = hold
        self._described = described
        self._clock = clock
        self.name = f"{inner.name}:{backend}"
        self.price, self.least, self.most = inner.price, inner.least, inner.most
        self.turnaround_s = inner.turnaround_s

    def serves(self, model: str) -> bool:
        """Whether the name means a model of this backend, and batch is cheaper for it as far as the catalog knows."""
        with self._hold() as gateway:
            target = self._target(gateway, model)
            if target is None or target.backend != self._backend or target.service_tier == "provisioned":
                return False
            card = gateway.catalog.resolve(target.model)
            if card is not None and card.kind != "chat":
                return False
            place, wall = gateway.books.prices.place(target), gateway.clock.wall()
            batch, standard = place.rates("batch", wall), place.rates("standard", wall)
        if batch is None or standard is None or batch.input is None or standard.input is None:
            return True  # no price is known: by the provider's word it is half
        return batch.input < standard.input

    async def create(self, token: str, model: str, records: Sequence[Record]) -> str:
        """As in `BatchProvider`. What cannot be written in the provider's dialect stays out and fails by itself.

        Raises:
            BatchRefused: too few records are left, or the provider refuses.
        """
        with self._hold() as gateway:
            target = self._target(gateway, model)
            card = gateway.catalog.resolve(target.model) if target is not None else None
        if target is None:
            raise BatchRefused(f"the model {model!r} is not known any more")
        found = []
        for number, record in enumerate(records):
            if number % TURN == 0:
                await self._clock.sleep(0)
            with contextlib.suppress(Failure):
                request = self._request(model, record)
                if not self._described(request)[1].may_ask(request.model):
                    continue  # refused with its reason when it is sent alone, before it is paid
                request = fit(request, HOME[self._far.name], target.model, card).request
                wire = self._far.encode_request(request, model=target.model)
                body = msgspec.json.decode(wire.body, type=dict[str, Any])
                for name in _NOT_IN_JOBS:
                    body.pop(name, None)
                found.append(Record(_number(number), body))
        return await self._inner.create(token, target.model, found)

    async def status(self, job: str) -> JobStatus:
        """As in `BatchProvider`."""
        return await self._inner.status(job)

    async def stop(self, job: str) -> None:
        """As in `BatchProvider`."""
        await self._inner.stop(job)

    async def results(self, job: str, records: Sequence[Record]) -> list[Result]:
        """As in `BatchProvider`; each answer is in the books when this returns, also if it is asked twice."""
        known = {_number(number): record for number, record in enumerate(records)}
        raw = {result.id: result for result in await self._inner.results(job, ())}
        found, booked = [], False
        with self._hold() as gateway:
            for place, (number, record) in enumerate(known.items()):
                if place % TURN == 0:
                    await self._clock.sleep(0)
                result = raw.get(number)
                if result is None or result.output is None:
                    # Sent one by one the request is shaped for its model: another try may help.
                    found.append(Result(record.id, error=result.error if result is not None else "no answer came"))
                    continue
                id = row_id(job, number)
                try:
                    output, fresh = await self._answer(gateway, id, record, result.output)
                except Failure as failure:
                    found.append(Result(record.id, error=failure.message))
                    continue
                booked = booked or fresh
                found.append(Result(record.id, output=output))
            if booked and gateway.ledger is not None:
                await gateway.ledger.flush()
        return found

    async def _answer(
        self, gateway: Gateway, id: str, record: Record, output: dict[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        """The answer in the caller's dialect, and whether it came into the books now."""
        request = self._request(record.model, record)
        target = self._target(gateway, record.model)
        assert target is not None
        completion = self._completion(gateway, target, id, output, request)
        fresh = gateway.ledger is None or await gateway.ledger.get(id) is None
        if fresh:
            context, identity = self._described(request)
            book(gateway, request, context, identity, target, id, completion)
        answer: dict[str, Any] = msgspec.json.decode(self._near.encode_answer(completion, request))
        return answer, fresh

    def _completion(
        self, gateway: Gateway, target: Target, id: str, output: dict[str, Any], request: Request
    ) -> Completion:
        """The answer, freed of what making `request` fit for the provider took: that is the same each time."""
        events: Sequence[Event] = self._far.decode_answer(
            msgspec.json.encode(output), {}, model=target.model, id=id, created=gateway.clock.wall()
        )
        undo = fit(request, HOME[self._far.name], target.model, gateway.catalog.resolve(target.model)).undo
        collector = Collector()
        for event in events if undo is None else undo.flow(events):
            collector.feed(event)
        return collector.finish()

    def _target(self, gateway: Gateway, model: str) -> Target | None:
        """Where the records of a model go."""
        return target_of(gateway, model)

    def _request(self, model: str, record: Record) -> Request:
        by_path = self._near.name in ("bedrock", "invoke")
        body = msgspec.json.encode(record.body if by_path else {**record.body, "model": model})
        path = model if by_path else None
        request = self._near.decode_request(body, model=path, stream=False, headers={})
        return msgspec.structs.replace(request, stream=False)


def _number(place: int) -> str:
    """A record's id in a job: eleven digits, which every provider takes."""
    return f"{place:011d}"


def row_id(job: str, record: str) -> str:
    """The id of a record's row: the same whenever its answer is looked at, so that it is booked once."""
    return "req_b" + hashlib.blake2b(f"{job}/{record}".encode(), digest_size=12).hexdigest()


def target_of(gateway: Gateway, model: str) -> Target | None:
    """Where requests for a name go as long as nobody routes them; None: unknown, or routed one by one (`auto`)."""
    asked = gateway.names.resolve(model)
    return None if asked.kind == "auto" else asked.target


def book(
    gateway: Gateway,
    request: Request,
    context: Context,
    identity: Identity,
    target: Target,
    id: str,
    completion: Completion,
) -> None:
    """Writes the row of an answer that came from a job: one reported call at the batch price, no times."""
    exchange = gateway.open(request, context, identity, id=id)
    exchange.target = msgspec.structs.replace(target, service_tier="batch")
    exchange.step(TECHNIQUE)
    call = exchange.begin_call(exchange.target, "serve", TECHNIQUE, request)
    call.tokens = completion.tokens
    if completion.tokens is not None:
        call.provenance = "reported"
    call.output = [completion.text]
    exchange.adopted = call
    exchange.output, exchange.stopped, exchange.delivered = completion.text, completion.reason, True
    exchange.end_call(call, "complete")
    exchange.release()


def providers(
    config: Config,
    apis: Sequence[BatchApiOptions],
    near: Codec | None,
    hold: Hold,
    clock: Clock,
    described: Described,
    kind: type[Deferred] = Deferred,
) -> dict[str, BatchProvider]:
    """The batch APIs that are configured, by name. `near`: the dialect of the records; None: they are the provider's
    own (InvokeModel's, for Bedrock), go as they are, and who asked for them keeps their books.

    Raises:
        ValueError: one cannot be used here, with the fix.
    """
    found: dict[str, BatchProvider] = {}
    for options in apis:
        name = config.backend_of(options.backend)
        backend = config.backends[name]
        if near is None:
            if backend.kind in ("bedrock", "simulated"):
                found[name] = _inner(options, name, backend, "invoke", hold, clock)
            continue
        form = near.name if near.name in ("bedrock", "invoke") and backend.kind in ("bedrock", "simulated") else ""
        far = codec(form or _FAR[backend.kind])
        inner = _inner(options, name, backend, far.name, hold, clock)
        made = kind(inner, near, far, name, hold, described, clock)
        found[made.name] = made
    return found


def _inner(
    options: BatchApiOptions, name: str, backend: BackendOptions, form: str, hold: Hold, clock: Clock
) -> BatchProvider:
    made: BedrockBatch | OpenAIBatch | AnthropicBatch
    if backend.kind == "openai":
        made = OpenAIBatch(_http(name, hold, clock), clock)
    elif backend.kind == "anthropic":
        made = AnthropicBatch(_http(name, hold, clock), clock)
    else:
        control, bucket = (
            _simulated(options, name, hold, clock) if backend.kind == "simulated" else _aws(options, backend)
        )
        kind: Literal["InvokeModel", "Converse"] = "InvokeModel" if form == "invoke" else "Converse"
        role = options.role or "arn:aws:iam::000000000000:role/simulated"
        made = BedrockBatch(control, bucket, clock, role=role, form=kind, prefix=options.prefix)
    if options.least is not None:
        made.least = options.least
    if options.most is not None:
        made.most = options.most
    made.turnaround_s = options.turnaround_s
    return made


def _aws(options: BatchApiOptions, backend: BackendOptions) -> tuple[Control, Any]:
    try:
        import boto3
    except ImportError:
        raise ValueError("Bedrock's batch API needs boto3. Fix: pip install 'hapenny[aws]'") from None
    session = boto3.Session(profile_name=getattr(backend, "profile", None), region_name=backend.region)
    control = session.client("bedrock", endpoint_url=options.endpoint or None)
    s3 = session.client("s3", endpoint_url=options.s3_endpoint or None)
    return cast(Control, control), S3Bucket(s3, options.bucket)


def _simulated(options: BatchApiOptions, name: str, hold: Hold, clock: Clock) -> tuple[Control, Any]:
    from hapenny.backends.simulated import SimulatedBackend
    from hapenny.simulation.batch_answers import answers
    from hapenny.simulation.fleet_jobs import FolderJobs
    from hapenny.simulation.folder_bucket import FolderBucket

    with hold() as gateway:
        backend = gateway.backends[name]
    if not isinstance(backend, SimulatedBackend):
        raise ValueError(f"{name!r} is no simulated provider here. Fix: leave its batch API out")
    bucket = FolderBucket(Path(options.bucket))
    least = options.least if options.least is not None else 100
    return FolderJobs(bucket, clock, answers(backend.provider), least=least), bucket


def _http(name: str, hold: Hold, clock: Clock) -> Http:
    async def exchange(
        method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        with hold() as gateway:
            now = clock.now()
            limits = Limits(now + 60, now + 600)
            raw = await gateway.backends[name].forward(method, path, {"content-type": content_type}, body, limits)
            try:
                pieces = []
                while (piece := await raw.body.read()) is not None:
                    pieces.append(piece)
            finally:
                raw.body.close()
        return raw.status, b"".join(pieces)

    return exchange


def flexible(gateway: Gateway, model: str) -> Target | None:
    """The same model at the flex tier, where it is sold and cheaper; None elsewhere."""
    target = target_of(gateway, model)
    if target is None or target.service_tier != "standard":
        return None
    place, wall = gateway.books.prices.place(target), gateway.clock.wall()
    flex, standard = place.rates("flex", wall), place.rates("standard", wall)
    if flex is None or standard is None or not 0 < (flex.input or 0) < (standard.input or 0):
        return None
    return msgspec.structs.replace(target, service_tier="flex")
