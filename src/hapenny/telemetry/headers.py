"""What an answer says about itself in response headers, and in the trailer of a stream (design §3.10).

`Cache-Status` is RFC 9211, `Age` RFC 9111, `Server-Timing` W3C Server Timing; the rest is `x-hapenny-*`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from hapenny.core.exchange import CacheFact, Exchange
from hapenny.core.latency import BUDGET
from hapenny.core.money import NANO, Totals, dollars

_FORWARDED = {
    "": "miss",
    "miss": "miss",
    "stale": "stale",
    "no-cache": "request",
    "max-age": "request",
    "no-store": "bypass",
    "bypass": "bypass",
}
_UNSAFE = re.compile(r"[^\x20-\x7e]+")
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*")
MAX_VALUE = 1_000


def at_commit(exchange: Exchange) -> dict[str, str]:
    """Headers known when the first byte goes out: for streams, and the first part of any answer's."""
    headers = {
        "x-request-id": exchange.id,  # our own
        "x-hapenny-route": safe(exchange.route),
        "x-hapenny-model": safe(served_model(exchange)),
        "Cache-Status": cache_status(exchange.cache),
        "Cache-Control": "private, no-store",
    }
    cache = exchange.cache
    if cache is not None and cache.hit and cache.age is not None:
        headers["Age"] = str(max(0, int(cache.age)))
    timing = server_timing(exchange)
    if timing:
        headers["Server-Timing"] = timing
    if exchange.answer.certificate:
        headers["x-hapenny-certificate"] = safe(exchange.answer.certificate)
    if exchange.notes:
        headers["x-hapenny-notes"] = safe("; ".join(exchange.notes))
    return headers


def at_end(exchange: Exchange, money: Totals) -> dict[str, str]:
    """What `at_commit` could not know yet. Amounts are dollars with nine decimals, or `unknown`."""
    return {
        "x-hapenny-model": safe(served_model(exchange)),
        "x-hapenny-cost": amount(money.actual),
        "x-hapenny-saved": amount(money.saved),
    }


def totals(exchange: Exchange, money: Totals) -> bytes:
    """The totals of a stream as one line of JSON, for an SSE comment or a private event-stream event."""
    tokens = exchange.adopted.tokens if exchange.adopted is not None else None
    body: dict[str, object] = {
        "request_id": exchange.id,
        "route": exchange.route,
        "model": served_model(exchange),
        "cost_usd": amount(money.actual),
        "saved_usd": amount(money.saved),
        "savings_usd": _shown(money.savings) if money.savings else {},
    }
    if tokens is not None:
        body["tokens"] = tokens
    if exchange.notes:
        body["notes"] = exchange.notes
    return msgspec.json.encode(body)


def _shown(savings: Mapping[str, int]) -> dict[str, str]:
    return {technique: dollars(nano, 9) for technique, nano in savings.items() if nano}


def served_model(exchange: Exchange) -> str:
    """Who answered: the adopted call's model, what a cache remembered, else the present target."""
    if exchange.adopted is not None:
        return exchange.adopted.target.model
    return exchange.answer.model or exchange.target.model


def amount(nano: int | None) -> str:
    """Dollars with nine decimals: nothing is rounded away."""
    if nano is None:
        return "unknown"
    return f"{nano // NANO}.{nano % NANO:09d}" if nano >= 0 else dollars(nano, 9)


def cache_status(fact: CacheFact | None) -> str:
    """`Cache-Status` (RFC 9211): a hit with its layer and remaining lifetime, or why the request went forward."""
    if fact is None:
        return "hapenny; fwd=bypass"
    parts = ["hapenny"]
    if fact.hit:
        parts.append("hit")
        detail = fact.layer + (f"/{fact.detail}" if fact.detail else "")
    else:
        parts.append(f"fwd={_FORWARDED.get(fact.detail, 'miss')}")
        detail = fact.layer if fact.detail in _FORWARDED else f"{fact.layer}/{fact.detail}"
        if fact.collapsed:
            parts.append("collapsed")
        if fact.stored:
            parts.append("stored")
    if fact.ttl is not None:
        parts.append(f"ttl={int(fact.ttl)}")
    if fact.key:
        parts.append(f'key="{fact.key if fact.key.isalnum() else _string(fact.key)}"')
    if detail:
        parts.append(_detail(detail))
    return "; ".join(parts)


@lru_cache(256)
def _detail(text: str) -> str:
    return f"detail={text}" if _TOKEN.fullmatch(text) else f'detail="{_string(text)}"'


def server_timing(exchange: Exchange) -> str:
    """Milliseconds: each stage's decision, the wait before the first call, upstream's first content, the whole. Where
    the route has a deadline, also each step of the budget (`step_…`), what is left, and what was done to keep it."""
    spent: dict[str, float] = {}
    for taken in exchange.decisions:
        if taken.seconds >= 5e-6:
            spent[taken.stage] = spent.get(taken.stage, 0.0) + taken.seconds
    parts: list[str] = []
    for name, seconds in spent.items():
        parts.append(f"{name};dur={seconds * 1e3:.2f}")
    adopted = exchange.adopted
    if adopted is not None:
        parts.append(f"queue;dur={(adopted.started - exchange.arrived) * 1e3:.2f}")
        if adopted.began is not None:
            parts.append(f"upstream;dur={(adopted.began - adopted.started) * 1e3:.2f}")
    end = exchange.finished if exchange.finished is not None else exchange.clock.now()
    parts.append(f"total;dur={(end - exchange.arrived) * 1e3:.2f}")
    budget = exchange.stage_notes.get(BUDGET)
    if budget is not None:
        parts += [f"step_{step};dur={seconds * 1e3:.2f}" for step, seconds in budget.used(exchange).items()]
        parts.append(f"left;dur={budget.left(end) * 1e3:.2f}")
        if budget.reactions:
            parts.append(f'reactions;desc="{" ".join(budget.reactions)}"')
    return ", ".join(parts)


def safe(text: str) -> str:
    """`text` as a header value: printable ASCII, bounded."""
    return _safe(text if len(text) <= MAX_VALUE else text[: 2 * MAX_VALUE])


@lru_cache(4_096)
def _safe(text: str) -> str:
    """Of a text that is bounded already: what is remembered by it would hold what a client sent, however long."""
    if text.isascii() and text.isprintable() and len(text) <= MAX_VALUE:  # nearly always
        return text
    return _UNSAFE.sub("?", text)[:MAX_VALUE]


def _string(text: str) -> str:
    return safe(text).replace("\\", "\\\\").replace('"', '\\"')
