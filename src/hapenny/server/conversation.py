"""A conversation of many turns over a line of messages, whoever carries them (a WebSocket, API Gateway).

The client says `start` (model and parameters), `message` or `tool_results` (a turn), `cancel`, `ping`; docs/chat.md has
the shapes. A turn is an ordinary request of OpenAI's dialect with the history before it, so that every stage, budget
and key holds for it. History is bounded in bytes; one turn runs at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec

from hapenny.admission.keys import OPEN
from hapenny.core.answer import Answer
from hapenny.core.errors import Failure, invalid
from hapenny.core.events import BlockStarted, Event, Stopped, TextDelta, ToolCallDelta, Usage
from hapenny.gateway.gateway import Gateway
from hapenny.protocols.http1.request import Headers
from hapenny.protocols.registry import codec
from hapenny.server.auth import context_of, recognise
from hapenny.server.passable_request import named_once, permit_asked
from hapenny.server.provider_objects import names_objects, objects_of_chat, permit_objects
from hapenny.server.services import Services
from hapenny.server.transport.messages import Request
from hapenny.telemetry.headers import at_end

Say: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
"""Carries a message to the client. Raises `ConnectionError` when the client is gone."""

HISTORY_BYTES = 2_000_000
"""What a conversation may hold; a longer one is begun anew by its client."""
_OURS = frozenset({"type", "turn", "messages", "stream", "n"})
_REASONS = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "context_window": "length",
    "tool_use": "tool_calls", "content_filtered": "content_filter", "guardrail": "content_filter",
    "refusal": "content_filter",
}  # fmt: skip


class Conversation:
    """One client's turns.

    Args:
        services: of the deployment: each turn is answered by the gateway of the moment.
        request: the head that opened the conversation; its key is asked again at every turn.
        session: names the conversation in the books.
        say: carries messages to the client.
    """

    def __init__(self, services: Services, request: Request, session: str, say: Say) -> None:
        self.session = session
        self._services = services
        self._request = request
        self._say = say
        self._parameters: dict[str, Any] = {"model": "auto"}
        self._history: list[dict[str, Any]] = []
        self._sizes = 0
        self._turn: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a turn is under way."""
        return self._turn is not None

    async def take(self, text: str) -> None:
        """A message of the client. What is wrong with it is said to the client.

        Raises:
            ConnectionError: the client is gone.
        """
        turn = ""
        try:
            message = _read(text)
            turn = str(message.get("turn") or "")
            kind = message.get("type")
            if kind == "ping":
                await self._say({"type": "pong"})
            elif kind == "cancel":
                await self.cancel()
            elif kind == "start":
                self._start(message)
                await self._say({"type": "ready", "session": self.session})
            elif kind in ("message", "tool_results"):
                self._begin(message, turn)
            else:
                raise invalid("no such message", "type", "start, message, tool_results, cancel or ping")
        except Failure as failure:
            await self._say(_error(failure, turn, self._services.gateway))

    async def cancel(self) -> None:
        """Ends the turn under way; what it said so far stays in the history."""
        task = self._turn
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def abandon(self) -> None:
        """The same, without waiting."""
        if self._turn is not None:
            self._turn.cancel()

    # -- turns -------------------------------------------------------------------------------------------------------

    def _start(self, message: dict[str, Any]) -> None:
        if self.busy:
            raise Failure("conflict", "a turn is under way", fix="cancel it, or wait for its end")
        history = message.get("messages") or []
        if not isinstance(history, list) or not all(isinstance(each, dict) for each in history):
            raise invalid("no list of messages", "messages", "send OpenAI's message objects")
        self._parameters = {"model": "auto", **{name: value for name, value in message.items() if name not in _OURS}}
        self._history, self._sizes = [], 0
        for each in history:
            self._remember(each)

    def _begin(self, message: dict[str, Any], turn: str) -> None:
        if self.busy:
            raise Failure("conflict", "a turn is under way", field="turn", fix="cancel it, or wait for its end")
        if message["type"] == "message":
            content = message.get("content")
            if not isinstance(content, (str, list)) or not content:
                raise invalid("no text and no parts", "content", "send a text, or OpenAI's content parts")
            said = [{"role": "user", "content": content}]
        else:
            results = message.get("results")
            if not isinstance(results, list) or not results or not all(isinstance(each, dict) for each in results):
                raise invalid("no results", "results", "send a list of {tool_call_id, content}")
            said = [{"role": "tool", **each} for each in results]
        for each in said:
            self._remember(each)
        self._turn = asyncio.get_running_loop().create_task(self._answer(turn))

    def _remember(self, message: dict[str, Any]) -> None:
        size = len(msgspec.json.encode(message))
        if self._sizes + size > HISTORY_BYTES:
            raise Failure(
                "too_large", f"the conversation is longer than {HISTORY_BYTES / 1e6:g} MB", field="content",
                fix="send `start` with the messages that are still wanted",
            )  # fmt: skip
        self._sizes += size
        self._history.append(message)

    async def _answer(self, turn: str) -> None:
        heard = _Heard()
        try:
            with self._services.hold() as gateway:
                await self._ask(gateway, turn, heard)
        except asyncio.CancelledError:
            self._keep(heard)
            try:
                await self._say({"type": "cancelled", "turn": turn})
            except ConnectionError:
                return
        except ConnectionError:
            return
        except Failure as failure:
            try:
                await self._say(_error(failure, turn, self._services.gateway))
            except ConnectionError:
                return
        else:
            self._keep(heard)
        finally:
            self._turn = None

    async def _ask(self, gateway: Gateway, turn: str, heard: _Heard) -> None:
        identity = recognise(gateway.keyring, self._request)
        if identity is None:
            raise Failure("authentication", "a signature holds for one request", fix="open the conversation with a key")
        body = {**self._parameters, "messages": self._history, "stream": True}
        headers = Headers({**self._request.headers})
        headers.setdefault("x-hapenny-session", self.session)
        said = msgspec.json.encode(body)
        asked = codec("openai").decode_request(said, model=None, stream=True, headers=headers)
        if asked.extras:
            named_once(asked.extras)
        permit_asked(identity, asked, said)
        if identity is not OPEN and not gateway.keyring.open and names_objects(said):
            await permit_objects(gateway, self._services, identity.key_id, objects_of_chat(said))
        exchange = gateway.open(asked, context_of(identity, headers, asked), identity)
        flow: Answer | None = None
        try:
            await gateway.admit(exchange)
            flow = await gateway.answer(exchange)
            exchange.commit()
            await self._say({"type": "started", "turn": turn, "request": exchange.id, "model": exchange.target.model})
            while (batch := await flow.read()) is not None:
                text = heard.feed(batch)
                if text:
                    await self._say({"type": "delta", "turn": turn, "text": text})
            flow.close()
            if heard.calls:
                await self._say({"type": "tool_calls", "turn": turn, "calls": heard.wire_calls()})
            done: dict[str, Any] = {"type": "done", "turn": turn, "finish_reason": heard.reason, "usage": heard.usage}
            money = gateway.totals(exchange)
            if money is not None:
                done["totals"] = at_end(exchange, money)
            await self._say(done)
        except Failure as failure:
            exchange.failure = failure
            raise
        finally:
            if flow is not None:
                flow.close()
            gateway.close(exchange)

    def _keep(self, heard: _Heard) -> None:
        """What the model said is part of the conversation."""
        message: dict[str, Any] = {"role": "assistant", "content": heard.text or None}
        if heard.calls and heard.reason == "tool_calls":
            message["tool_calls"] = heard.wire_calls()
        elif not heard.text:
            if self._history and self._history[-1]["role"] == "user":  # nothing was said: as if it was not asked
                self._sizes -= len(msgspec.json.encode(self._history.pop()))
            return
        try:
            self._remember(message)
        except Failure:  # the next turn is told
            self._sizes = HISTORY_BYTES


class _Heard:
    """One answer as it comes."""

    def __init__(self) -> None:
        self.text = ""
        self.reason = "stop"
        self.usage: dict[str, int] = {}
        self.calls: dict[int, list[str]] = {}

    def feed(self, batch: Any) -> str:
        """Takes events; returns the text among them."""
        text = "".join(self._take(event) for event in batch)
        self.text += text
        return text

    def wire_calls(self) -> list[dict[str, Any]]:
        """Calls of tools, as OpenAI's clients have them."""
        return [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments or "{}"}}
            for id, name, arguments in self.calls.values()
        ]

    def _take(self, event: Event) -> str:
        if isinstance(event, TextDelta):
            return event.text
        if isinstance(event, BlockStarted) and event.kind == "tool_use":
            self.calls[event.block] = [event.id, event.name, ""]
        elif isinstance(event, ToolCallDelta) and event.block in self.calls:
            self.calls[event.block][2] += event.arguments
        elif isinstance(event, Stopped):
            self.reason = _REASONS.get(event.reason, "stop")
        elif isinstance(event, Usage):
            tokens = event.tokens
            self.usage = {"prompt_tokens": tokens.prompt, "completion_tokens": tokens.made}
        return ""


def _read(text: str) -> dict[str, Any]:
    try:
        message = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        raise invalid("no JSON", "message", "send one JSON object a message") from None
    if not isinstance(message, dict):
        raise invalid("no JSON object", "message", "send one JSON object a message")
    return message


def _error(failure: Failure, turn: str, gateway: Gateway) -> dict[str, Any]:
    _, _, body = codec("openai").encode_error(failure, gateway.clock.new_id("req_"))
    return {"type": "error", "turn": turn, **msgspec.json.decode(body)}
