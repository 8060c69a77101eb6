"""The answer-size stage: how long answers get is learnt by intent, and becomes a `max_tokens` that frees quota and that
the client never sees.

Not streamed: an answer that our limit cut is thrown away and asked for once more with the client's own limit. Streamed:
only where the model can go on from its own words (prefill), which it then does within the same stream; elsewhere, and
wherever tools might be called, the limit is not set.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from hapenny.core.answer import Answer, Replay
from hapenny.core.events import BlockStarted, BlockStopped, Event, Started, Stopped, TextDelta, Tokens, Usage
from hapenny.core.exchange import SERVING, Call, Exchange
from hapenny.core.messages import Message, Text
from hapenny.core.notes import Note
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.tokens.options import ANSWER_SIZE_STAGE, SizeOptions

_LIMIT: Note[int] = Note("answer_size.limit", travels=True)
Prefills = Callable[[Exchange], bool]


POOL = "*"
"""All intents together."""


class _Seen:
    """The last answers of one intent, sorted."""

    __slots__ = ("order", "ranked")

    def __init__(self, window: int) -> None:
        self.order: deque[int] = deque(maxlen=window)
        self.ranked: list[int] = []

    def add(self, tokens: int) -> None:
        if len(self.order) == self.order.maxlen:
            del self.ranked[bisect_left(self.ranked, self.order[0])]
        self.order.append(tokens)
        insort(self.ranked, tokens)

    def quantile(self, share: float) -> int:
        return self.ranked[min(len(self.ranked) - 1, int(share * len(self.ranked)))]


class AnswerSizes:
    """Learned answer lengths; bounded in intents and in answers each."""

    def __init__(self, options: SizeOptions | None = None, capacity: int = 2000) -> None:
        self.options = options or SizeOptions()
        self._capacity = capacity
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def learn(self, intent: str, tokens: int) -> None:
        """Take the length of a whole answer (never of one that a limit cut)."""
        if tokens < 1:
            return
        for key in (intent, POOL):
            seen = self._seen.get(key)
            if seen is None:
                seen = self._seen[key] = _Seen(self.options.window)
                while len(self._seen) > self._capacity:
                    self._seen.popitem(last=False)
            self._seen.move_to_end(key)
            seen.add(tokens)

    def limit(self, intent: str) -> int | None:
        """Tokens an answer of this intent may take; None while too little is known."""
        options = self.options
        for key, margin in ((intent, options.margin), (POOL, 2 * options.margin)):
            seen = self._seen.get(key)
            if seen is not None and len(seen.ranked) >= options.least:
                return max(options.floor, int(seen.quantile(options.quantile) * margin) + 1)
        return None

    def typical(self, intent: str) -> int | None:
        """Tokens that half of the answers of this intent (else of all) stay within; None while too little is known."""
        for key in (intent, POOL):
            seen = self._seen.get(key)
            if seen is not None and len(seen.ranked) >= self.options.least:
                return seen.quantile(0.5)
        return None

    def dumps(self) -> bytes:
        """What was learned, as MessagePack."""
        return msgspec.msgpack.encode({intent: list(seen.order) for intent, seen in self._seen.items()})

    def loads(self, data: bytes) -> None:
        """Take over a dump. Raises msgspec.ValidationError if it is none."""
        for intent, lengths in msgspec.msgpack.decode(data, type=dict[str, list[int]]).items():
            seen = self._seen[intent] = _Seen(self.options.window)
            for tokens in lengths:
                seen.add(tokens)


class Sized(Decision):
    """The limit, and the quota tokens it frees beside the client's own limit (or the model's maximum)."""

    limit: int
    learn: bool = True


class AnswerSizeStage(Stage, spec=ANSWER_SIZE_STAGE):
    """Sets the learned limit and repairs what it cuts.

    Args:
        sizes: what was learned.
        prefills: whether the exchange's target can continue from a prefilled assistant turn.
        ceiling: what the provider reserves where no limit is sent.
    """

    def __init__(self, sizes: AnswerSizes, prefills: Prefills, ceiling: Callable[[Exchange], int]) -> None:
        self._sizes = sizes
        self._prefills = prefills
        self._ceiling = ceiling

    async def decide(self, exchange: Exchange, ask: Ask) -> Sized | None:
        """None where nothing can be learned: several answers, or reasoning whose length no text tells."""
        request = exchange.request
        parameters = request.parameters
        if (parameters.n or 1) > 1 or parameters.thinking is not None or parameters.effort is not None:
            return None
        if not exchange.reason:  # once for all branches, and in shadow too: what is watched changes nothing
            exchange.on_call(lambda call: self._learn(exchange, call))
        own = parameters.max_tokens
        limit = self._sizes.limit(exchange.intent)
        if limit is None:
            return Sized(limit=0, idle=True, reason="learning")
        ceiling = own or self._ceiling(exchange)
        # Streamed text goes on in the same stream, if the model can; a tool call is never cut.
        repairable = not request.stream or (
            not request.tools and parameters.format is None and self._prefills(exchange)
        )
        if limit >= ceiling or not repairable:
            return Sized(limit=0, idle=True, reason="not applied")
        return Sized(limit=limit, freed=ceiling - limit, reason=f"{limit} of {ceiling}")

    def _learn(self, exchange: Exchange, call: Call) -> None:
        """Take the length of a whole answer, as the provider reports it."""
        if call.outcome != "complete" or call.tokens is None or call.purpose not in SERVING or call.request is None:
            return
        tokens = call.tokens.output - call.tokens.reasoning
        limit = call.request.parameters.max_tokens
        if limit is not None and call.tokens.output >= limit:
            return
        if call.purpose == "continue":
            tokens += exchange.stage_notes.get(_LIMIT) or 0
        self._sizes.learn(exchange.intent, tokens)

    async def apply(self, decision: Sized, exchange: Exchange, onward: Onward) -> Answer:
        """Answers within the limit, or whole after all."""
        request = exchange.request
        own = request.parameters
        exchange.request = replace(request, parameters=replace(own, max_tokens=decision.limit))
        exchange.stage_notes[_LIMIT] = decision.limit
        payer, exchange.payer = exchange.payer, self.name  # what is thrown away is this technique's own cost
        try:
            answer = await onward(exchange)
        finally:
            exchange.payer = payer
        if request.stream:
            return Answer(_Continued(answer, exchange, onward, own.max_tokens, decision.limit))
        events = [event async for event in answer]
        if not _cut(events):
            return Answer(Replay(events))
        branch = exchange.branch("the learned limit cut the answer", purpose="retry", payer=self.name)
        branch.request = request
        answer = await onward(branch)
        exchange.adopt(branch)
        return answer


def _cut(events: Sequence[Event]) -> bool:
    return any(isinstance(event, Stopped) and event.reason == "max_tokens" for event in events)


class _Continued:
    """A stream that goes on where our limit stopped it: the model continues its own words, the client sees one text."""

    def __init__(self, answer: Answer, exchange: Exchange, onward: Onward, own: int | None, limit: int) -> None:
        self._answer = answer
        self._exchange = exchange
        self._onward = onward
        self._own = own
        self._limit = limit
        self._text: list[str] = []
        self._held: list[Event] = []
        self._blocks: set[int] = set()
        self._cut = False
        self._continued = False
        self._tokens = Tokens()
        self._joined = False
        self._trimmed = False

    async def read(self) -> Sequence[Event] | None:
        """The next batch; at our own limit the continuation's."""
        while True:
            batch = await self._answer.read()
            if batch is None:
                if not self._cut:
                    return None
                await self._go_on()
                continue
            out = self._pass(batch)
            if out:
                return out

    def close(self) -> None:
        """Releases whichever upstream is open."""
        self._answer.close()

    def _pass(self, batch: Sequence[Event]) -> list[Event]:
        out: list[Event] = []
        for event in batch:
            if isinstance(event, TextDelta):
                self._text.append(event.text)
                self._blocks.add(event.block)
            if self._continued:
                out += self._rejoin(event)
                continue
            if isinstance(event, BlockStopped):
                self._held.append(event)  # held until it is known whether the block goes on
                continue
            if isinstance(event, Stopped) and event.reason == "max_tokens" and len(self._blocks) <= 1:
                self._cut = True
                continue
            if isinstance(event, Usage) and self._cut:
                self._tokens = event.tokens
                continue
            if self._held and not isinstance(event, TextDelta) and not self._cut:
                out += self._held
                self._held = []
            out.append(event)
        return out

    def _rejoin(self, event: Event) -> list[Event]:
        """A continuation's event as part of the first answer."""
        if isinstance(event, Started):
            return []
        if isinstance(event, BlockStarted) and not self._joined:
            self._joined = True  # its text goes on in the block that is still open
            return []
        if isinstance(event, TextDelta) and self._trimmed:
            # The client already has the white space that a prefilled turn may not end with.
            text = event.text.lstrip()
            self._trimmed = not text
            return [TextDelta(text, event.block, event.choice)] if text else []
        if isinstance(event, Usage):
            return [Usage(_sum(self._tokens, event.tokens), event.extras)]
        return [event]

    async def _go_on(self) -> None:
        exchange = self._exchange
        text = "".join(self._text)
        why = "the learned limit stopped the stream"
        branch = exchange.branch(why, purpose="continue", payer=ANSWER_SIZE_STAGE.name)
        said = Message("assistant", (Text(text.rstrip()),))
        left = None if self._own is None else max(1, self._own - self._limit)
        request = exchange.request
        branch.request = replace(
            request,
            messages=(*request.messages, said),
            parameters=replace(request.parameters, max_tokens=left),
        )
        self._answer = await self._onward(branch)
        # Only now: a reader that gives up while it is asked takes nothing from the next one.
        self._cut, self._continued, self._held = False, True, []
        self._trimmed = text != text.rstrip()
        exchange.adopt(branch)


def _sum(first: Tokens, second: Tokens) -> Tokens:
    """Usage as the client should see one answer: the first prompt, all of the output."""
    return replace(first, output=first.output + second.output, reasoning=first.reasoning + second.reasoning)
