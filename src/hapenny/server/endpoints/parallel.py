"""`POST /v1/parallel`: a request in parts that are answered side by side."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec import Struct, field

from hapenny.core.errors import Failure, invalid
from hapenny.core.messages import Parameters
from hapenny.core.money import dollars
from hapenny.gateway.parallel import parallel
from hapenny.responsive.parallel import MOST, Joined, Part, Said, Tell, by_rule
from hapenny.server.call import Call
from hapenny.server.replies import as_json, read
from hapenny.server.transport.messages import Response

WAITING = 256
"""Events that wait for a slow reader; then the parts wait, too."""


class Asked(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a client sends. Either `parts`, or `input`, which is split by `split`: `rule` (items of a list, questions)
    or a tier, alias or model."""

    parts: list[Part] = field(default_factory=list)
    input: str = ""
    """The request in one text."""
    split: str = "rule"
    join: str = ""
    """A tier, alias or model that makes one answer of the parts'; empty: they stand below one another."""
    model: str = "auto"
    """Of parts that name none."""
    system: str = ""
    """Instructions that all parts share."""
    max_tokens: int | None = None
    temperature: float | None = None
    width: int = 8
    """Parts that are answered at once."""
    stream: bool = False


async def create(call: Call) -> Response:
    """Answers all parts: as one JSON object, or as server-sent events while they come.

    Raises:
        Failure: `invalid_request`, `permission`, or what befell all parts.
    """
    asked = read(call.body, Asked)
    if bool(asked.parts) == bool(asked.input):
        raise invalid("give parts, or one input to split", "parts", 'send {"parts": [{"question": "…"}]}')
    if not 1 <= asked.width <= MOST:
        raise invalid(f"width is outside 1 to {MOST}", "width", "leave it out")
    id = call.gateway.clock.new_id("par_")
    if not asked.stream:
        return as_json(_shown(id, await _run(call, asked, id)))
    return Response(headers={"content-type": "text/event-stream", "x-request-id": id}, pieces=_Events(call, asked, id))


async def _run(call: Call, asked: Asked, id: str, tell: Tell | None = None) -> Joined:
    splits = bool(asked.input) and asked.split != "rule"
    parts = tuple(asked.parts)
    if not parts:
        parts = (Part(question=asked.input),) if splits else by_rule(asked.input)
    more = {"tell": tell} if tell is not None else {}
    return await parallel(
        call.gateway, parts, context=call.context(), identity=call.identity, system=asked.system, model=asked.model,
        join_model=asked.join, split_model=asked.split if splits else "",
        text=asked.input or "\n".join(part.question for part in parts),
        parameters=Parameters(max_tokens=asked.max_tokens, temperature=asked.temperature), width=asked.width, group=id,
        admit=True, **more,
    )  # fmt: skip


def _shown(id: str, joined: Joined) -> dict[str, Any]:
    return {
        "id": id,
        "object": "parallel",
        "answer": joined.text,
        "parts": [_part(said) for said in joined.parts],
        "split": _part(joined.split_by) if joined.split_by is not None else None,
        "join": _part(joined.joined_by) if joined.joined_by is not None else None,
        "cost_usd": _usd(joined.cost),
        "seconds": round(joined.seconds, 4),
        "in_turn_seconds": round(joined.in_turn, 4),
        "slowest_seconds": round(joined.slowest, 4),
    }


def _part(said: Said) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": said.part.name,
        "question": said.part.question,
        "answer": said.text,
        "status": "failed" if said.failure else "complete",
        "model": said.model,
        "request_id": said.request,
        "seconds": round(said.seconds, 4),
        "cost_usd": _usd(said.cost),
    }
    if said.failure:
        shown["failure"] = said.failure
    return shown


def _usd(nano: int | None) -> str | None:
    return None if nano is None else dollars(nano, 9)


class _Events:
    """The parts as server-sent events: `part.delta`, `part.done`, `part.failed`, `answer.delta`, and `done` with all of
    it; `error` where none could be answered."""

    def __init__(self, call: Call, asked: Asked, id: str) -> None:
        self.last = False
        self.late = True
        self._call = call
        self._id = id
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self._task = asyncio.ensure_future(self._work(asked))

    async def read(self) -> bytes | None:
        """The next event."""
        if self.last:
            return None
        data = await self._queue.get()
        self.last = data.startswith((b"event: done", b"event: error"))
        return data

    def silence(self) -> bytes:
        """A comment."""
        return b": still here\n\n"

    def cut(self, failure: Failure) -> bytes:
        """The end that the server makes."""
        return _event("error", {"type": failure.kind, "message": failure.message})

    def close(self) -> None:
        """Ends all parts that are under way."""
        self._task.cancel()

    async def _work(self, asked: Asked) -> None:
        async def tell(event: str, number: int, text: str) -> None:
            await self._queue.put(_told(event, number, text))

        try:
            joined = await _run(self._call, asked, self._id, tell)
            await self._queue.put(_event("done", _shown(self._id, joined)))
        except Failure as failure:
            await self._queue.put(self.cut(failure))


def _told(event: str, number: int, text: str) -> bytes:
    if event == "answer":
        return _event("answer.delta", {"text": text})
    if event == "delta":
        return _event("part.delta", {"part": number, "text": text})
    return _event(f"part.{event}", {"part": number, **({"failure": text} if text else {})})


def _event(name: str, body: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(body) + b"\n\n"
