"""Orchestrator and workers: a request is split, its parts are answered side by side, and one answer is made of them.

Theory of operation. Every part is asked of whoever it names (`Ask`), at most `width` at once, so that all of them take
as long as the slowest and not as long as all together. What they say is passed on as it comes, in the order in which it
comes; the answer is put together in the order of the parts. A part that fails is said to have failed, and sinks the
answer only where all do. What everything cost is the sum of what parts, splitting and joining cost: more than one
request would, since each part brings the common instructions along.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec
from msgspec import Struct

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure

MOST = 32
"""Parts of one request."""
_ITEM = re.compile(r"[ \t]{0,8}(?:\d{1,3}[.)]|[-*•])[ \t]{1,8}(?=\S)")
_QUESTION_ENDS = "?？"
_GOES_ON = "?？!！"


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of a request."""

    question: str
    name: str = ""
    """Its heading in the answer; empty: its number."""
    model: str = ""
    """A tier, alias or model; empty: the request's."""


class Said(Struct, frozen=True, kw_only=True):
    """A part, answered or not. Seconds; nano-dollars, None: a price was unknown."""

    part: Part
    text: str = ""
    failure: str = ""
    """Kind of what went wrong; text that came before it stands all the same."""
    seconds: float = 0.0
    cost: int | None = 0
    request: str = ""
    """Id of the request that it was."""
    model: str = ""
    """Who answered."""


class Joined(Struct, frozen=True, kw_only=True):
    """The whole. `cost` is that of everything; None: a price was unknown."""

    parts: tuple[Said, ...]
    text: str
    joined_by: Said | None
    """The call that made one answer of the parts; None: none was needed."""
    split_by: Said | None
    seconds: float
    """From the first part's begin to the end of the whole answer."""
    cost: int | None

    @property
    def in_turn(self) -> float:
        """Seconds that the parts would have taken one after the other."""
        return sum(said.seconds for said in self.parts)

    @property
    def slowest(self) -> float:
        """Seconds of the slowest part: less is not to be had."""
        return max((said.seconds for said in self.parts), default=0.0)


class Worker(Protocol):
    """An answer to one part, under way."""

    async def read(self) -> str | None:
        """The next piece of text; None at the end. Raises `Failure`."""

    def close(self) -> tuple[int | None, str, str]:
        """Ends it, whatever happened: what it cost, the id of its request, and who answered."""


Ask: TypeAlias = Callable[[Part], Awaitable[Worker]]
"""Begins to answer a part. Raises `Failure`."""

Tell: TypeAlias = Callable[[str, int, str], Awaitable[None]]
"""Passes on what happens: `delta` (a piece of a part's text), `done` and `failed` (a part's end; its failure's kind),
and `answer` (a piece of the joined answer); with the part's number, counted from 0."""


async def silent(event: str, number: int, text: str) -> None:
    """Tells nobody."""


class Orchestrator:
    """Splits, asks, joins.

    Args:
        ask: begins to answer a part.
        clock: the deployment's clock.
        width: parts that are answered at once.
    """

    def __init__(self, ask: Ask, clock: Clock, width: int = 8) -> None:
        if width < 1:
            raise ValueError(f"width: {width}; give at least 1")
        self._ask = ask
        self._clock = clock
        self._width = width

    async def run(
        self,
        parts: Sequence[Part],
        *,
        join: Callable[[Sequence[Said]], Part] | None = None,
        split: Part | None = None,
        tell: Tell = silent,
    ) -> Joined:
        """Answers all parts and makes one answer of them.

        Args:
            parts: what is asked; with `split`, what is asked where splitting fails.
            join: the part that makes one answer of the others' texts; None: they stand below one another.
            split: asks a model for the parts, whose answer is a JSON list of questions.
            tell: what happens, as it happens.

        Raises:
            Failure: of the first part, where none could be answered; `invalid_request` for none or too many.
        """
        began = self._clock.now()
        splitter: Said | None = None
        if split is not None:
            splitter = await self._one(split, 0, silent)
            parts = listed(splitter.text, model=parts[0].model if parts else "") or parts
        if not 1 <= len(parts) <= MOST:
            raise Failure("invalid_request", f"{len(parts)} parts; a request has 1 to {MOST}", field="parts")
        places = asyncio.Semaphore(self._width)

        async def one(part: Part, number: int) -> Said:
            async with places:
                return await self._one(part, number, tell)

        tasks = [asyncio.ensure_future(one(part, number)) for number, part in enumerate(parts)]
        try:
            said = await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        if all(each.failure for each in said):
            raise Failure(said[0].failure, f"none of the {len(said)} parts could be answered")  # type: ignore[arg-type]
        joiner: Said | None = None
        text = sections(said)
        if join is not None and len(said) > 1:
            joiner = await self._one(join(said), -1, tell)
            text = joiner.text if not joiner.failure else text
        if joiner is None or joiner.failure:
            await tell("answer", -1, text)
        calls = [*said, *(each for each in (splitter, joiner) if each is not None)]
        costs = [each.cost for each in calls]
        total = None if any(cost is None for cost in costs) else sum(cost or 0 for cost in costs)
        return Joined(
            parts=tuple(said), text=text, joined_by=joiner, split_by=splitter, seconds=self._clock.now() - began,
            cost=total,
        )  # fmt: skip

    async def _one(self, part: Part, number: int, tell: Tell) -> Said:
        """Answers a part; its failure is part of what it says."""
        began, pieces, failure = self._clock.now(), list[str](), ""
        worker: Worker | None = None
        closed: tuple[int | None, str, str] = (0, "", "")
        try:
            worker = await self._ask(part)
            while (piece := await worker.read()) is not None:
                pieces.append(piece)
                await tell("answer" if number < 0 else "delta", number, piece)
        except Failure as error:
            failure = error.kind
        finally:
            if worker is not None:
                closed = worker.close()
        if number >= 0:
            await tell("failed" if failure else "done", number, failure)
        cost, request, model = closed
        return Said(
            part=part, text="".join(pieces), failure=failure, seconds=self._clock.now() - began, cost=cost,
            request=request, model=model,
        )  # fmt: skip


def sections(said: Sequence[Said]) -> str:
    """The texts below one another, each under its part's name; of a single part, its text alone."""
    if len(said) == 1:
        return said[0].text
    return "\n\n".join(
        f"**{each.part.name or number}.** {each.text.strip() or f'(not answered: {each.failure})'}"
        for number, each in enumerate(said, 1)
    )


def by_rule(text: str, *, model: str = "") -> tuple[Part, ...]:
    """The parts of a text that tells them apart itself: items of a list, else questions. What stands before the first
    item goes along with each. One part where it does not."""
    lines = text.splitlines()
    marks = [place for place, line in enumerate(lines) if _ITEM.match(line)]
    if len(marks) > 1:
        before = "\n".join(lines[: marks[0]]).strip()
        ends = [*marks[1:], len(lines)]
        items = ["\n".join(lines[start:end]) for start, end in zip(marks, ends, strict=True)]
        asked = [_ITEM.sub("", item, count=1).strip() for item in items]
        asked = [f"{before}\n{item}" if before else item for item in asked]
    else:
        asked = _questions(text)
    if not 1 < len(asked) <= MOST:
        asked = [text]
    return tuple(Part(question=question, model=model) for question in asked)


def _questions(text: str) -> list[str]:
    """Sentences that end with a question mark; a remark goes along with the question behind it."""
    asked, start = [], 0
    for place, letter in enumerate(text):
        if letter in _QUESTION_ENDS and (place + 1 == len(text) or text[place + 1] not in _GOES_ON):
            asked.append(text[start : place + 1].strip())
            start = place + 1
    rest = text[start:].strip()
    if rest and asked:
        asked[-1] = f"{asked[-1]} {rest}"
    return asked or [text]


def listed(text: str, *, model: str = "") -> tuple[Part, ...]:
    """The parts in a model's answer, a JSON list of questions; none where it is not one."""
    start, end = text.find("["), text.rfind("]")
    if start < 0 or end < start:
        return ()
    try:
        asked = msgspec.json.decode(text[start : end + 1], type=list[str])
    except (msgspec.DecodeError, RecursionError):
        return ()
    asked = [each.strip() for each in asked if each.strip()]
    return tuple(Part(question=each, model=model) for each in asked) if len(asked) <= MOST else ()
