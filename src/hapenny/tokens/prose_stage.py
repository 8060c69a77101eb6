"""The prose stage: the system prompt, examples and earlier answers without what they say twice.

Closed until pairs of one's own traffic, answered with the short prompt and with the whole one, show that answers stay
as good (`hapenny.evidence.opening`). The last turn is never touched, nor are the customer's own words.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from msgspec.structs import replace

from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Block, Message, Request, Text
from hapenny.core.notes import Note
from hapenny.core.shape import INSTRUCTED, TALK
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.money import cache_prices, counter, worth
from hapenny.tokens.options import PROSE_STAGE, ProseOptions
from hapenny.tokens.prose import Said, shorter

_REMEMBERED = 512


class Shortened(Decision):
    """Tokens of prose before and after."""

    before: int = 0
    after: int = 0


class _Short(msgspec.Struct, frozen=True):
    """A request's texts as they are sent."""

    system: tuple[Block, ...]
    messages: tuple[Message, ...]
    texts: tuple[tuple[str, str], ...]
    """Those that changed: as they came, as they are sent."""


_PROSE: Note[Request] = Note("prose.request")


class ProseStage(Stage, spec=PROSE_STAGE):
    """Says each thing once in the instructions, the examples and the earlier answers of a request."""

    needs = INSTRUCTED | TALK

    def __init__(self, prices: Prices, options: ProseOptions) -> None:
        self._prices, self._options = prices, options
        self._known: OrderedDict[int, _Short] = OrderedDict()

    async def decide(self, exchange: Exchange, ask: Ask) -> Shortened | None:
        """None where nothing goes, too little, or so much that the provider would cache the prompt no more."""
        request = exchange.request
        short = self._short(request)
        if not short.texts:
            return None
        count = counter(self._prices, exchange)
        before, after = (sum(count(pair[place]) for pair in short.texts) for place in (0, 1))
        if before - after < self._options.least or self._uncached(exchange, before - after):
            return None
        exchange.stage_notes[_PROSE] = replace(request, system=short.system, messages=short.messages)
        return Shortened(
            before=round(before),
            after=round(after),
            would_save=worth(self._prices, exchange, before - after),
            reason=f"{round(after)} of {round(before)} tokens of prose",
        )

    async def apply(self, decision: Shortened, exchange: Exchange, onward: Onward) -> Answer:
        """Sends what stays, and says so."""
        exchange.note(f"prose={decision.reason}")
        exchange.request = exchange.stage_notes.pop(_PROSE)
        return await onward(exchange)

    def preview(self, decision: Shortened, exchange: Exchange) -> Request:
        """The request with what stays."""
        return exchange.stage_notes.pop(_PROSE)

    def _uncached(self, exchange: Exchange, saved: float) -> bool:
        """Whether the prompt would fall below what the provider caches, and reading all of it from the cache costs
        less than sending what is left."""
        prices = cache_prices(self._prices, exchange)
        if prices is None:
            return False
        whole = self._prices.prompt(exchange.request, exchange.target)
        left = whole - saved
        return whole >= prices.minimum > left and whole * prices.read < left

    def _short(self, request: Request) -> _Short:
        key = hash((request.system, request.messages[:-1]))
        known = self._known.get(key)
        if known is None or (known.messages[:-1] and len(known.messages) != len(request.messages)):
            known = self._known[key] = _shortened(request)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return replace(known, messages=(*known.messages[:-1], *request.messages[-1:]))


def _shortened(request: Request) -> _Short:
    said = Said()
    texts: list[tuple[str, str]] = []

    def take(block: Block) -> Block:
        if not isinstance(block, Text) or block.citations:
            return block
        short = shorter(block.text, said)
        if short is block.text or short == block.text:
            return block
        texts.append((block.text, short))
        return replace(block, text=short)

    system = tuple(take(block) for block in request.system)
    messages = tuple(
        replace(message, content=tuple(map(take, message.content))) if message.role == "assistant" else message
        for message in request.messages[:-1]
    )
    return _Short(system, (*messages, *request.messages[-1:]), tuple(texts))
