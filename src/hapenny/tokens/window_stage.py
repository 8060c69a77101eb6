"""The window stage: what stays of a long conversation, decided by prompt-cache prices and the model's room."""

from __future__ import annotations

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


class Windowed(Decision):
    """What was left out: cleared tool results, dropped and recalled turns, and the tokens that saves."""

    cleared: int = 0
    dropped: int = 0
    recalled: int = 0
    tokens: int = 0


class WindowStage(Stage):
    """Keeps conversations append-only until compaction pays or the model's context is full."""

    name = "window"

    def __init__(self, prices: Prices, options: WindowOptions) -> None:
        self._prices = prices
        self._window = Window(options)

    async def decide(self, exchange: Exchange, ask: Ask) -> Windowed | None:
        """None when everything stays."""
        request = exchange.request
        if len(request.messages) <= self._window.options.recent:
            return None
        count = counter(self._prices, exchange)
        layout = Layout(replace(request, messages=request.messages[:0]))
        context = exchange.context
        packed = self._window.pack(
            f"{context.tenant}\x00{context.session or ''}",
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
        exchange.memo[self.name] = packed.messages
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
        messages: tuple[Message, ...] = exchange.memo.pop(self.name)
        exchange.request = replace(exchange.request, messages=messages)
        exchange.note(f"window={decision.reason}")
        exchange.facts["window_tokens"] = decision.tokens
        return await onward(exchange)


def _tokens(messages: tuple[Message, ...], count: Count) -> float:
    return sum(count(text) for message in messages for text in texts_of(message) if text)
