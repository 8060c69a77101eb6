"""The prose stage: the system prompt, examples and earlier answers without what they say twice.

Closed until pairs of one's own traffic, answered with the short prompt and with the whole one, show that answers stay
as good (`hapenny.evidence.opening`). The last turn is never touched, nor are the customer's own words.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TypeGuard

import msgspec
from msgspec.structs import replace

from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Block, Request, Text
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
    """A request as it is sent, and its texts that changed: as they came, and as they are sent."""

    request: Request
    changed: tuple[tuple[str, str], ...]


_PROSE: Note[Request] = Note("prose.request")


class ProseStage(Stage, spec=PROSE_STAGE):
    """Says each thing once in the instructions, the examples and the earlier answers of a request."""

    needs = INSTRUCTED | TALK

    def __init__(self, prices: Prices, options: ProseOptions) -> None:
        self._prices, self._options = prices, options
        self._known: OrderedDict[tuple[str, ...], tuple[str, ...]] = OrderedDict()
        """Texts as they come -> as they are sent."""

    async def decide(self, exchange: Exchange, ask: Ask) -> Shortened | None:
        """None where nothing goes, too little, or so much that the provider would cache the prompt no more."""
        request = exchange.request
        short = self._short(request)
        if not short.changed:
            return None
        count = counter(self._prices, exchange)
        before, after = (sum(count(pair[place]) for pair in short.changed) for place in (0, 1))
        if before - after < self._options.least or self._uncached(exchange, before - after):
            return None
        exchange.stage_notes[_PROSE] = short.request
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
        texts = tuple(block.text for block in _prose(request))
        sent = self._known.get(texts)
        if sent is None:
            said = Said()
            sent = self._known[texts] = tuple(shorter(text, said) for text in texts)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(texts)
        changed = tuple((came, goes) for came, goes in zip(texts, sent, strict=True) if came != goes)
        return _Short(_with(request, iter(sent)) if changed else request, changed)


def _prose(request: Request) -> list[Text]:
    """The blocks that may be shortened: of the system prompt, and of the model's earlier answers."""
    blocks = list(request.system)
    for message in request.messages[:-1]:
        if message.role == "assistant":
            blocks.extend(message.content)
    return [block for block in blocks if _eligible(block)]


def _eligible(block: Block) -> TypeGuard[Text]:
    return isinstance(block, Text) and not block.citations


def _with(request: Request, sent: Iterator[str]) -> Request:
    """The request with these texts in the places of `_prose`."""

    def take(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
        return tuple(replace(block, text=next(sent)) if _eligible(block) else block for block in blocks)

    system = take(request.system)
    messages = tuple(
        replace(message, content=take(message.content)) if message.role == "assistant" else message
        for message in request.messages[:-1]
    )
    return replace(request, system=system, messages=(*messages, *request.messages[-1:]))
