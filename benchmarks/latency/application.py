"""The application in front of the gateway: OpenAI's dialect through the server's own code, streamed, with its tools.

Everything between the bytes of a request and the bytes of its answer is the code that serves; only sockets and TLS are
left out. What the client itself computes takes no time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hapenny.gateway.gateway import Gateway
from hapenny.protocols.http1.request import RequestParser
from hapenny.server.app import App
from hapenny.server.transport.messages import Request, Response
from hapenny.simulation.loop import VirtualLoop
from hapenny.simulation.provider import SimulatedProvider
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message
from hapenny.studies.player import in_time
from hapenny.telemetry.rows import Row

KEY = "benchmark-key-0123456789"
_ROUNDS = 3
_MAX_TOKENS = 600
_SENTENCE_ENDS = tuple(".!?。！？\n")


class Sent(NamedTuple):
    """One request: seconds to its first content, its first sentence and its end, since `at`; "" or what went wrong."""

    message: int
    at: float
    first: float | None
    sentence: float | None
    whole: float
    failure: str
    request_id: str
    round: int


class _Head(RequestParser):
    """Reads one request."""


class Application:
    """Sends a workload's messages and notes what was waited for.

    Args:
        gateway: whom it asks, started.
        messages: by time.
        shop: runs the tools.
        provider: whose truth is filled as messages are sent.
        model: what is asked for.
    """

    def __init__(
        self,
        gateway: Gateway,
        messages: Sequence[Message],
        shop: Shop,
        provider: SimulatedProvider,
        *,
        model: str = "auto",
    ) -> None:
        self._app = App(gateway)
        self._clock = gateway.clock
        self._messages = messages
        self._place = {message.number: index for index, message in enumerate(messages)}
        self._shop = shop
        self._provider = provider
        self._model = model
        self._answers: dict[int, asyncio.Future[str]] = {}
        self.sent: list[Sent] = []
        self.right: dict[int, bool] = {}
        self.rows: dict[str, Row] = {}
        gateway.parts.exchanges.observe(lambda exchange, row: self.rows.__setitem__(row.id, row))

    async def play(self) -> None:
        """Sends every message at its time, a follow-up after the answer that it follows."""
        running, tasks = asyncio.get_running_loop(), []
        async for message in in_time(self._clock, self._messages):
            self._answers[message.number] = running.create_future()
            tasks.append(running.create_task(self._one(message)))
        await asyncio.gather(*tasks)

    async def _one(self, message: Message) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        history = []
        for number in message.earlier:
            answer = self._answers.get(number)
            if answer is not None:
                history.append((self._messages[self._place[number]].text, await answer))
        with loop.elsewhere():
            self._provider.truth.add(message.text, message.item, message.follows)
            body = self._body(message, history)
        text = ""
        for number in range(_ROUNDS):
            with loop.elsewhere():
                wire = _wire(body, message)
            text, call, failure = await self._ask(message, wire, number, loop)
            if failure or call is None:
                break
            with loop.elsewhere():
                body = self._answered(body, call, message.day)
        with loop.elsewhere():
            self.right[message.number] = bool(text) and message.item.grade(text)
        self._answers[message.number].set_result(text or "(no answer)")

    def _body(self, message: Message, history: Sequence[tuple[str, str]]) -> dict[str, Any]:
        messages: list[dict[str, Any]] = [{"role": "system", "content": message.system}]
        for question, answer in history:
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        if message.documents:  # apart from the question, which is what is searched for and compared
            passages = "".join(f"<document>\n{passage}\n</document>\n" for passage in message.documents)
            messages.append({"role": "user", "content": passages})
        messages.append({"role": "user", "content": message.text})
        body: dict[str, Any] = {
            "model": self._model, "messages": messages, "max_tokens": _MAX_TOKENS, "temperature": 0.0, "stream": True,
        }  # fmt: skip
        if message.tools:
            body["tools"] = [
                {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}
                for name, about, schema in (tool[:3] for tool in Shop.tools(message.tools))
            ]
        return body

    def _answered(self, body: dict[str, Any], call: dict[str, str], day: int) -> dict[str, Any]:
        try:
            arguments = json.loads(call["arguments"] or "{}")
        except ValueError:
            arguments = {}
        result = self._shop.run(call["name"], arguments if isinstance(arguments, dict) else {}, day)
        asked = {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        more = [
            {"role": "assistant", "content": None, "tool_calls": [asked]},
            {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result, ensure_ascii=False)},
        ]
        return {**body, "messages": [*body["messages"], *more]}

    async def _ask(
        self, message: Message, wire: bytes, number: int, loop: VirtualLoop
    ) -> tuple[str, dict[str, str] | None, str]:
        began = self._clock.now()
        head = _Head()
        head.feed(wire)
        work = self._app.accept(Request(head.method, head.target, head.headers, "127.0.0.1"))
        if isinstance(work, Response):
            raise SystemExit(f"refused by its head: {work.status} {work.body[:200]!r}")
        heard = _Heard()
        first = sentence = None
        response = await work.answer(head.take())
        try:
            pieces = response.pieces
            while pieces is not None and (piece := await pieces.read()) is not None:
                now = self._clock.now() - began
                with loop.elsewhere():
                    heard.feed(piece)
                if first is None and heard.any:
                    first = now
                if sentence is None and heard.sentence:
                    sentence = now
                if pieces.last:
                    break
        finally:
            if response.pieces is not None:
                response.pieces.close()
            work.done()
        whole = self._clock.now() - began
        failure = heard.failure or ("" if response.status == 200 else f"HTTP {response.status}")
        id = response.headers.get("x-request-id", "")
        if not failure:
            sentence = sentence if sentence is not None else whole
        self.sent.append(Sent(message.number, began, first, sentence, whole, failure, id, number))
        return heard.text, heard.call if not failure else None, failure


class _Heard:
    """A stream as its client puts it together."""

    def __init__(self) -> None:
        self.text = ""
        self.call: dict[str, str] | None = None
        self.failure = ""
        self._rest = b""

    @property
    def any(self) -> bool:
        return bool(self.text) or self.call is not None

    @property
    def sentence(self) -> bool:
        """Whether a first sentence, or a whole call of a tool, is there."""
        return any(end in self.text for end in _SENTENCE_ENDS)

    def feed(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if not line.startswith(b"data: ") or line == b"data: [DONE]":
                continue
            self._take(json.loads(line[6:]))

    def _take(self, chunk: Mapping[str, Any]) -> None:
        if "error" in chunk:
            self.failure = str(chunk["error"].get("type") or chunk["error"].get("code") or "error")
            return
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            self.text += delta.get("content") or ""
            for call in delta.get("tool_calls") or ():
                if self.call is None:
                    self.call = {"id": call.get("id") or "call", "name": "", "arguments": ""}
                function = call.get("function") or {}
                self.call["name"] += function.get("name") or ""
                self.call["arguments"] += function.get("arguments") or ""


def _wire(body: Mapping[str, Any], message: Message) -> bytes:
    """The request as it comes over a connection."""
    data = json.dumps(body, ensure_ascii=False).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\naccept: text/event-stream\r\n"
        f"x-hapenny-session: {message.session}\r\nx-hapenny-user: {message.user}\r\n"
        f"x-hapenny-feature: {message.intent}\r\n\r\n"
    )
    return head.encode() + data
