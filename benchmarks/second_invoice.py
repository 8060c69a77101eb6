"""A second invoice: the provider's own record of calls at somebody else's prices, held against our ledger.

The first invoice, the simulator's bill, reads the same price list as we do and so checks arithmetic alone. This one
prices the same calls with genai-prices (PyPI, MIT), which shares neither code nor data with us, so that a wrong price
shows as well. Calls whose usage the provider reported must agree to the nano-dollar, but where a disagreement of the
two tables is listed with our reason (`benchmarks.catalog`); calls that were cancelled or cut are estimated in the
ledger, and must never stand below what the provider billed, nor far above it in sum.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any, NamedTuple

from genai_prices import Usage, calc_price, data_snapshot
from genai_prices.types import ModelInfo

from benchmarks.catalog.compare import Disagreement, compare
from benchmarks.catalog.listings import Genai
from hapenny.catalog import SERVICE_TIERS, default

_COUNTS = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
_CONTEXT = {"standard": None, "batch": {"processing": "batch"}, "priority": {"service_tier": "priority"},
            "flex": {"service_tier": "flex"}, "fast_mode": {"speed": "fast"}}  # fmt: skip
_LATE = 60.0
"""Seconds by which the provider's end of a cut call and ours may differ and still be the same call."""


class Booked(NamedTuple):
    """A call as our ledger has it."""

    model: str
    service_tier: str
    counts: tuple[int, ...]
    cost: int | None
    provenance: str
    ended: float


def second_invoice(calls: Iterable[Mapping[str, Any]], ledger: str) -> dict[str, Any]:
    """Holds a ledger file against the provider's record of calls.

    Args:
        calls: as the simulator shows them at `/simulate/calls` (`hapenny.simulation.bill.record`).
        ledger: path of the SQLite file, all of its rows written.

    Returns:
        compared_share: share of the money on calls whose price the foreign table holds.
        unexplained_diff_nano: sum of all differences on reported calls without a listed reason, with calls that only
            one side knows.
        disagreements: listed ones that were met: model, place, tier, rates, reason, calls, diff_nano.
        reported, estimated: calls and nano-dollars of both sides; of the estimated also how many stand below the
            provider's and by which share their sum stands above.
    """
    booked = read(ledger)
    lines = list(calls)
    by_key: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        by_key[_key(line["called"], line["service_tier"], [line[name] for name in _COUNTS])].append(number)
    ours = theirs = compared = unexplained = total = 0
    met: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    estimated: list[Booked] = []
    reported = 0
    for call in booked:
        if call.provenance != "reported":
            estimated.append(call)
            continue
        if not any(call.counts):
            continue  # refused: nobody bills it
        reported += 1
        cost = call.cost or 0
        total += cost
        twins = by_key.get(_key(call.model, call.service_tier, call.counts))
        if not twins:
            unexplained += cost  # we paid for what the provider does not know
            continue
        number = min(twins, key=lambda each: abs(call.ended - lines[each]["at"]))  # a lost attempt may look the same
        twins.remove(number)
        line, lines[number] = lines[number], {}
        price = foreign(line)
        if price is None:
            continue
        ours, theirs, compared = ours + cost, theirs + price, compared + cost
        if price == cost:
            continue
        where = listed(line)
        if where is None:
            unexplained += abs(price - cost)
        else:
            met[where][0] += 1
            met[where][1] += cost - price
    cut = _estimates(estimated, [line for line in lines if line])
    total += cut.ours
    compared += cut.ours
    return {
        "compared_share": round(compared / total, 4) if total else 0.0,
        "unexplained_diff_nano": unexplained + cut.lost,
        "disagreements": [_described(where, *sums) for where, sums in sorted(met.items())],
        "reported": {"calls": reported, "ours_nano": ours, "theirs_nano": theirs},
        "estimated": {
            "calls": len(estimated), "paired": cut.paired, "ours_nano": cut.ours, "theirs_nano": cut.theirs,
            "below": cut.below, "over_share": round(cut.ours / cut.theirs - 1, 4) if cut.theirs else 0.0,
        },
    }  # fmt: skip


def read(ledger: str) -> list[Booked]:
    """All calls of a ledger file."""
    connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    try:
        return [
            Booked(model, tier, tuple(counts), cost, provenance, wall + (ended or started))
            for model, tier, cost, provenance, wall, started, ended, *counts in connection.execute(
                "SELECT c.model, c.service_tier, c.cost, c.provenance, r.wall, c.started, c.ended,"
                f" {', '.join('c.' + name for name in _COUNTS)} FROM calls c JOIN requests r ON r.seq = c.request"
            )
        ]
    finally:
        connection.close()


def foreign(line: Mapping[str, Any]) -> int | None:
    """What a call costs by the foreign table, nano-dollars; None: it does not hold this price."""
    entry = _entry(line["called"], line["place"])
    tier = line["service_tier"]
    if entry is None or tier not in _CONTEXT:
        return None
    provider, name, model = entry
    context = _CONTEXT[tier]
    if context is not None and not any(variant.when == context for variant in model.price_variants or ()):
        return None
    input, output, read, write, write_1h = (line[name] for name in _COUNTS)
    usage = Usage(
        input_tokens=input + read + write + write_1h,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=write + write_1h,
        cache_write_1h_tokens=write_1h,
    )
    found = calc_price(usage, name, provider_id=provider, price_context=context)
    return int((found.total_price * 10**9).quantize(Decimal(1), ROUND_HALF_EVEN))


@cache
def _entry(called: str, place: str) -> tuple[str, str, ModelInfo] | None:
    """Provider, name and entry of a model in the foreign table, by the vendor in its name."""
    name = called.rsplit("/", 1)[-1] if called.startswith("arn:") else called
    if "us-gov" in place:
        return None  # it keeps commercial prices alone
    vendor = "anthropic" if name.startswith("claude") else "openai" if name.startswith(("gpt-", "o1", "o3")) else "aws"
    snapshot = data_snapshot.get_snapshot()
    providers = {provider.id: provider for provider in snapshot.providers}
    model = providers[vendor].find_model(name.lower(), all_providers=snapshot.providers)
    return None if model is None else (vendor, name, model)


@cache
def _disagreements() -> dict[tuple[str, str, str], list[Disagreement]]:
    by_price: dict[tuple[str, str, str], list[Disagreement]] = defaultdict(list)
    for each in compare(default(), Genai()).disagreements:
        if each.reason:
            by_price[each.model, each.place, each.tier].append(each)
    return dict(by_price)


def listed(line: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The price of a call, if the tables are known to disagree on a rate that it used."""
    place = line["place"]
    used = {name for name in _COUNTS if line[name]}
    for where in ((line["model"], place, line["service_tier"]), (line["model"], "in_region", line["service_tier"])):
        if any(each.rate.removeprefix("long.") in used for each in _disagreements().get(where, ())):
            return where
        if not place.startswith("in_region:"):
            break
    return None


def _described(where: tuple[str, str, str], calls: int, difference: int) -> dict[str, Any]:
    each = _disagreements()[where]
    return {
        "model": where[0], "place": where[1], "tier": where[2], "rates": sorted({one.rate for one in each}),
        "reason": "; ".join(sorted({one.reason for one in each})), "calls": calls, "diff_nano": difference,
    }  # fmt: skip


class Cut(NamedTuple):
    """Estimates beside what the provider billed for the same calls; money in nano-dollars."""

    paired: int
    ours: int
    theirs: int
    below: int
    lost: int
    """What the provider billed for calls that our ledger does not know."""


def _estimates(booked: Sequence[Booked], lines: list[Mapping[str, Any]]) -> Cut:
    """Pairs our estimates with what is left of the provider's record: same model, nearest end."""
    pairs = sorted(
        (abs(call.ended - line["at"]), mine, other)
        for mine, call in enumerate(booked)
        for other, line in enumerate(lines)
        if call.model == line["called"] and abs(call.ended - line["at"]) <= _LATE
    )
    twin: dict[int, int] = {}
    taken: set[int] = set()
    for _, mine, other in pairs:
        if mine not in twin and other not in taken:
            twin[mine] = other
            taken.add(other)
    ours = theirs = below = 0
    for mine, call in enumerate(booked):
        price = _billed(lines[twin[mine]]) if mine in twin else 0
        cost = call.cost or 0
        ours, theirs, below = ours + cost, theirs + price, below + (cost < price)
    lost = sum(_billed(line) for number, line in enumerate(lines) if number not in taken)
    return Cut(len(twin), ours, theirs, below, lost)


def _billed(line: Mapping[str, Any]) -> int:
    """A line at the foreign price, or at the provider's own where the tables are known to disagree or it has none."""
    price = foreign(line) if listed(line) is None else None
    return price if price is not None else line["nano"] or 0


def _key(model: str, tier: str, counts: Sequence[int]) -> tuple[Any, ...]:
    return (model, SERVICE_TIERS.get(tier, tier), *counts)
