"""Requests of one dialect as the records of a provider's batch API, and their answers on the way back into the books.

A record is a request in the caller's dialect. In a job it stands in the provider's, under a number of its own; when the
job has ended its answer is written back in the caller's dialect, with a row in the ledger: the baseline is the price of
the same request on demand, the step to the batch price is the saving of the technique `batch`.

What a record means, and what becomes of its answer, an `Answerer` says: a client's request (`ClientAnswerer`), or one
that is answered ahead (`hapenny.jobs.prefetch`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

import msgspec

from hapenny.admission.keys import Identity
from hapenny.batch.records import BatchProvider, BatchRefused, JobStatus, Record, Result
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, Completion, Event, Tokens
from hapenny.core.exchange import Target
from hapenny.core.messages import Context, Request
from hapenny.gateway.gateway import Gateway
from hapenny.gateway.unstaged_guards import RouteGuards
from hapenny.protocols.codec import Codec
from hapenny.protocols.rules import HOME, fit

Hold: TypeAlias = Callable[[], AbstractContextManager[Gateway]]
"""The gateway of the moment; it is not closed while it is held."""
Described: TypeAlias = Callable[[Identity, Request], Context]
"""The conditions under which somebody's request in a batch is answered."""

TECHNIQUE = "batch"
RESERVED_S = 86_400.0
"""How long after its deadline a record's part of a budget is kept for it."""
TURN = 25
"""Records that are translated in one turn of the loop, so that requests go on meanwhile."""
_NOT_IN_JOBS = ("model", "stream", "stream_options", "service_tier", "serviceTier", "performanceConfig")


class Answerer(Protocol):
    """What records are to a gateway: where they go, what they ask, and where their answers land."""

    def target(self, gateway: Gateway, model: str) -> Target | None:
        """Where the records of a model go; None: nowhere as they are."""
        ...

    def request(self, record: Record) -> Request:
        """What a record asks.

        Raises:
            Failure: it cannot be asked, or not by whom it is from.
        """
        ...

    def context(self, record: Record, request: Request) -> Context:
        """Who asks: whose budget pays."""
        ...

    def guarded(self, gateway: Gateway, record: Record, request: Request) -> Request:
        """What of a record may stand in a job.

        Raises:
            Failure: it may not, but can be sent alone.
        """
        ...

    async def answer(
        self, gateway: Gateway, id: str, record: Record, request: Request, completion: Completion
    ) -> tuple[dict[str, Any], bool]:
        """Takes an answer in whose row is `id`; the record's output, and whether it came into the books now.

        Raises:
            Failure: it cannot be given to whom it is for.
        """
        ...


class BatchTranslator:
    """A `BatchProvider` whose records an `answerer` understands, answered by `inner` in the provider's dialect.

    Args:
        inner: runs the jobs.
        far: the dialect of `inner`'s records.
        backend: the configured backend whose models `inner` serves.
        answerer: says what records are.
        hold: the gateway of the moment.
        clock: the deployment's.
    """

    def __init__(
        self, inner: BatchProvider, far: Codec, backend: str, answerer: Answerer, hold: Hold, clock: Clock
    ) -> None:
        self._inner = inner
        self._far = far
        self._backend = backend
        self._answerer = answerer
        self._hold = hold
        self._clock = clock
        self.name = f"{inner.name}:{backend}"
        self.price, self.least, self.most = inner.price, inner.least, inner.most
        self.turnaround_s = inner.turnaround_s

    def serves(self, model: str) -> bool:
        """Whether the name means a model of this backend, and batch is cheaper for it as far as the catalog knows."""
        with self._hold() as gateway:
            target = self._answerer.target(gateway, model)
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
        """Starts a job. What cannot be written in the provider's dialect stays out and fails by itself.

        Raises:
            BatchRefused: too few records are left, or the provider refuses.
        """
        with self._hold() as gateway:
            target = self._answerer.target(gateway, model)
            card = gateway.catalog.resolve(target.model) if target is not None else None
        if target is None:
            raise BatchRefused(f"the model {model!r} is not known any more")
        written, reserved = [], []
        for number, record in enumerate(records):
            if number % TURN == 0:
                await self._clock.sleep(0)
            with contextlib.suppress(Failure):  # refused with its reason when it is sent alone, before it is paid
                asked = await self._paid_by(record, target)
                reserved.append(reservation_id(record))
                request = fit(asked, HOME[self._far.name], target.model, card).request
                wire = self._far.encode_request(request, model=target.model)
                body = msgspec.json.decode(wire.body, type=dict[str, Any])
                for name in _NOT_IN_JOBS:
                    body.pop(name, None)
                written.append(Record(_number(number), body))
        try:
            return await self._inner.create(token, target.model, written)
        except BaseException:
            with self._hold() as gateway:
                for id in reserved:
                    gateway.gate.release(id)
            raise

    async def _paid_by(self, record: Record, target: Target) -> Request:
        """What a record asks, with its tenant's mark where tenants are kept apart; its budget has set the price aside.

        Raises:
            Failure: it cannot be asked, its key has ended, or no budget pays for it.
        """
        request = self._answerer.request(record)
        with self._hold() as gateway:
            gateway.keyring.still(record.who)
            request = self._answerer.guarded(gateway, record, request)
            context = self._answerer.context(record, request)
            isolation = gateway.parts.isolation
            if isolation is not None:
                request = isolation.marked(request, context.tenant)
            there = msgspec.structs.replace(target, service_tier="batch")
            if gateway.books.prices.price(there, Tokens(input=1), self._clock.wall()) is None:
                there = target
            until = max(record.deadline, self._clock.wall()) + RESERVED_S
            await gateway.gate.reserve_job(reservation_id(record), context, there, request, until)
        return request

    async def status(self, job: str) -> JobStatus:
        """Where the job stands."""
        return await self._inner.status(job)

    async def stop(self, job: str) -> None:
        """Stops the job."""
        await self._inner.stop(job)

    async def results(self, job: str, records: Sequence[Record]) -> list[Result]:
        """Results so far; each answer is in the books when this returns, and only once if it is asked twice."""
        raw = {result.id: result for result in await self._inner.results(job, ())}
        results, booked = [], False
        with self._hold() as gateway:
            for place, record in enumerate(records):
                if place % TURN == 0:
                    await self._clock.sleep(0)
                number = _number(place)
                result = raw.get(number)
                if result is None or result.output is None:
                    gateway.gate.release(reservation_id(record))
                    # Sent one by one the request is shaped for its model: another try may help.
                    results.append(Result(record.id, error=result.error if result is not None else "no answer came"))
                    continue
                try:
                    output, fresh = await self._answered(gateway, row_id(job, number), record, result.output)
                except Failure as failure:
                    gateway.gate.release(reservation_id(record))
                    results.append(Result(record.id, error=failure.message))
                    continue
                booked = booked or fresh
                results.append(Result(record.id, output=output))
            if booked and gateway.ledger is not None:
                await gateway.ledger.flush()
        return results

    async def _answered(
        self, gateway: Gateway, id: str, record: Record, output: dict[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        request = self._answerer.request(record)
        target = self._answerer.target(gateway, record.model)
        if target is None:
            raise Failure("not_found", f"the model {record.model!r} is not known any more", field="model")
        completion = self._completion(gateway, target, id, output, request)
        return await self._answerer.answer(gateway, id, record, request, completion)

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


class ClientAnswerer:
    """Records are requests of clients, written as their endpoint would have taken them; so are their outputs.

    Args:
        near: the dialect.
        described: the conditions of a record's request.
    """

    def __init__(self, near: Codec, described: Described) -> None:
        self._near = near
        self._described = described
        self._by_path = near.name in ("bedrock", "invoke")

    def target(self, gateway: Gateway, model: str) -> Target | None:
        """What the name means, where nobody routes it."""
        return target_of(gateway, model)

    def request(self, record: Record) -> Request:
        """The request of a record, whole.

        Raises:
            Failure: it is none, or its model may not be asked for.
        """
        body = msgspec.json.encode(record.body if self._by_path else {**record.body, "model": record.model})
        path = record.model if self._by_path else None
        request = self._near.decode_request(body, model=path, stream=False, headers={})
        if not record.who.may_ask(request.model):
            raise Failure("permission", f"this key may not ask for the model {request.model[:200]!r}", field="model")
        return msgspec.structs.replace(request, stream=False)

    def context(self, record: Record, request: Request) -> Context:
        """The conditions of a record's request."""
        return self._described(record.who, request)

    def guarded(self, gateway: Gateway, record: Record, request: Request) -> Request:
        """The request after the guardrail of its route.

        Raises:
            Failure: a rule blocks it, or a provider's guardrail has to judge it: both can be answered alone.
        """
        return self._guards(gateway, record, request).line(request)

    def _guards(self, gateway: Gateway, record: Record, request: Request) -> RouteGuards:
        context = self.context(record, request)
        return gateway.parts.route_guards[gateway.parts.resolver.route(request, context, record.who)]

    async def answer(
        self, gateway: Gateway, id: str, record: Record, request: Request, completion: Completion
    ) -> tuple[dict[str, Any], bool]:
        """Books an answer, once, and writes it in the dialect as it may go out."""
        out = self._guards(gateway, record, request).answer(completion)
        fresh = gateway.ledger is None or await gateway.ledger.get(id) is None
        if fresh:
            target = target_of(gateway, record.model)
            assert target is not None
            who, reserved = record.who, reservation_id(record)
            book(gateway, request, self.context(record, request), who, target, id, completion, reserved, out)
        return self.written(request, out), fresh

    def written(self, request: Request, completion: Completion) -> dict[str, Any]:
        """An answer in the dialect."""
        output: dict[str, Any] = msgspec.json.decode(self._near.encode_answer(completion, request))
        return output


def _number(place: int) -> str:
    """A record's id in a job: eleven digits, which every provider takes."""
    return f"{place:011d}"


def row_id(job: str, record: str) -> str:
    """The id of a record's row: the same whenever its answer is looked at, so that it is booked once."""
    return "req_b" + hashlib.blake2b(f"{job}/{record}".encode(), digest_size=12).hexdigest()


def reservation_id(record: Record) -> str:
    """The name under which budgets set aside what a record in a job may cost: the same after a restart."""
    words = (record.who.key_id, record.who.tenant, record.id, record.model, record.deadline, record.body)
    return "job_" + hashlib.blake2b(msgspec.json.encode(words, order="deterministic"), digest_size=16).hexdigest()


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
    reserved: str = "",
    out: Completion | None = None,
) -> None:
    """Writes the row of an answer that came from a job: one reported call at the batch price, no times. `out`: the
    answer as it goes out, where that is another."""
    exchange = gateway.open(request, context, identity, id=id)
    exchange.target = msgspec.structs.replace(target, service_tier="batch")
    exchange.step(TECHNIQUE)
    call = exchange.begin_call(exchange.target, "serve", TECHNIQUE, request)
    call.tokens = completion.tokens
    if completion.tokens is not None:
        call.provenance = "reported"
    call.output = [completion.text]
    if reserved:
        gateway.gate.attach_job(reserved, exchange, call)
    exchange.adopted = call
    out = completion if out is None else out
    exchange.output, exchange.stopped, exchange.delivered = out.text, out.reason, True
    exchange.end_call(call, "complete")
    exchange.release()
