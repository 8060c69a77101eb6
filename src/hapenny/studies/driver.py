"""Drives a server with a workload over real sockets, as an application does, and notes what a customer would notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from hapenny.backends.pool import Pool
from hapenny.backends.url import Origin, origin
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.messages import Request
from hapenny.protocols import codec, sse
from hapenny.workload.requests import answered, request
from hapenny.workload.shop import Shop
from hapenny.workload.shoppers import Message

_WHOLE_S = 120.0
"""How long an answer may take."""
_ROUNDS = 3
"""Tool calls that the application answers before it gives up."""


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
    choices: list[_Choice] = []
    error: dict[str, object] | None = None


class _Heard(Struct):
    """One answer as it came."""

    first: float | None = None
    text: str = ""
    call: tuple[str, str, str] | None = None
    saved: bool = False
    error: str | None = None


async def drive(
    base_url: str,
    messages: Sequence[Message],
    shop: Shop,
    clock: Clock,
    *,
    seconds: float,
    model: str = "auto",
    key: str = "",
    watch: Callable[[Seen], None] = lambda seen: None,
) -> list[Seen]:
    """Sends each message at its time, all within `seconds` (a follow-up not before the answer it refers to), streamed,
    in the OpenAI dialect; tools are run by the shop."""
    start = clock.now()
    begin, end = messages[0].at, messages[-1].at
    scale = seconds / (end - begin) if end > begin else 0.0
    place = {message.number: index for index, message in enumerate(messages)}
    answers: list[asyncio.Future[str]] = [asyncio.get_running_loop().create_future() for _ in messages]
    there = origin(base_url)
    async with contextlib.aclosing(Pool(clock, name="driver")) as pool:

        async def send(index: int) -> Seen:
            message = messages[index]
            await clock.sleep(max(0.0, start + (message.at - begin) * scale - clock.now()))
            before = [place[number] for number in message.earlier if number in place]
            history = [(messages[each].text, await answers[each]) for each in before]
            seen = await _converse(pool, there, message, request(message, history, model=model), shop, key, clock)
            answers[index].set_result(seen.text or "(no answer)")
            watch(seen)
            return seen

        return list(await asyncio.gather(*[send(index) for index in range(len(messages))]))


async def _converse(
    pool: Pool, there: Origin, message: Message, asked: Request, shop: Shop, key: str, clock: Clock
) -> Seen:
    began = clock.now()
    current, saved = asked, True
    first: float | None = None
    heard = _Heard()
    for _ in range(_ROUNDS):
        heard = await _ask(pool, there, message, current, key, clock)
        saved = saved and heard.saved
        first = first if first is not None else (heard.first - began if heard.first is not None else None)
        if heard.call is None or heard.error:
            break
        id, name, arguments = heard.call
        current = answered(current, id, name, arguments, shop.run(name, _decoded(arguments), message.day))
    error = heard.error or (None if heard.text else "empty answer")
    whole = clock.now() - began if error is None else None
    return Seen(message.number, first, whole, heard.text, saved, error, asked)


def _decoded(arguments: str) -> dict[str, object]:
    try:
        decoded = json.loads(arguments or "{}")
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


async def _ask(pool: Pool, there: Origin, message: Message, asked: Request, key: str, clock: Clock) -> _Heard:
    headers = {
        "x-hapenny-session": message.session,
        "x-hapenny-feature": message.intent,
        "Content-Type": "application/json",
    }
    if key:
        headers["Authorization"] = f"Bearer {key}"
    heard = _Heard()
    parts: list[str] = []
    calls: dict[int, list[str]] = {}
    body = codec("openai").encode_request(asked, model=asked.model).body
    frames = sse.Parser()
    try:
        async with asyncio.timeout(_WHOLE_S):
            answer = await pool.send("POST", there.at("/v1/chat/completions"), headers, body)
            heard.saved = "hit" in answer.headers.get("cache-status", "")
            if answer.status != 200:
                answer.close()
                heard.error = f"HTTP {answer.status}"
                return heard
            while data := await answer.piece():
                for _, payload in frames.feed(data):
                    if not payload.startswith(b"{"):
                        continue
                    chunk = msgspec.json.decode(payload, type=_Chunk)
                    if chunk.error is not None:
                        heard.error = str(chunk.error.get("message", "error in the stream"))
                    for choice in chunk.choices:
                        if choice.delta.content:
                            if heard.first is None:
                                heard.first = clock.now()
                            parts.append(choice.delta.content)
                        for call in choice.delta.tool_calls:
                            _gather(calls, call)
    except Failure as failure:
        heard.error = failure.kind
    except TimeoutError:
        heard.error = "timeout"
    heard.text = "".join(parts)
    if calls:
        id, name, arguments = calls[min(calls)]
        heard.call = (id, name, arguments)
    return heard


def _gather(calls: dict[int, list[str]], delta: _Call) -> None:
    call = calls.setdefault(delta.index, ["", "", ""])
    call[0] = delta.id or call[0]
    if delta.function is not None:
        call[1] = delta.function.name or call[1]
        call[2] += delta.function.arguments or ""
