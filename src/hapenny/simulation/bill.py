"""The provider's own bill, in exact fractions of a dollar.

It shares no code with the catalog's `price()`: it reads the raw data file by itself and multiplies fractions, so that
an error in either shows up as a difference.
"""

from __future__ import annotations

import json
import re
from collections import deque
from fractions import Fraction
from functools import cache
from typing import Any

from msgspec import Struct

from hapenny.catalog.catalog import DATA
from hapenny.core.events import Tokens

_PICO = Fraction(1, 10**12)
GUARDRAIL = "amazon.bedrock-guardrails"
"""What the bill calls guardrails that are asked by themselves."""
_TEXT_UNITS = {
    "guardrail_content": Fraction("0.00015"),
    "guardrail_topic": Fraction("0.00015"),
    "guardrail_pii": Fraction("0.0001"),
}
"""Dollars a text unit by policy, as the price list has them."""


class Line(Struct, frozen=True, kw_only=True):
    """One billed call. `dollars` None: the price list has no price."""

    id: str
    model: str
    called: str
    """The model's name as called: profile or ARN."""
    service_tier: str
    place: str
    outcome: str
    tokens: Tokens
    dollars: Fraction | None
    at: float
    """Epoch seconds of its end."""

    @property
    def nano(self) -> int | None:
        """The line as printed: nano-dollars, ties to even."""
        return None if self.dollars is None else round(self.dollars * 10**9)


class Bill:
    """Lines and their sum. Lines beyond `keep` are dropped from the list, never from the sums."""

    def __init__(self, keep: int = 100_000) -> None:
        self.lines: deque[Line] = deque(maxlen=keep)
        self.total = Fraction(0)
        """The exact sum in dollars."""
        self.nano = 0
        """The sum of the printed lines, nano-dollars."""
        self.calls = 0
        self.unpriced = 0

    def add(
        self, *, id: str, model: str, called: str, region: str, service_tier: str, tokens: Tokens, outcome: str,
        at: float = 0.0,
    ) -> Line:  # fmt: skip
        """Bills one call. `called` is the model's name as called: a profile prefix decides the price list."""
        tier = {"default": "standard", "auto": "standard", "": "standard"}.get(service_tier, service_tier)
        place = _place(called, region)
        line = Line(
            id=id,
            model=model,
            called=called,
            service_tier=tier,
            place=place,
            outcome=outcome,
            tokens=tokens,
            dollars=_dollars(model, place, tier, tokens),
            at=at,
        )
        self.lines.append(line)
        self.calls += 1
        if line.dollars is None:
            self.unpriced += 1
        else:
            self.total += line.dollars
            self.nano += line.nano or 0
        return line


def record(line: Line) -> dict[str, Any]:
    """A line as plain data: the provider's own record of a call."""
    tokens = line.tokens
    return {
        "id": line.id, "model": line.model, "called": line.called, "service_tier": line.service_tier,
        "place": line.place, "outcome": line.outcome, "input": tokens.input, "output": tokens.output,
        "cache_read": tokens.cache_read, "cache_write": tokens.cache_write, "cache_write_1h": tokens.cache_write_1h,
        "nano": line.nano, "at": line.at,
    }  # fmt: skip


@cache
def _list_prices() -> dict[str, Any]:
    cards = json.loads(DATA.read_text(encoding="utf-8"))["cards"]
    return {card["id"]: card["prices"] for card in cards if "prices" in card}


def _place(called: str, region: str) -> str:
    name = called.rsplit("/", 1)[-1] if called.startswith("arn:") else called
    prefix = re.match(r"(global|us-gov|us|eu|apac|jp|au|in)\.", name)
    if prefix is None:
        return f"in_region:{region}"
    return "global" if prefix[1] == "global" else f"geo:{prefix[1]}"


def _dollars(model: str, place: str, tier: str, tokens: Tokens) -> Fraction | None:
    if model == GUARDRAIL:
        return sum((count * _TEXT_UNITS[unit] for unit, count in tokens.units), Fraction(0))
    if tier in ("provisioned", "owned"):
        return Fraction(0)  # paid by the hour, not by the call
    lists = _list_prices().get(model, {})
    if place not in lists and place.startswith("in_region:") and "us-gov" not in place:
        place = "in_region"
    rates = lists.get(place, {}).get(tier)
    if rates is None:
        return None
    prompt = tokens.input + tokens.cache_read + tokens.cache_write + tokens.cache_write_1h
    if "long" in rates and prompt > rates["long_over"]:
        rates = rates["long"]
    if tokens.queries:  # a reranking model is paid by the query alone
        return tokens.queries * Fraction(rates["query"]) * _PICO if "query" in rates else None
    total = Fraction(0)
    for name in ("input", "output", "cache_read", "cache_write", "cache_write_1h"):
        count = getattr(tokens, name)
        if count == 0:
            continue
        if name not in rates:
            return None
        total += count * Fraction(rates[name]) * _PICO
    return total
