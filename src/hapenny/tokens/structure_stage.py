"""The structure stage: tool results in their smallest lossless form, equal ones said once. Cannot change an answer's
facts: whatever is sent reads back to exactly what came."""

from __future__ import annotations

from msgspec.structs import replace

from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Message, ToolUse
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.lossless import Shrinker
from hapenny.tokens.money import counter, worth
from hapenny.tokens.options import StructureOptions
from hapenny.tokens.window import Count, WindowOptions, append_only, texts_of


class Structured(Decision):
    """How many tool results were written shorter, how many refer to an equal one, and the tokens that saves."""

    shortened: int = 0
    references: int = 0
    tokens: int = 0


class StructureStage(Stage):
    """Rewrites each tool result once and for all: the same result has the same bytes in every later request."""

    name = "structure"

    def __init__(
        self, prices: Prices, options: StructureOptions, window: WindowOptions, shrink: Shrinker | None = None
    ) -> None:
        self._prices = prices
        self._options = options
        self._window = window
        self._shrink = shrink or Shrinker(compact_forms=options.compact)

    async def decide(self, exchange: Exchange, ask: Ask) -> Structured | None:
        """None when no tool result gets shorter."""
        messages = exchange.request.messages
        if not any(message.role == "tool" or message.role == "user" for message in messages):
            return None
        count = counter(self._prices, exchange)
        untouched = _calls_of(messages, self._options.tools_untouched)
        packed, shortened, references = append_only(messages, self._shrink, count, self._window, untouched)
        if not shortened and not references:
            return None
        exchange.memo[self.name] = tuple(packed)
        saved = sum(count(text) for message in messages for text in texts_of(message) if text) - sum(
            count(text) for message in packed for text in texts_of(message) if text
        )
        return Structured(
            shortened=shortened,
            references=references,
            tokens=round(saved),
            would_save=worth(self._prices, exchange, saved),
            reason=f"{shortened} shortened, {references} referred",
        )

    async def apply(self, decision: Structured, exchange: Exchange, onward: Onward) -> Answer:
        """Sends the shorter messages."""
        messages: tuple[Message, ...] = exchange.memo.pop(self.name)
        exchange.request = replace(exchange.request, messages=messages)
        exchange.facts["structure_tokens"] = decision.tokens
        return await onward(exchange)


def structured(
    messages: tuple[Message, ...], count: Count, options: StructureOptions, window: WindowOptions
) -> tuple[list[Message], int, int]:
    """What the stage would send for `messages`, how many results it shortened and how many it referred."""
    shrink = Shrinker(compact_forms=options.compact)
    return append_only(messages, shrink, count, window, _calls_of(messages, options.tools_untouched))


def _calls_of(messages: tuple[Message, ...], names: tuple[str, ...]) -> frozenset[str]:
    if not names:
        return frozenset()
    return frozenset(
        block.id
        for message in messages
        for block in message.content
        if isinstance(block, ToolUse) and block.name in names
    )
