"""The near bank over HTTP: paths to handlers, lifecycle, draining."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from hapenny.caching.edge import PRIVATE
from hapenny.config import ConfigError, ServerOptions
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.core.messages import Protocol
from hapenny.gateway.gateway import Gateway
from hapenny.jobs.prefetch import PrefetchJobs, wanted_jobs
from hapenny.protocols.invoke import is_native_anthropic
from hapenny.protocols.registry import codec
from hapenny.server.endpoints import cache as caches
from hapenny.server.endpoints import feedback as judging
from hapenny.server.endpoints import models as info
from hapenny.server.endpoints import retrieve as retrieving
from hapenny.server.endpoints.batches import Batches
from hapenny.server.endpoints.chat import Door, answer, fail
from hapenny.server.endpoints.count_tokens import count_tokens
from hapenny.server.endpoints.passthrough import forward
from hapenny.server.transport import messages as web
from hapenny.server.transport.connection import Server

_log = get_logger("hapenny.server")

_CHAT = Door(codec("openai"))
_MESSAGES = Door(codec("anthropic"))
_DOORS: dict[str, Door] = {
    "/v1/chat/completions": _CHAT,
    "/openai/v1/chat/completions": _CHAT,
    "/chat/completions": _CHAT,
    "/v1/messages": _MESSAGES,
    "/anthropic/v1/messages": _MESSAGES,
}
_COUNT = ("/v1/messages/count_tokens", "/anthropic/v1/messages/count_tokens")
_MODEL = re.compile(r"/model/([^/?]+)/(converse|converse-stream|invoke|invoke-with-response-stream|count-tokens)$")
_OPERATIONS: dict[str, tuple[Protocol, bool]] = {
    "converse": ("bedrock", False),
    "converse-stream": ("bedrock", True),
    "invoke": ("invoke", False),
    "invoke-with-response-stream": ("invoke", True),
}
_BEDROCK_DOORS = {
    operation: Door(codec(protocol), stream=stream) for operation, (protocol, stream) in _OPERATIONS.items()
}


class App:
    """Serves a gateway. The gateway can be swapped under load (SIGHUP): requests under way end on the old one.

    Args:
        gateway: what answers.
        pages: further GET pages, path -> what to show as JSON.
        faulty: obey requests for faults of the wire, as a simulated provider does.
        more: asked first about every request; None from it: not its own.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        pages: Mapping[str, Callable[[], Any]] | None = None,
        faulty: bool = False,
        more: Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse | None]] | None = None,
    ) -> None:
        self.gateway = gateway
        self._pages = dict(pages or {})
        self._faulty = faulty
        self._more = more
        self.draining = False
        self._active: dict[Gateway, int] = {}
        self._idle = asyncio.Event()
        self._server: Server | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.batches: Batches | None = None
        self.prefetch_jobs: PrefetchJobs | None = None

    # -- lifecycle -----------------------------------------------------------------------------------------------

    async def start(self, host: str | None = None, port: int | None = None) -> int:
        """Listens; returns the port (0 asks for a free one). Raises `ConfigError` if the batch journal is taken."""
        self.batches = self._batches(self.gateway)
        if self.batches is not None:
            self.batches.start()
        await self._prefetch(self.gateway)
        options = self.gateway.config.server
        limit = int(options.max_body_mb * 1_000_000)
        self._server = Server(self.handle, self.gateway.clock, limit, options.stalled_write_s)
        where = host if host is not None else options.host
        where_port = options.port if port is None else port
        return await self._server.start(where, where_port, _tls(options))

    async def stop(self) -> None:
        """Refuses new connections, lets requests under way finish within `drain_s`, then ends."""
        self.draining = True
        if self.batches is not None:
            await self.batches.aclose()
        if self.prefetch_jobs is not None:
            await self.prefetch_jobs.aclose()
        server = self._server
        if server is not None:
            server.refuse()
            try:
                await asyncio.wait_for(self._drained(self.gateway), self.gateway.config.server.drain_s)
            except TimeoutError:
                _log.warning("draining ended with requests under way", active=sum(self._active.values()))
            await server.close()
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
        await self.gateway.aclose()

    async def swap(self, gateway: Gateway) -> None:
        """New requests go to `gateway` from now on; the old one closes when its last request has ended.

        Raises:
            ConfigError: its batch journal is taken; then nothing changes.
        """
        await self._rebatch(gateway)
        await gateway.start()
        await self._prefetch(gateway)
        old, self.gateway = self.gateway, gateway
        old.stop_prefetch()

        async def close() -> None:
            try:
                await asyncio.wait_for(self._drained(old), old.config.server.drain_s)
            except TimeoutError:
                _log.warning("reload left requests behind", active=self._active.get(old, 0))
            await old.aclose(successor=gateway)

        task = asyncio.get_running_loop().create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _batches(self, gateway: Gateway) -> Batches | None:
        options = gateway.config.batch
        return Batches(options, gateway.clock, self._hold) if options is not None else None

    async def _rebatch(self, gateway: Gateway) -> None:
        """Batch jobs go on over a reload, unless their options changed."""
        old, wanted = self.batches, gateway.config.batch
        if (old.options if old is not None else None) == wanted:
            return
        moved = old is None or wanted is None or wanted.journal != old.options.journal
        if old is not None and not moved:  # the folder has to be let go of first
            await old.aclose()
        self.batches = self._batches(gateway)
        if self.batches is not None:
            self.batches.start()
        if old is not None and moved:
            await old.aclose()

    async def _prefetch(self, gateway: Gateway) -> None:
        """Begins answering ahead with the batch APIs there are. Jobs under way go on over a reload, and a restart."""
        wanted, jobs = wanted_jobs(gateway.config), self.prefetch_jobs
        if jobs is not None and jobs.options != wanted:
            await jobs.aclose()
            jobs = self.prefetch_jobs = None
        if jobs is None and wanted is not None:
            try:
                jobs = self.prefetch_jobs = PrefetchJobs(wanted, gateway.config, gateway.clock, self._hold)
            except (RuntimeError, OSError, ValueError) as error:
                problem = f"$.batch: {error}. Fix: another journal, or leave batch out of precompute.ways"
                raise ConfigError([problem]) from None
            jobs.start()
        gateway.start_prefetch(jobs)

    @contextlib.contextmanager
    def _hold(self) -> Iterator[Gateway]:
        """The gateway of the moment, which a reload does not close meanwhile."""
        gateway = self.gateway
        self._active[gateway] = self._active.get(gateway, 0) + 1
        try:
            yield gateway
        finally:
            self._leave(gateway)

    def _leave(self, gateway: Gateway) -> None:
        active = self._active
        active[gateway] -= 1
        if not active[gateway]:
            del active[gateway]
            self._idle.set()

    async def _drained(self, gateway: Gateway) -> None:
        while self._active.get(gateway):
            self._idle.clear()
            await self._idle.wait()

    # -- requests ------------------------------------------------------------------------------------------------

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One HTTP request. Whatever happens, the client gets an answer in its protocol."""
        gateway = self.gateway
        active = self._active
        active[gateway] = active.get(gateway, 0) + 1
        try:
            response = await self._route(gateway, request)
        finally:
            self._leave(gateway)
        headers = response.headers
        if not response.prepared and "Cache-Control" not in headers and "cache-control" not in headers:
            response.headers = {**headers, **PRIVATE}
        return response

    async def _route(self, gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        door, model = _DOORS.get(path), None
        try:
            if self._more is not None and (other := await self._more(request, path)) is not None:
                return other
            if door is None and path.startswith("/model/"):
                found = _MODEL.fullmatch(path)
                if found is not None:
                    model = unquote(found[1])
                    if found[2] == "count-tokens":
                        return await count_tokens(gateway, request, _BEDROCK_DOORS["converse"].codec, model)
                    door = _BEDROCK_DOORS[found[2]]
                    if found[2].startswith("invoke") and not is_native_anthropic(await request.read(), model):
                        return await forward(gateway, request, path, model)
            if door is not None:
                if request.method != "POST":
                    raise Failure("invalid_request", f"{request.method} is not answered here", fix="send POST")
                return await answer(gateway, request, door, model, faulty=self._faulty)
            if path == "/v1/retrieve" and request.method == "POST":
                return await retrieving.answer(gateway, request)
            if path == "/v1/feedback" and request.method == "POST":
                return await judging.feedback(gateway, request)
            if path == "/v1/select" and request.method == "POST":
                return await judging.select(gateway, request)
            if path == "/v1/certificates" and request.method == "GET":
                return await judging.certificates(gateway, request)
            if self.batches is not None and path.startswith(("/v1/files", "/v1/batches")):
                return await self.batches.page(gateway, request, path)
            if path in _COUNT:
                return await count_tokens(gateway, request, _MESSAGES.codec, None)
            if path.startswith(("/v1/cache/", "/v1/answers/")):
                cached = await caches.page(gateway, request, path)
                if cached is not None:
                    return cached
            if request.method == "GET":
                if path in self._pages:
                    return info.shown(self._pages[path]())
                page = await info.page(gateway, request, path, draining=self.draining)
                if page is not None:
                    return page
            return await forward(gateway, request, path)
        except Failure as failure:
            return fail(door or _guess(path), failure, gateway.clock.new_id("req_"))
        except web.HTTPRequestEntityTooLarge:
            limit = gateway.config.server.max_body_mb
            large = Failure("too_large", f"the body is larger than {limit:g} MB", fix="send less, or raise max_body_mb")
            return fail(door or _guess(path), large, gateway.clock.new_id("req_"))
        except ConnectionError:  # the client has gone: there is nobody to tell, and nothing to log
            return web.Response(status=499)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            _log.error("unexpected", error=type(error).__name__, where=_where(error))
            broken = Failure("internal", "the gateway failed on this request")
            return fail(door or _guess(path), broken, gateway.clock.new_id("req_"))


def _tls(options: ServerOptions) -> ssl.SSLContext | None:
    """TLS where a certificate is configured: boto3 from 1.44 on sends a bearer key over HTTPS only."""
    if options.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.tls_certificate, options.tls_key)
    return context


def _guess(path: str) -> Door:
    """The dialect in which to refuse an unknown path."""
    if path.startswith(("/model/", "/guardrail")):
        return _BEDROCK_DOORS["converse"]
    return _MESSAGES if "/messages" in path else _CHAT


def _where(error: BaseException) -> str:
    """File and line where an error was raised: enough to find it, and no text of anybody's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
