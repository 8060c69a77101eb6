"""A request that was let in: it waits for its body, is answered by its endpoint, and fails in its own dialect."""

from __future__ import annotations

import asyncio

from hapenny.admission.keys import Identity, Keyring
from hapenny.caching.edge import PRIVATE
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.gateway.gateway import Gateway
from hapenny.server.auth import recognise, verified
from hapenny.server.call import Call
from hapenny.server.dialects import ID_HEADER, Dialect, codec_of
from hapenny.server.perimeter import Perimeter
from hapenny.server.replies import failed
from hapenny.server.routes import Match, NotAllowed
from hapenny.server.services import Services
from hapenny.server.transport.messages import Request, Response

_log = get_logger("hapenny.server")


class Admitted:
    """`Work` of the server.

    Args:
        services: of the deployment.
        perimeter: what browsers are told.
        request: its head.
        match: where it goes.
        identity: who asks; None: the signature is checked with the body.
        keyring: that said so.
        most: the largest body, in bytes.
    """

    __slots__ = ("_gateway", "_identity", "_keyring", "_match", "_perimeter", "_request", "_services", "most")

    def __init__(
        self,
        services: Services,
        perimeter: Perimeter,
        request: Request,
        match: Match,
        identity: Identity | None,
        keyring: Keyring,
        most: int,
    ) -> None:
        self.most = most
        self._keyring = keyring
        self._services = services
        self._perimeter = perimeter
        self._request = request
        self._match = match
        self._identity = identity
        self._gateway: Gateway | None = None

    async def answer(self, body: bytes) -> Response:
        """Answers. Whatever happens, the client gets it in its dialect."""
        request, match = self._request, self._match
        gateway = self._gateway = self._services.enter()
        try:
            identity, keyring = self._identity, gateway.keyring
            if keyring is not self._keyring and match.route.who != "anyone":  # a reload while the body came
                identity = recognise(keyring, request)
            if identity is None:
                identity = verified(keyring, request, body, gateway.clock.wall())
                if match.route.who not in identity.opens:
                    raise unfit(match.route.who)
            if gateway.parts.user_tokens is not None and match.route.who == "caller":
                identity = gateway.parts.user_tokens.applied(identity, request.headers)
            call = Call(
                gateway, request, body, identity, match.dialect, match.path, match.params, self._services,
                self._insider,
            )  # fmt: skip
            response = await match.route.endpoint(call)
        except Failure as failure:
            return self.refuse(failure)
        except (ConnectionError, asyncio.CancelledError):  # the client has gone
            raise
        except Exception as error:
            response = self.refuse(Failure("internal", "the gateway failed on this request"))
            _log.error("unexpected", error=type(error).__name__, where=_where(error))
            return response
        return self._dressed(response)

    def refuse(self, failure: Failure) -> Response:
        """The failure in the client's dialect."""
        gateway = self._gateway or self._services.gateway
        id, wall = gateway.clock.new_id("req_"), gateway.clock.wall()
        return self._dressed(refusal(self._match.dialect, failure, id, wall))

    def done(self) -> None:
        """A reload may close the gateway from here on."""
        if self._gateway is not None:
            self._services.leave(self._gateway)

    def _insider(self) -> bool:
        """Whether whoever asks may know how the gateway is doing: a key with that scope is enough where none is due."""
        keyring = self._keyring
        if keyring.open or self._perimeter.metrics(self._request.peer):
            return True
        if self._match.route.who != "anyone":
            return self._identity is not None and "metrics" in self._identity.opens
        try:
            identity = recognise(keyring, self._request)
        except Failure:
            return False
        return identity is not None and "metrics" in identity.opens

    def _dressed(self, response: Response) -> Response:
        headers = response.headers
        gateway = self._gateway
        if gateway is not None and gateway.only_simulated:
            headers["x-hapenny-simulated"] = "true"
        if "cache-control" not in headers and "Cache-Control" not in headers:
            headers |= PRIVATE
        own = ID_HEADER[self._match.dialect]
        if own not in headers and "x-request-id" in headers:
            headers[own] = headers["x-request-id"]
        self._perimeter.shared(self._request, response)
        return response


def refusal(dialect: Dialect, failure: Failure, request_id: str, wall: float = 0.0) -> Response:
    """A failure as the dialect's clients read it."""
    response = failed(codec_of(dialect), failure, request_id, wall)
    if isinstance(failure, NotAllowed):
        response.status = 405
        response.headers["allow"] = ", ".join(failure.allow)
    return response


def unfit(who: str) -> Failure:
    """The failure for a key that does not open what was asked for."""
    scope = "call" if who == "caller" else who
    return Failure("permission", f"this key has no scope {scope!r}", fix="use a key with that scope")


def _where(error: BaseException) -> str:
    """File and line where an error was raised: enough to find it, and no text of anybody's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
