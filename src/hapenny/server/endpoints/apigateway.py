"""The adapter of an API Gateway WebSocket API: its routes come in by HTTP, pieces go out by its connections API.

`POST /v1/apigateway` takes the event of `$connect`, `$default` and `$disconnect`, as a Lambda function gets it or as a
mapping template makes it (docs/chat.md). It is answered at once; the turn goes on, and its messages are posted to
`@connections`. A connection that is gone (410) ends its turn.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from msgspec import Struct, field, json

from hapenny.backends.connections_api import ConnectionsApi, Gone
from hapenny.config import ApiGatewayOptions
from hapenny.core.errors import Failure, invalid
from hapenny.core.log import get_logger
from hapenny.server.call import Call
from hapenny.server.conversation import Conversation
from hapenny.server.replies import as_json, read
from hapenny.server.services import Services
from hapenny.server.transport.messages import Request, Response

MOST = 10_000
"""Conversations that are kept; the one that was silent longest makes room."""
IDLE_S = 600.0
"""After how long API Gateway itself closes a silent connection."""
FRAME_BYTES = 32_000
"""What is posted at once: API Gateway's frames hold 32 KB, its messages 128 KB."""
MESSAGE_BYTES = 128 * 1024
_log = get_logger("hapenny.server")
GATHER_S = 0.1
"""For how long pieces of text are gathered: every message of API Gateway is paid for."""


class _Context(Struct):
    connectionId: str
    routeKey: str = "$default"


class _Event(Struct):
    requestContext: _Context
    body: str | None = None
    isBase64Encoded: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Adapter:
    """The open connections of one configured WebSocket API.

    Args:
        api: its connections.
        services: of the deployment.
        options: as configured.
    """

    def __init__(self, api: ConnectionsApi, services: Services, options: ApiGatewayOptions) -> None:
        self.options = options
        self._api = api
        self._services = services
        self._open: OrderedDict[tuple[str, str], _Line] = OrderedDict()

    async def take(self, call: Call) -> Response:
        """One event. Raises `Failure`."""
        event = read(call.body, _Event)
        id, route = event.requestContext.connectionId, event.requestContext.routeKey
        if not 0 < len(id) <= 128 or not id.isprintable():
            raise invalid("no connection", "requestContext.connectionId", "send the id that API Gateway gives")
        key = (call.identity.key_id, id)
        if route == "$disconnect":
            line = self._open.pop(key, None)
            if line is not None:
                await line.conversation.cancel()
            return as_json({"status": "disconnected"})
        line = self._line(key, call.request)
        if route == "$connect":
            return as_json({"status": "connected", "session": line.conversation.session})
        if event.isBase64Encoded or event.body is None:
            raise invalid("no text", "body", "messages are text")
        if len(event.body.encode()) > MESSAGE_BYTES:
            raise Failure("too_large", "the message is longer than API Gateway takes (128 KB)", field="body")
        try:
            await line.conversation.take(event.body)
        except ConnectionError:
            return as_json({"status": "gone"})
        return as_json({"status": "taken"})

    async def aclose(self) -> None:
        """Ends all turns and the posts' connections."""
        lines = list(self._open.values())
        self._open.clear()
        for line in lines:
            await line.conversation.cancel()
        await self._api.aclose()

    def _line(self, key: tuple[str, str], request: Request) -> _Line:
        """The conversation of a connection; begun anew where another process had it."""
        now = self._services.gateway.clock.now()
        line = self._open.get(key)
        if line is None or now - line.spoke > IDLE_S:
            line = self._open[key] = _Line(self, self._services, key, request)
        self._open.move_to_end(key)
        line.spoke = now
        while len(self._open) > MOST:
            _, oldest = self._open.popitem(last=False)
            oldest.conversation.abandon()
        return line

    def forget(self, key: tuple[str, str]) -> None:
        """The connection is gone."""
        self._open.pop(key, None)

    async def post(self, id: str, message: dict[str, Any]) -> None:
        """Posts a message, in pieces that fit. Raises `ConnectionError` when the connection is gone."""
        for piece in pieces(message):
            await self._api.post(id, piece)


class _Line:
    """One connection and its conversation."""

    def __init__(self, adapter: Adapter, services: Services, key: tuple[str, str], request: Request) -> None:
        self.spoke = 0.0
        self._adapter = adapter
        self._key = key
        self._gathered: dict[str, Any] | None = None
        self._since = 0.0
        self._clock = services.gateway.clock
        self.conversation = Conversation(services, request, f"apigw_{key[1]}", self._say)

    async def _say(self, message: dict[str, Any]) -> None:
        """Posts, pieces of text gathered for a moment. Raises `ConnectionError`."""
        now = self._clock.now()
        if message["type"] == "delta":
            held = self._gathered
            if held is not None:
                held["text"] += message["text"]
            else:
                self._gathered, self._since = dict(message), now
            if now - self._since < GATHER_S:
                return
            message = self._gathered or message
            self._gathered = None
        try:
            if self._gathered is not None:
                held, self._gathered = self._gathered, None
                await self._adapter.post(self._key[1], held)
            await self._adapter.post(self._key[1], message)
        except Gone:
            self._adapter.forget(self._key)
            raise ConnectionResetError("the connection is gone") from None
        except Failure as failure:
            _log.error("a message could not be posted", error=failure)
            raise ConnectionResetError("the connection cannot be posted to") from None


def pieces(message: dict[str, Any]) -> list[bytes]:
    """A message as JSON that fits a frame: a longer text becomes several messages, whole characters each.

    Raises:
        ConnectionError: what is no text is longer than API Gateway takes.
    """
    data = json.encode(message)
    if len(data) <= FRAME_BYTES:
        return [data]
    if message.get("type") != "delta":
        if len(data) > MESSAGE_BYTES:
            raise ConnectionResetError("a message is longer than API Gateway takes")
        return [data]
    half = len(message["text"]) // 2
    return [
        piece
        for part in (message["text"][:half], message["text"][half:])
        for piece in pieces({**message, "text": part})
    ]


async def event(call: Call) -> Response:
    """`POST /v1/apigateway`. Raises `Failure`, `not_found` where no WebSocket API is configured."""
    options = call.gateway.config.server.apigateway
    if options is None:
        raise Failure("not_found", "no WebSocket API is configured", fix="server.apigateway.url names it")
    services = call.services
    adapter = services.adapter
    if not isinstance(adapter, Adapter) or adapter.options != options:
        if adapter is not None:
            await adapter.aclose()
        api = ConnectionsApi.of(options.url, options.region, options.profile, call.gateway.clock)
        adapter = services.adapter = Adapter(api, services, options)
    return await adapter.take(call)
