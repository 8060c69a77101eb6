"""`GET /v1/chat/ws`: a conversation of many turns over a WebSocket. docs/chat.md has the messages."""

from __future__ import annotations

import base64
import binascii

import msgspec

from hapenny.core.errors import Failure
from hapenny.server.call import Call
from hapenny.server.conversation import Conversation
from hapenny.server.transport.messages import Request, Response, Socket

PROTOCOL = "hapenny.chat"
"""The subprotocol that is spoken."""
_KEY = "hapenny.key."
"""How the subprotocol begins in which a browser sends its key: base64url, without padding."""


def adopt_key(request: Request) -> None:
    """Takes a key out of the subprotocols of a handshake: web pages cannot set headers of one."""
    headers = request.headers
    if "authorization" in headers or "x-api-key" in headers:
        return
    for name in headers.get("sec-websocket-protocol", "").split(","):
        if name.strip().startswith(_KEY):
            text = name.strip()[len(_KEY) :]
            try:
                key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
            except (binascii.Error, ValueError):
                return
            headers["authorization"] = f"Bearer {key}"
            return


async def connect(call: Call) -> Response:
    """Opens the conversation.

    Raises:
        Failure: `invalid_request`, for what is no handshake; `unavailable`, while the server drains.
    """
    from websockets.utils import accept_key

    headers = call.request.headers
    upgrades = "websocket" in headers.get("upgrade", "").lower() and "upgrade" in headers.get("connection", "").lower()
    if not upgrades or headers.get("sec-websocket-version") != "13":
        return Response(b"", status=426, headers={"upgrade": "websocket", "sec-websocket-version": "13"})
    nonce = headers.get("sec-websocket-key", "")
    try:
        sound = len(base64.b64decode(nonce, validate=True)) == 16
    except (binascii.Error, ValueError):
        sound = False
    if not sound:
        raise Failure("invalid_request", "the handshake has no sound Sec-WebSocket-Key", field="sec-websocket-key")
    if call.services.draining:
        raise Failure("unavailable", "the gateway is shutting down", retry_after=1.0)
    answer = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": accept_key(nonce)}
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    if PROTOCOL in offered:
        answer["sec-websocket-protocol"] = PROTOCOL
    return Response(status=101, headers=answer, talk=_Chat(call))


class _Chat:
    """The `Talk` of one WebSocket."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._conversation: Conversation | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is under way."""
        return self._conversation is not None and self._conversation.busy

    async def talk(self, socket: Socket) -> None:
        """Turns, until the client leaves."""
        call = self._call
        session = call.request.headers.get("x-hapenny-session") or call.gateway.clock.new_id("chat_")

        async def say(message: dict[str, object]) -> None:
            await socket.send(msgspec.json.encode(message).decode())

        conversation = self._conversation = Conversation(call.services, call.request, session, say)
        try:
            await say({"type": "ready", "session": session})
            while (text := await socket.receive()) is not None:
                await conversation.take(text)
        finally:
            await conversation.cancel()
