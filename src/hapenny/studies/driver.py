"""Drives a server with a shop's traffic over real sockets and notes what a customer would notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import aiohttp
import msgspec
from msgspec import Struct

from hapenny.core.clock import Clock
from hapenny.studies import mangashop
from hapenny.studies.mangashop import Turn


class Seen(Struct, frozen=True):
    """What one turn looked like from outside. Seconds; None: it never came."""

    turn: int
    first: float | None
    whole: float | None
    text: str
    saved: bool
    error: str | None = None
    body: bytes = b""
    """What was sent, for judges."""


class _Delta(Struct):
    content: str | None = None


class _Choice(Struct):
    delta: _Delta


class _Chunk(Struct):
    choices: list[_Choice] = []
    error: dict[str, object] | None = None


async def drive(
    base_url: str,
    turns: Sequence[Turn],
    clock: Clock,
    *,
    model: str = "auto",
    key: str = "",
    watch: Callable[[Seen], None] = lambda seen: None,
) -> list[Seen]:
    """Sends each turn at its time (a follow-up not before the answer it refers to), streamed, OpenAI dialect."""
    start = clock.now()
    answers: list[asyncio.Future[str]] = [asyncio.get_running_loop().create_future() for _ in turns]
    timeout = aiohttp.ClientTimeout(total=120)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base_url, connector=connector, timeout=timeout) as session:

        async def send(index: int) -> Seen:
            turn = turns[index]
            await clock.sleep(max(0.0, start + turn.at - clock.now()))
            messages = [{"role": "system", "content": mangashop.system()}]
            for earlier in _history(turns, index):
                messages.append({"role": "user", "content": mangashop.prompt(turns[earlier])})
                messages.append({"role": "assistant", "content": await answers[earlier]})
            messages.append({"role": "user", "content": mangashop.prompt(turn)})
            seen = await _ask(session, index, turn, messages, model, key, clock)
            answers[index].set_result(seen.text or "(no answer)")
            watch(seen)
            return seen

        return list(await asyncio.gather(*[send(index) for index in range(len(turns))]))


def _history(turns: Sequence[Turn], index: int) -> list[int]:
    chain: list[int] = []
    needs = turns[index].needs
    while needs is not None:
        chain.append(needs)
        needs = turns[needs].needs
    return chain[::-1]


async def _ask(
    session: aiohttp.ClientSession,
    index: int,
    turn: Turn,
    messages: list[dict[str, str]],
    model: str,
    key: str,
    clock: Clock,
) -> Seen:
    body = {"model": model, "messages": messages, "max_tokens": 600, "temperature": 0, "stream": True}
    sent = msgspec.json.encode(body)
    headers = {"x-hapenny-session": turn.session, "x-hapenny-feature": turn.kind, "Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    began = clock.now()
    first: float | None = None
    parts: list[str] = []
    error: str | None = None
    saved = False
    try:
        async with session.post("/v1/chat/completions", data=sent, headers=headers) as response:
            saved = "hit" in response.headers.get("Cache-Status", "")
            if response.status != 200:
                return Seen(index, None, None, "", False, f"HTTP {response.status}", sent)
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                chunk = msgspec.json.decode(line[6:], type=_Chunk)
                if chunk.error is not None:
                    error = str(chunk.error.get("message", "error in the stream"))
                for choice in chunk.choices:
                    if choice.delta.content:
                        if first is None:
                            first = clock.now() - began
                        parts.append(choice.delta.content)
    except (aiohttp.ClientError, TimeoutError) as failure:
        error = type(failure).__name__
    whole = clock.now() - began
    if not parts and error is None:
        error = "empty answer"
    return Seen(index, first, whole if error is None else None, "".join(parts), saved, error, sent)
