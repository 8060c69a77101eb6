"""Drives a server with a workload over real sockets, as an application does, and notes what a customer would notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from hapenny.backends.pool import Pool
from hapenny.backends.url import Url, origin
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.messages import Request, ToolUse
from hapenny.protocols import codec
from hapenny.simulation.workload.requests import answered, request
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message

_ROUNDS = 3
"""Tool calls that the application answers before it gives up."""


_LONGEST_S = 120.0
"""How long one answer may take."""


class _Line(NamedTuple):
    """Where everything is sent."""

    pool: Pool
    url: Url
    key: str


class Seen(Struct, frozen=True):
    """What one message looked like from outside. Seconds; None: it never came."""

    number: int
    first: float | None
    whole: float | None
    text: str
    saved: bool
    error: str | None = None
    asked: Request | None = None
    """The first request that was sent, for judges."""
    models: tuple[str, ...] = ()
    """Who answered each request, by their own word."""


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct):
    content: str | None = None
    tool_calls: list[_Call] = []


class _Choice(Struct):
    delta: _Delta


class _Chunk(Struct):
    model: str = ""
    choices: list[_Choice] = []
    error: dict[str, object] | None = None


class _Heard(Struct):
    """One answer as it came."""

    first: float | None = None
    text: str = ""
    call: ToolUse | None = None
    saved: bool = False
    error: str | None = None
    model: str = ""


async def drive(
    base_url: str,
    messages: Sequence[Message],
    shop: Shop,
    clock: Clock,
    *,
    seconds: float,
    model: str | Callable[[Message], str] = "auto",
    key: str = "",
    watch: Callable[[Seen], None] = lambda seen: None,
) -> list[Seen]:
    """Sends each message at its time, all within `seconds` (a follow-up not before the answer it refers to), streamed,
    in the OpenAI dialect; tools are run by the shop. `model`: what is asked for, of all messages or of each."""
    start = clock.now()
    begin, end = messages[0].at, messages[-1].at
    scale = seconds / (end - begin) if end > begin else 0.0
    place = {message.number: index for index, message in enumerate(messages)}
    answers: list[asyncio.Future[str]] = [asyncio.get_running_loop().create_future() for _ in messages]
    line = _Line(Pool(clock, idle_s=_LONGEST_S, name="driver"), origin(base_url).at("/v1/chat/completions"), key)

    async def send(index: int) -> Seen:
        message = messages[index]
        await clock.sleep(max(0.0, start + (message.at - begin) * scale - clock.now()))
        before = [place[number] for number in message.earlier if number in place]
        history = [(messages[each].text, await answers[each]) for each in before]
        wanted = model if isinstance(model, str) else model(message)
        seen = await _converse(line, message, request(message, history, model=wanted), shop, clock)
        answers[index].set_result(seen.text or "(no answer)")
        watch(seen)
        return seen

    try:
        return list(await asyncio.gather(*[send(index) for index in range(len(messages))]))
    finally:
        await line.pool.aclose()


async def _converse(line: _Line, message: Message, asked: Request, shop: Shop, clock: Clock) -> Seen:
    began = clock.now()
    current, saved = asked, True
    first: float | None = None
    heard = _Heard()
    models: list[str] = []
    for _ in range(_ROUNDS):
        heard = await _ask(line, message, current, clock)
        models.append(heard.model)
        saved = saved and heard.saved
        first = first if first is not None else (heard.first - began if heard.first is not None else None)
        if heard.call is None or heard.error:
            break
        call = heard.call
        current = answered(
            current, call.id, call.name, call.arguments, shop.run(call.name, call.decoded(), message.day)
        )
    error = heard.error or (None if heard.text else "empty answer")
    whole = clock.now() - began if error is None else None
    return Seen(message.number, first, whole, heard.text, saved, error, asked, tuple(models))


async def _ask(line: _Line, message: Message, asked: Request, clock: Clock) -> _Heard:
    headers = {
        "x-hapenny-session": message.session,
        "x-hapenny-feature": message.intent,
        "content-type": "application/json",
    }
    if line.key:
        headers["authorization"] = f"Bearer {line.key}"
    heard = _Heard()
    parts: list[str] = []
    calls: dict[int, list[str]] = {}
    body = codec("openai").encode_request(asked, model=asked.model).body
    try:
        async with asyncio.timeout(_LONGEST_S):
            lease = await line.pool.send("POST", line.url, headers, body)
            try:
                heard.saved = "hit" in lease.headers.get("cache-status", "")
                if lease.status != 200:
                    heard.error = f"HTTP {lease.status}"
                    return heard
                held = b""
                while data := await lease.piece():
                    *lines, held = (held + data).split(b"\n")
                    for each in lines:
                        _hear(each, heard, parts, calls, clock)
            finally:
                lease.close()
    except (Failure, TimeoutError) as failure:
        heard.error = failure.kind if isinstance(failure, Failure) else type(failure).__name__
    heard.text = "".join(parts)
    if calls:
        id, name, arguments = calls[min(calls)]
        heard.call = ToolUse(id, name, arguments)
    return heard


def _hear(line: bytes, heard: _Heard, parts: list[str], calls: dict[int, list[str]], clock: Clock) -> None:
    """One line of a stream of server-sent events."""
    if not line.startswith(b"data: {"):
        return
    chunk = msgspec.json.decode(line[6:], type=_Chunk)
    heard.model = chunk.model or heard.model
    if chunk.error is not None:
        heard.error = str(chunk.error.get("message", "error in the stream"))
    for choice in chunk.choices:
        if choice.delta.content:
            if heard.first is None:
                heard.first = clock.now()
            parts.append(choice.delta.content)
        for call in choice.delta.tool_calls:
            _gather(calls, call)


def _gather(calls: dict[int, list[str]], delta: _Call) -> None:
    call = calls.setdefault(delta.index, ["", "", ""])
    call[0] = delta.id or call[0]
    if delta.function is not None:
        call[1] = delta.function.name or call[1]
        call[2] += delta.function.arguments or ""
