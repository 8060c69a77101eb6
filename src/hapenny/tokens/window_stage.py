"""The window stage: what stays of a long conversation, decided by prompt-cache prices and the model's room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Message
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.telemetry.layout import Layout
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.money import cache_prices, counter, room, worth
from hapenny.tokens.pack import Window
from hapenny.tokens.window import Count, WindowOptions, texts_of

Summarise = Callable[[Exchange, Ask, str], Awaitable[str]]
"""Asks a cheap model for a summary of turns that are left out; its call is booked on the exchange. "" if it failed."""


class Windowed(Decision):
    """What was left out: cleared tool results, dropped and recalled turns, and the tokens that saves."""

    cleared: int = 0
    dropped: int = 0
    recalled: int = 0
    tokens: int = 0


class WindowStage(Stage):
    """Keeps conversations append-only until compaction pays or the model's context is full.

    `summarise` (optional) is asked once for each time turns are dropped, not with each request.
    """

    name = "window"

    def __init__(self, prices: Prices, options: WindowOptions, summarise: Summarise | None = None) -> None:
        self._prices = prices
        self._window = Window(options)
        self._summarise = summarise

    async def decide(self, exchange: Exchange, ask: Ask) -> Windowed | None:
        """None when everything stays."""
        request = exchange.request
        if len(request.messages) <= self._window.options.recent:
            return None
        count = counter(self._prices, exchange)
        layout = Layout(replace(request, messages=request.messages[:0]))
        context = exchange.context
        session = f"{context.tenant}\x00{context.session or ''}"
        packed = self._window.pack(
            session,
            request.messages,
            count,
            prices=cache_prices(self._prices, exchange),
            lead=sum(count(text) for text in layout.texts),
            limit=room(self._prices, exchange),
            question=request.question,
            plain=exchange.original.messages,
        )
        if not packed.cleared and not packed.dropped:
            return None
        exchange.memo[self.name] = (session, packed, ask)
        saved = _tokens(request.messages, count) - _tokens(packed.messages, count)
        return Windowed(
            cleared=packed.cleared,
            dropped=packed.dropped,
            recalled=packed.recalled,
            tokens=round(saved),
            would_save=worth(self._prices, exchange, saved),
            reason=f"{packed.cleared} cleared, {packed.dropped} dropped, {packed.recalled} recalled",
        )

    async def apply(self, decision: Windowed, exchange: Exchange, onward: Onward) -> Answer:
        """Sends what stays, and says so."""
        session, packed, ask = exchange.memo.pop(self.name)
        if self._summarise is not None and packed.lost:
            summary = await self._summarise(exchange, ask, "\n".join(packed.lost))
            if summary:
                packed = self._window.summarised(session, exchange.request.messages, packed, summary)
        exchange.request = replace(exchange.request, messages=packed.messages)
        exchange.note(f"window={decision.reason}")
        exchange.facts["window_tokens"] = decision.tokens
        return await onward(exchange)


def _tokens(messages: tuple[Message, ...], count: Count) -> float:
    return sum(count(text) for message in messages for text in texts_of(message) if text)
