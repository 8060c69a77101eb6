"""The gateway over HTTP: a table of routes in front of services, from start to drain.

A request is judged by its head: its target, the name it was sent to, its path and its key. Only then its body is read.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl

from hapenny.admission.keys import OPEN, Identity
from hapenny.config import ConfigError, ServerOptions
from hapenny.core import log
from hapenny.core.errors import Failure
from hapenny.gateway.gateway import Gateway
from hapenny.server.admitted import Admitted, refusal, unfit
from hapenny.server.auth import recognise
from hapenny.server.dialects import guess
from hapenny.server.endpoints.chat_ws import adopt_key
from hapenny.server.perimeter import Perimeter, beyond_loopback
from hapenny.server.routes import TABLE, Match, Table
from hapenny.server.services import Services
from hapenny.server.transport.limits import Limits, connections
from hapenny.server.transport.listener import Server
from hapenny.server.transport.messages import Request, Response

_log = log.get_logger("hapenny.server")
_KEYED = ("caller", "admin")
"""Whose endpoints are never open to an address."""


class App:
    """Serves a gateway. The gateway can be swapped under load (SIGHUP): requests under way end on the old one.

    Args:
        gateway: what answers.
        table: which path is answered by what.
    """

    def __init__(self, gateway: Gateway, table: Table = TABLE) -> None:
        self.services = Services(gateway)
        self._table = table
        self.host = ""
        """The address it listens on."""
        self._server: Server | None = None
        self._perimeter = _perimeter(gateway)
        self._most = int(gateway.config.server.max_body_mb * 1_000_000)

    @property
    def gateway(self) -> Gateway:
        """What answers new requests."""
        return self.services.gateway

    # -- lifecycle -----------------------------------------------------------------------------------------------

    async def start(self, host: str | None = None, port: int | None = None, *, together: bool = False) -> int:
        """Listens; returns the port (0 asks for a free one). `together`: with the other workers of this host.

        Raises:
            ConfigError: the batch journal is taken, or the port.
        """
        await self.services.start()
        options = self.gateway.config.server
        self._server = Server(self, self.gateway.clock, _limits(options))
        where = host if host is not None else options.host
        if self.gateway.keyring.open and self.gateway.config.auth != "open" and beyond_loopback(where):
            _log.warning(
                "no keys are configured: listening on this machine alone",
                host=where,
                fix="configure keys, or say `auth: open` if everybody who reaches the port may use it",
            )
            where = "127.0.0.1"
        self.host = where
        where_port = options.port if port is None else port
        try:
            bound = await self._server.start(where, where_port, _tls(options), together=together)
        except OSError as error:
            why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            taken = error.errno == errno.EADDRINUSE
            at = "$.server.port: in use: " if taken else "$.server.host: "
            problem = f"{at}{where}:{where_port} cannot be listened on: {why}"
            raise ConfigError([f"{problem}. Fix: another port or host, or end what has it"]) from None
        return bound

    async def stop(self) -> None:
        """Refuses new connections, lets requests under way finish within `drain_s`, then ends the rest: their clients
        are told."""
        services, server = self.services, self._server
        await services.halt()
        if server is not None:
            server.refuse()
            if not await services.drained(self.gateway, self.gateway.config.server.drain_s):
                _log.warning("draining ended with requests under way", active=services.active)
            await server.close(Failure("unavailable", "the gateway is shutting down", retry_after=1.0))
        await services.aclose()

    async def swap(self, gateway: Gateway) -> None:
        """New requests go to `gateway` from now on; the old one closes when its last request has ended.

        Raises:
            ConfigError: its batch journal is taken; then nothing changes.
        """
        await self.services.swap(gateway)
        self._perimeter = _perimeter(gateway)
        self._most = int(gateway.config.server.max_body_mb * 1_000_000)

    # -- requests ------------------------------------------------------------------------------------------------

    def accept(self, request: Request) -> Admitted | Response:
        """Judges a request by its head; see `Service`."""
        perimeter, gateway = self._perimeter, self.services.gateway
        if gateway.parts.burn is not None:
            request.received = gateway.clock.now()
        match: Match | None = None
        try:
            perimeter.check(request)
            if request.method == "OPTIONS":
                return self._options(request)
            match = self._table.match(request)
            who = match.route.who
            identity: Identity | None = OPEN
            if "sec-websocket-protocol" in request.headers:
                adopt_key(request)
            if who in _KEYED or (who == "metrics" and not perimeter.metrics(request.peer)):
                identity = recognise(gateway.keyring, request)
                if identity is not None and who not in identity.opens:
                    raise unfit(who)
        except Failure as failure:
            dialect = match.dialect if match is not None else guess(request)
            response = refusal(dialect, failure, gateway.clock.new_id("req_"))
            if gateway.only_simulated:
                response.headers["x-hapenny-simulated"] = "true"
            perimeter.shared(request, response)
            return response
        most, own = self._most, match.route.most
        most = most if own is None or own > most else own
        return Admitted(self.services, perimeter, request, match, identity, gateway.keyring, most)

    def _options(self, request: Request) -> Response:
        """What is allowed, asked by a browser (a preflight) or by anybody else."""
        if "access-control-request-method" in request.headers:
            return self._perimeter.preflight(request)
        return Response(status=204, headers={"allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})


def _perimeter(gateway: Gateway) -> Perimeter:
    options = gateway.config.server
    return Perimeter(gateway.keyring.open, options.hosts, options.cors_origins, options.metrics_from)


def _limits(options: ServerOptions) -> Limits:
    most = options.connections or connections()
    return Limits(
        body_bytes=int(options.max_body_mb * 1_000_000),
        head_s=options.head_s,
        body_s=options.body_s,
        stalled_s=options.stalled_write_s,
        silence_s=options.keep_alive_s,
        connections=most,
        per_address=min(most, options.connections_per_address or most),
        buffered_bytes=int(options.buffered_mb * 1_000_000),
        http2=options.http2,
        streams=options.streams_per_connection,
    )


def _tls(options: ServerOptions) -> ssl.SSLContext | None:
    """TLS where a certificate is configured: boto3 from 1.44 on sends a bearer key over HTTPS only."""
    if options.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.tls_certificate, options.tls_key)
    context.set_alpn_protocols(["h2", "http/1.1"] if options.http2 else ["http/1.1"])
    return context
