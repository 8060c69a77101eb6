"""What a call may cost at worst, before it is made: the reservation of a budget.

Prompt tokens: what the estimator says that 95 % of such prompts stay below, times `SAFETY`, and never more than one a
byte (tokenizers of today work on bytes); `MARKUP` and `TOOLS` for what providers put around turns and tools. Each is
priced at the dearest way a prompt may be billed, which includes writing it to the provider's prompt cache. Answer
tokens: the request's own limit, else the model's, for each choice that was asked for.

Not in it: fees of tools that run at the provider (web searches). They are settled when the provider reports them.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from hapenny.catalog import Card, amount
from hapenny.core.calls import Target
from hapenny.core.events import Tokens
from hapenny.core.messages import Request
from hapenny.telemetry.pricing import Meter, Prices

SAFETY = 1.5
MARKUP = 64
"""Tokens that turns may cost beside their text."""
TOOLS = 1_024
"""Tokens that providers put before a prompt with tools."""
LONGEST = 128_000
"""Tokens of the longest answer of a model whose limit the catalog does not know: what today's largest models write."""


class Worst(Struct, frozen=True):
    """An upper bound. `cost` is in nano-dollars; None: the price is not known."""

    tokens: int
    cost: int | None


def of_request(prices: Prices, request: Request, target: Target, wall: float) -> Worst:
    """The bound of a model call."""
    place, layout = prices.place(target), prices.layout(request)
    counted = place.upper(layout, "").input
    media = round(4 * layout.media * place.media)
    # As bytes of UTF-8 a character is four at most.
    bound = min(round(SAFETY * counted), 4 * layout.size) + MARKUP + (TOOLS if request.tools else 0) + media
    card = place.card
    output = request.parameters.max_tokens or (card.max_output if card is not None else None) or LONGEST
    return of_tokens(prices, target, Tokens(input=bound, output=output * max(1, request.parameters.n or 1)), wall)


def of_tokens(prices: Prices, target: Target, most: Tokens, wall: float) -> Worst:
    """The bound of a call that uses `most` at most."""
    if prices.owned(target):
        return Worst(most.prompt + most.output, 0)
    return Worst(most.prompt + most.output, dearest(prices.place(target), target.service_tier, most, wall))


def dearest(place: Meter, tier: str, most: Tokens, wall: float) -> int | None:
    """The most that so many tokens may be billed; None: the price is not known."""
    rates = place.rates(tier, wall)
    if rates is None or (rates.input is None and rates.query is None):
        return None
    ways = [most]
    if rates.cache_write is not None:
        ways.append(replace(most, input=0, cache_write=most.input))
    if rates.cache_write_1h is not None:
        ways.append(replace(most, input=0, cache_write_1h=most.input))
    priced = [amount(rates, way, card=place.card) for way in ways]
    known = [cost for cost in priced if cost is not None]
    return max(known) if known else None


def of_card(card: Card | None, body: bytes, most: int | None, unseen: bool) -> tuple[int, int] | None:
    """Most tokens of prompt and answer of a request that is passed on as it is; None: they cannot be bounded.

    Args:
        card: of its model.
        body: as it is sent.
        most: the limit of the answer that it sets.
        unseen: whether more than the body goes into the prompt (stored turns, files, images by address).
    """
    if card is None or card.kind not in ("chat", "embedding"):
        return None
    if unseen and not card.context_window:
        return None
    prompt = int(card.context_window or 0) if unseen else len(body) + MARKUP
    if card.kind == "embedding":
        return prompt, 0
    return prompt, most or card.max_output or LONGEST
