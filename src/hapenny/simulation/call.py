"""One answer of the simulated provider under way: events in batches, each at its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hapenny.core.clock import Clock
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    Event,
    SignatureDelta,
    Started,
    Stopped,
    StopReason,
    TextDelta,
    ThinkingDelta,
    Tokens,
    ToolCallDelta,
    Usage,
)
from hapenny.core.messages import Json
from hapenny.simulation.faults import Fault, midway
from hapenny.simulation.latents import chance
from hapenny.simulation.promptcache import PrefixMatch

if TYPE_CHECKING:
    from hapenny.simulation.answering import Draft
    from hapenny.simulation.tokenizer import Tokenizer

CHUNK = 4
"""Tokens that travel in one delta, at least, where the provider says nothing else."""


POISON = 10**9
"""Tokens of a report that cannot be true."""


class Settlement(Protocol):
    """What the provider does when a call begins and ends."""

    def began(self, cached: PrefixMatch) -> None:
        """The first token is out."""

    def ended(self, id: str, tokens: Tokens, outcome: str) -> None:
        """The call is over; called once."""


class CallPlan:
    """An answer cut to size: steps of (events, tokens so far), and how fast they come."""

    __slots__ = ("chunk", "fault", "first", "found", "rate", "reason", "reasoning", "sequence", "steps", "total")

    def __init__(self, chunk: int = CHUNK) -> None:
        self.chunk = chunk
        self.steps: list[tuple[tuple[Event, ...], int]] = []
        self.total = 0
        """Output tokens of the whole answer."""
        self.reasoning = 0
        self.reason: StopReason = "end_turn"
        self.sequence: str | None = None
        self.first = 0.0
        self.rate = 1.0
        self.fault: Fault | None = None
        self.found = PrefixMatch()


class SimulatedCall:
    """A `Source` of events. `close()` releases quota and connection at once.

    Whatever ends it once it was accepted, the prompt and what was generated until then are billed (assumed: the work
    was done; no provider's terms say otherwise). An error that is told in place of the whole answer is not.
    """

    def __init__(
        self,
        clock: Clock,
        plan: CallPlan,
        *,
        id: str,
        model: str,
        prompt: Tokens,
        stream: bool,
        settle: Settlement,
        router: str = "",
    ) -> None:
        self._extras: dict[str, Json] = {}
        """What the answer tells beside its counts: whom a prompt router chose."""
        if router:
            self._extras = {"bedrock.usage": {"trace": {"promptRouter": {"invokedModelId": router}}}}
        self.id = id
        self.model = model
        self.prompt = prompt
        self._clock = clock
        self._plan = plan
        self._stream = stream
        self._settle: Settlement | None = settle
        self._asked = self._clock.now()
        self._next = 0
        self._sent = 0
        self._begun = False
        fault = plan.fault
        self._break = len(plan.steps)
        if fault is not None and fault.kind in ("exception", "truncate", "drop"):
            self._break = min(len(plan.steps) - 1, max(1, int(fault.at * len(plan.steps)))) if plan.steps else 0

    async def read(self, patience: float = float("inf")) -> list[Event] | None:
        """What is due by now, or the next when nothing is; None at the end.

        Raises:
            Failure: where a fault strikes.
            TimeoutError: after `patience` seconds without an event; the call goes on.
        """
        if self._closed:
            return None
        plan = self._plan
        if plan.fault is not None and plan.fault.kind == "hang":
            await self._wait(float("inf"), patience)
        broken = self._break < len(plan.steps)
        last = len(plan.steps) - (len(plan.steps) - self._break if broken else 0)
        if self._next >= last and broken:
            return self._strike()
        wanted = last if not self._stream else self._next + 1
        until = plan.steps[wanted - 1][1] if wanted else 0
        due = self._asked + plan.first + max(0, until - CHUNK) / plan.rate
        wait = due - self._clock.now()
        if wait > 0:
            await self._wait(wait, patience)
        settle = self._settle
        if settle is None:
            return None
        batch: list[Event] = []
        if not self._begun:
            self._begun = True
            settle.began(plan.found)
            batch.append(Started(self.id, self.model, self._clock.wall(), self.prompt))
        if not self._stream and broken:
            self._next = last
            self._sent = plan.total  # a whole answer is generated before any of it is sent
            return self._strike()
        now = self._clock.now() + 1e-9
        while self._next < last:
            events, tokens = plan.steps[self._next]
            if self._next >= wanted and self._asked + plan.first + max(0, tokens - CHUNK) / plan.rate > now:
                break
            batch.extend(events)
            self._sent = tokens
            self._next += 1
        if self._next >= len(plan.steps):
            batch.append(Stopped(plan.reason, 0, plan.sequence))
            batch.append(Usage(self._told(plan), self._extras))
            self._end("complete", plan.total)
        return batch

    @property
    def _closed(self) -> bool:
        return self._settle is None

    async def _wait(self, seconds: float, patience: float) -> None:
        left = min(seconds, patience)
        while left > 0:
            await self._clock.sleep(min(left, 3600.0))
            left -= 3600.0
        if patience < seconds:
            raise TimeoutError

    def close(self) -> None:
        """Ends the call at once. Idempotent."""
        self._end("abandoned", self._sent)

    def _strike(self) -> list[Event] | None:
        fault = self._plan.fault
        failure = midway(fault) if fault is not None else None
        if failure is not None:
            in_place = failure.upstream_status is not None and not self._stream
            self._end("failed" if in_place else "broken", self._sent)
            raise failure
        self._end("truncated", self._sent)
        return None

    def _told(self, plan: CallPlan) -> Tokens:
        """What the provider says was used."""
        if plan.fault is not None and plan.fault.kind == "poison":
            return Tokens(input=self.prompt.input, output=POISON)
        return self._usage(plan.total)

    def _usage(self, output: int) -> Tokens:
        prompt = self.prompt
        return Tokens(
            input=prompt.input,
            output=output,
            cache_read=prompt.cache_read,
            cache_write=prompt.cache_write,
            cache_write_1h=prompt.cache_write_1h,
            reasoning=min(self._plan.reasoning, output),
        )

    def _end(self, outcome: str, output: int) -> None:
        settle, self._settle = self._settle, None
        if settle is not None:
            settle.ended(self.id, self._usage(output), outcome)


def cut(draft: Draft, tokenizer: Tokenizer, most: int, stop: tuple[str, ...], chunk: int = CHUNK) -> CallPlan:
    """`draft` as steps of at least `chunk` tokens, cut at `most` output tokens and before a stop sequence."""
    plan = CallPlan(chunk)
    text = draft.text
    for sequence in stop:
        place = text.find(sequence) if sequence else -1
        if place >= 0:
            text, plan.reason, plan.sequence = text[:place], "stop_sequence", sequence
    block = 0
    if draft.thinking:
        _block(plan, block, draft.thinking, tokenizer, most, "thinking")
        plan.reasoning = plan.total
        block += 1
    for number, (name, arguments) in enumerate(draft.calls):
        id = f"toolu_sim_{hash_text(name + arguments):014x}{number}"
        _block(plan, block, arguments, tokenizer, most, "tool_use", id, name)
        plan.reason = "tool_use" if plan.total < most else "max_tokens"
        block += 1
    if text and plan.total < most:
        _block(plan, block, text, tokenizer, most, "text")
    return plan


def hash_text(text: str) -> int:
    """A number of 53 bits that names `text`."""
    return int(chance("id", text) * 2**53)


def _block(
    plan: CallPlan, block: int, text: str, tokenizer: Tokenizer, most: int, kind: str, id: str = "", name: str = ""
) -> None:
    events: list[Event] = [BlockStarted(block, kind, 0, id, name)]  # type: ignore[arg-type]
    pending: list[str] = []
    before = len(plan.steps)
    waiting = 0
    full = False

    def flush() -> None:
        nonlocal pending, waiting, events
        piece = "".join(pending)
        match kind:
            case "thinking":
                events.append(ThinkingDelta(piece, block))
            case "tool_use":
                events.append(ToolCallDelta(piece, block))
            case _:
                events.append(TextDelta(piece, block))
        plan.total += waiting
        plan.steps.append((tuple(events), plan.total))
        events, pending, waiting = [], [], 0

    for piece, tokens in tokenizer.pieces(text):
        if plan.total + waiting + tokens > most:
            full = True
            break
        pending.append(piece)
        waiting += tokens
        if waiting >= (plan.chunk if plan.steps else CHUNK):  # the first delta is always a small one
            flush()
    if pending:
        flush()
    if full:
        plan.total, plan.reason, plan.sequence = most, "max_tokens", None
    if kind == "thinking":
        events.append(SignatureDelta(f"sim{hash_text(text):x}", block))
    events.append(BlockStopped(block))
    if len(plan.steps) > before:
        done, _ = plan.steps[-1]
        plan.steps[-1] = ((*done, *events), plan.total)
    else:
        plan.steps.append((tuple(events), plan.total))
