"""What the HTTP backends have in common: one request through a codec, one answer back, under the two limits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from email.utils import formatdate
from functools import partial

from msgspec.structs import replace

from hapenny.backends.contract import Raw, incoming
from hapenny.backends.http1 import Broken
from hapenny.backends.pool import Lease, Pool, long
from hapenny.backends.url import Url
from hapenny.core.answer import Replay, Source
from hapenny.core.clock import Clock, within
from hapenny.core.errors import Failure
from hapenny.core.events import Event
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Request
from hapenny.core.source import Sink
from hapenny.protocols.codec import Codec, StreamDecoder
from hapenny.protocols.fields import load_upstream
from hapenny.protocols.http1 import framing

ERROR_BYTES = 1 << 20
"""How much of an error's body is read."""

_OF_ACCOUNTS = frozenset((400, 401, 402, 403, 429))
"""Statuses with which providers refuse an account."""
_STREAMED = (b"data:", b"event:", b": ")
"""How a stream of server-sent events begins, and no JSON."""
_ON_THE_WIRE = frozenset({"priority", "flex", "reserved"})


async def exchange(
    pool: Pool,
    clock: Clock,
    codec: Codec,
    url: Url,
    headers: Mapping[str, str],
    body: bytes,
    request: Request,
    target: Target,
    limits: Limits,
) -> Source:
    """Sends an encoded request and hands its answer back as a source of events.

    A stream is accepted by `begin_by`; an answer that comes whole has until `finish_by`.
    """
    until = limits.begin_by if request.stream else limits.finish_by
    lease: Lease | None = None
    try:
        with within(until - clock.now()):
            lease = await pool.send("POST", url, headers, body)
            answered = lease.headers
            if 300 <= lease.status < 400:
                raise _moved(lease)
            if lease.status >= 400:
                raise codec.decode_error(lease.status, dated(answered, clock), await lease.beginning(ERROR_BYTES))
            id = answered.get("x-amzn-requestid", "") or clock.new_id("msg_")
            if not request.stream:
                whole = await lease.whole()
                events = codec.verbatim(whole)
                if events is not None:
                    return Replay(events, {codec.name: (whole, {"content-type": "application/json"})})
                if whole.startswith(_STREAMED):  # some servers stream whatever they are asked for
                    decoder = codec.decoder(model=target.model, id=id, created=clock.wall(), headers=answered)
                    return Replay([*decoder.feed(whole), *decoder.close()])
                return Replay(codec.decode_answer(whole, answered, model=target.model, id=id, created=clock.wall()))
        decoder = codec.decoder(model=target.model, id=id, created=clock.wall(), headers=answered)
        return Stream(lease, decoder, limits, clock, pool.idle_s, pool.answer_bytes)
    except TimeoutError:
        _let_go(lease)
        raise Failure("timeout", "the provider did not accept the request in time") from None
    except BaseException:
        _let_go(lease)
        raise


def dated(headers: Mapping[str, str], clock: Clock) -> Mapping[str, str]:
    """Headers of an answer with its time, which dates in them count from: the provider's own, else ours."""
    if "retry-after" not in headers or "date" in headers:
        return headers
    return {**headers, "date": formatdate(clock.wall(), usegmt=True)}


def _moved(lease: Lease) -> Failure:
    """A redirect is no answer: it is neither followed nor handed on, since it may lead anywhere."""
    lease.close()
    return Failure(
        "upstream",
        f"the provider answers with a redirect ({lease.status})",
        fix="base_url: name the address that answers",
        upstream_status=lease.status,
    )


def _let_go(lease: Lease | None) -> None:
    if lease is not None:
        lease.close()


class Stream:
    """A streamed answer: each piece of the network becomes one batch of events.

    One timer for the whole answer watches `finish_by` and the idle limit; it looks at them when it fires and sets
    itself again, so that a read costs no timer of its own.
    """

    __slots__ = (
        "_clock", "_decoder", "_failure", "_idle", "_lease", "_left", "_limits", "_most", "_reading", "_sink", "_timer",
        "_why",
    )  # fmt: skip

    def __init__(
        self,
        lease: Lease,
        decoder: StreamDecoder,
        limits: Limits,
        clock: Clock,
        idle: float = float("inf"),
        most: int = 32_000_000,
    ) -> None:
        self._left = self._most = most
        self._lease: Lease | None = lease
        self._decoder = decoder
        self._limits = limits
        self._clock = clock
        self._idle = idle
        """The backend's own idle limit, in seconds; the call's may be shorter."""
        self._reading: float | None = None
        """Since when a read waits; None while nobody reads: a slow reader is not the provider's fault."""
        self._why = ""
        self._timer: asyncio.TimerHandle | None = None
        self._sink: Sink | None = None
        """Who listens."""
        self._failure: Exception | None = None
        """What broke meanwhile."""

    async def read(self) -> Sequence[Event] | None:
        """The next batch; None at the end.

        Raises:
            Failure: the provider's own error, `truncated`, `upstream` for a lost connection, `timeout`.
        """
        lease = self._lease
        if lease is None:
            return None
        if self._failure is not None:
            raise self._broken(lease, self._failure)
        now = self._reading = self._clock.now()
        if now >= self._limits.finish_by:
            self.close()
            raise Failure("timeout", "the provider's answer: not finished in time")
        if self._timer is None:
            self._watch()
        try:
            while True:
                waiter = lease.connection.arrival()
                if waiter is not None:
                    await waiter
                elif (events := self._decoded(lease)) is None or events:
                    return events
                else:
                    self._reading = self._clock.now()
        except asyncio.CancelledError:  # nothing is lost: what comes meanwhile is there for the next read
            raise
        except BaseException as error:
            raise self._broken(lease, error) from None
        finally:
            self._reading = None

    def listen(self, sink: Sink | None) -> bool:
        """Hands what comes to `sink` (`core.source`), in the present context; False: it has to be read."""
        lease, self._sink = self._lease, None
        if lease is None:
            return False
        connection, connection.reader, self._reading = lease.connection, None, None
        if sink is None or self._failure is not None or connection.ready:
            return False
        self._sink = sink
        connection.reader = partial(copy_context().run, self._came)
        self._reading = self._clock.now()
        if self._timer is None:
            self._watch()
        return True

    def _came(self) -> None:
        """Bytes came, or the answer ended, or broke."""
        lease, sink = self._lease, self._sink
        if lease is None or sink is None:
            return
        connection = lease.connection
        if connection.out:
            self._reading = self._clock.now()
            try:
                events = self._decoded(lease)
            except Exception as error:  # raised to whoever reads on
                self._failure = error
            else:
                if events:
                    sink(events)
                if self._sink is None or connection.state != framing.DONE:
                    return
        self.listen(None)
        sink(None)

    def _decoded(self, lease: Lease) -> Sequence[Event] | None:
        """The events of what has come, possibly none; None at the end."""
        connection = lease.connection
        out = connection.out
        data = out[0] if len(out) == 1 and not connection.paused else b""
        if data and type(data) is bytes:  # as ever
            out.clear()
            connection.held = 0
        else:
            data = connection.arrived()
        if data:
            self._left -= len(data)
            if self._left < 0:
                raise long(self._most)
            return self._decoder.feed(data)
        self._release()
        lease.done()
        return self._decoder.close() or None

    def _broken(self, lease: Lease, error: BaseException) -> BaseException:
        """Ends the answer, because of `error`; what to say of it."""
        if isinstance(error, _Late):
            error = Failure("timeout", f"the provider's answer: {self._why}")
        elif isinstance(error, Broken):
            self._release()
            return lease.lost(error)
        self.close()
        return error

    def close(self) -> None:
        """Ends the answer and its connection at once. Idempotent."""
        lease = self._lease
        self._release()
        if lease is not None:
            lease.close()

    def _release(self) -> None:
        if self._sink is not None:
            self.listen(None)
        self._lease = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self) -> None:
        lease, limits = self._lease, self._limits
        if lease is None:
            return
        patience = min(limits.idle, self._idle)
        if self._reading is None:  # nobody waits: nothing is late
            wait = patience
        else:
            now = self._clock.now()
            finish = limits.finish_by - now
            wait = min(self._reading + patience - now, finish)
            if wait <= 0:
                self._why = "not finished in time" if finish <= 0 else f"no event for {patience:g} s"
                self._timer = None
                lease.fail(_Late())
                return
        self._timer = asyncio.get_running_loop().call_later(max(wait, 0.001), self._watch)


class _Late(Exception):
    """A limit of the stream has passed."""


def tiered(request: Request, target: Target) -> Request:
    """`request` with the target's service tier on the wire, where it differs from what is asked."""
    tier = target.service_tier
    if tier == "optimized" and request.parameters.latency is None:
        return replace(request, parameters=replace(request.parameters, latency="optimized"))
    if tier not in _ON_THE_WIRE or request.parameters.service_tier == tier:
        return request
    return replace(request, parameters=replace(request.parameters, service_tier=tier))


def token_count(answer: bytes, name: str) -> int:
    """The tokens that an answer to a question for a count states under `name`. Raises `Failure`: it states none."""
    value = load_upstream(answer).get(name)
    if type(value) is not int or value < 0:
        raise Failure("upstream", "The provider's answer has no token count.")
    return value


async def passed(
    pool: Pool,
    clock: Clock,
    codec: Codec,
    method: str,
    url: Url,
    headers: Mapping[str, str],
    body: bytes,
    limits: Limits,
) -> Raw:
    """A request passed through as it is; errors of the provider pass through too, but for what it says of our account.

    Raises:
        Failure: `provider_account`, which is the operator's to mend; `timeout`; `upstream` for a redirect.
    """
    lease: Lease | None = None
    try:
        with within(limits.begin_by - clock.now()):
            lease = await pool.send(method, url, headers, body)
            if lease.status in _OF_ACCOUNTS and method != "HEAD":
                said = await lease.beginning(ERROR_BYTES)
                failure = codec.decode_error(lease.status, dated(lease.headers, clock), said)
                if failure.kind == "provider_account":
                    raise failure
                return Raw(lease.status, incoming(lease.headers), _Said(said))
    except TimeoutError:
        _let_go(lease)
        raise Failure("timeout", "the provider did not accept the request in time") from None
    except BaseException:
        _let_go(lease)
        raise
    if 300 <= lease.status < 400 and lease.status != 304:
        raise _moved(lease)
    return Raw(lease.status, incoming(lease.headers), _Pieces(lease, limits, clock))


class _Said:
    """The body of a raw answer that was read already."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> bytes | None:
        """All of it; then None."""
        data, self._data = self._data, b""
        return data or None

    def close(self) -> None:
        """Nothing is left to let go of."""


class _Pieces:
    """The body of a raw answer."""

    __slots__ = ("_clock", "_lease", "_limits")

    def __init__(self, lease: Lease, limits: Limits, clock: Clock) -> None:
        self._lease = lease
        self._limits = limits
        self._clock = clock

    async def read(self) -> bytes | None:
        """The next piece; None at the end."""
        left = min(self._limits.idle, self._limits.finish_by - self._clock.now())
        try:
            with within(left):
                return await self._lease.piece() or None
        except TimeoutError:
            self.close()
            raise Failure("timeout", "the provider's answer stopped") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the answer and its connection at once."""
        self._lease.close()
