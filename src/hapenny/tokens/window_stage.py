"""The window stage: what stays of a long conversation, decided by prompt-cache prices and the model's room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from hapenny.core.answer import Answer
from hapenny.core.arms import arm_setting
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Message, Request
from hapenny.core.notes import Note
from hapenny.core.shape import TALK
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.telemetry.layout import Layout
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.money import cache_prices, counter, room, worth
from hapenny.tokens.options import WINDOW_STAGE
from hapenny.tokens.pack import Window
from hapenny.tokens.window import Count, Packed, WindowOptions, texts_of

Summarise = Callable[[Exchange, Ask, str], Awaitable[str]]
"""Asks a cheap model for a summary of turns that are left out; its call is booked on the exchange. "" if it failed."""


_NEAR = 0.6
"""Share of the room from which a provider may say that the prompt is too long, whatever we estimate."""
_REFUSED = 0.95
"""Share of what a provider refused that is surely less."""
_MODELS = 256
_AT_ONCE = 200
"""Messages that are packed where they stand: some milliseconds at most. Longer conversations go to a thread."""


class Windowed(Decision):
    """What was left out: cleared tool results, dropped and recalled turns, and the tokens that saves. Nothing, where
    only the provider can tell whether the prompt fits."""

    cleared: int = 0
    dropped: int = 0
    recalled: int = 0
    tokens: int = 0


_PACKED: Note[tuple[Packed, Ask]] = Note("window.packed")


class WindowStage(Stage, spec=WINDOW_STAGE):
    """Keeps conversations append-only until compaction pays or the model's context is full.

    Where the provider says that a prompt is too long although it was estimated to fit, or where the model's context is
    unknown, the conversation is compacted and asked once more, and the model's room is remembered. What cannot be
    compacted ends with an error that names the tokens and the fix.

    `summarise` (optional) is asked once for each time turns are dropped, not with each request.
    """

    def __init__(self, prices: Prices, options: WindowOptions, summarise: Summarise | None = None) -> None:
        self._prices = prices
        self.needs = TALK if options.recent >= 1 else 0
        self._window = Window(options)
        self._summarise = summarise
        self._too_long: dict[str, int] = {}
        """Estimated tokens of the shortest prompt that each model refused as too long."""

    async def decide(self, exchange: Exchange, ask: Ask) -> Windowed | None:
        """None when everything stays."""
        request = exchange.request
        if len(request.messages) <= self._window.options.recent:
            return None
        count = counter(self._prices, exchange)
        packed = await self._pack(exchange, count, self._limit(exchange))
        if not packed.cleared and not packed.dropped:
            room = self._limit(exchange)
            if room and self._prices.prompt(request, exchange.target) < _NEAR * room:
                return None
            exchange.stage_notes[_PACKED] = (packed, ask)
            return Windowed(needed=True, reason="only the provider can tell whether it fits")
        exchange.stage_notes[_PACKED] = (packed, ask)
        limit = self._limit(exchange)
        saved = _tokens(request.messages, count) - _tokens(packed.messages, count)
        return Windowed(
            cleared=packed.cleared,
            dropped=packed.dropped,
            recalled=packed.recalled,
            tokens=round(saved),
            would_save=worth(self._prices, exchange, saved),
            needed=packed.over or not limit or self._prices.prompt(request, exchange.target) >= _NEAR * limit,
            reason=f"{packed.cleared} cleared, {packed.dropped} dropped, {packed.recalled} recalled",
        )

    async def _pack(self, exchange: Exchange, count: Count, limit: int) -> Packed:
        """Packs; a long conversation in a thread, since others must not wait for it."""
        request = exchange.request

        def pack() -> Packed:
            layout = Layout(replace(request, messages=request.messages[:0]))
            return self._window.pack(
                _session(exchange),
                request.messages,
                count,
                prices=cache_prices(self._prices, exchange),
                lead=sum(count(text) for text in layout.texts),
                limit=limit,
                question=exchange.original.question,
                plain=exchange.original.messages,
                tools=request.tools,
            )

        if len(request.messages) <= _AT_ONCE:
            return pack()
        return await exchange.clock.work("window", len(request.messages), pack)

    def _limit(self, exchange: Exchange) -> int:
        """The model's room, what it refused before, and what an experiment's arm allows; 0: unknown."""
        arm = round(arm_setting(exchange, "window.limit", 0, 0, 1e9))
        known = self._too_long.get(exchange.target.model, 0)
        return min((bound for bound in (arm, room(self._prices, exchange), known) if bound), default=0)

    async def apply(self, decision: Windowed, exchange: Exchange, onward: Onward) -> Answer:
        """Sends what stays, and says so; compacts what turns out to be too long."""
        packed, ask = exchange.stage_notes.pop(_PACKED)
        before = exchange.request
        if packed.cleared or packed.dropped:
            await self._send(decision, exchange, exchange, packed, ask)
        try:
            return await onward(exchange)
        except Failure as failure:
            if failure.kind != "context_overflow" or exchange.committed:
                raise
            return await self._again(failure, before, exchange, onward, ask)

    def preview(self, decision: Windowed, exchange: Exchange) -> Request | None:
        """The conversation with what stays; None where a summary would have to be asked for."""
        packed, _ = exchange.stage_notes.pop(_PACKED)
        return replace(exchange.request, messages=packed.messages) if self._summarise is None else None

    async def _again(self, failure: Failure, before: Request, exchange: Exchange, onward: Onward, ask: Ask) -> Answer:
        """The same conversation, compacted to less than what the provider refused."""
        model = exchange.target.model
        sent = self._prices.prompt(exchange.request, exchange.target)
        branch = exchange.branch("the prompt was too long for the model", purpose="retry", payer=self.name)
        branch.request = before
        count = counter(self._prices, branch)
        packed = await self._pack(branch, count, round(_REFUSED * sent))
        saved = _tokens(exchange.request.messages, count) - _tokens(packed.messages, count)
        if saved <= 0:
            raise Failure(
                "context_overflow",
                f"the prompt has about {sent} tokens, more than {model} takes, and holds no earlier turns to leave out",
                field="messages",
                fix="shorten the last turn, the system prompt or the tools, or ask a model with a larger context",
                upstream_status=failure.upstream_status,
            ) from failure
        if len(self._too_long) < _MODELS or model in self._too_long:
            self._too_long[model] = min(sent, self._too_long.get(model, sent))
        reason = f"too long for the model: {packed.dropped} dropped, {packed.recalled} recalled"
        done = Windowed(
            cleared=packed.cleared, dropped=packed.dropped, recalled=packed.recalled, tokens=round(saved), reason=reason
        )
        await self._send(done, exchange, branch, packed, ask)
        answer = await onward(branch)
        exchange.adopt(branch)
        return answer

    async def _send(self, decision: Windowed, exchange: Exchange, there: Exchange, packed: Packed, ask: Ask) -> None:
        if self._summarise is not None and packed.lost:
            summary = await self._summarise(exchange, ask, "\n".join(packed.lost))
            if summary:
                packed = self._window.summarised(_session(exchange), there.request.messages, packed, summary)
        there.request = replace(there.request, messages=packed.messages)
        there.note(f"window={decision.reason}")


def _session(exchange: Exchange) -> str:
    return f"{exchange.context.tenant}\x00{exchange.context.session or ''}"


def _tokens(messages: tuple[Message, ...], count: Count) -> float:
    return sum(count(text) for message in messages for text in texts_of(message) if text)
