"""Each technique by itself, and what it costs beside what it gains.

| technique | gain | price |
| --- | --- | --- |
| streaming | first content against the whole answer at once | none in tokens |
| small_model | the fast tier's whole answers against the strong one's | right answers lost, dollars saved |
| precomputed | a stored answer | bytes kept, dollars of asking ahead |
| parallel | parts side by side against in turn | tokens and dollars beyond one request |
| prompt_cache | first content behind a cached prefix against none | dollars of writes, before what reads save |
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.latency.settings import Played, Traffic, directly, quantile
from benchmarks.latency.worlds import Elsewhere, run
from hapenny.backends.simulated import SimulatedBackend
from hapenny.catalog import resolve
from hapenny.config import STAGES, Config, load
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.gateway.parallel import parallel
from hapenny.responsive.parallel import Part
from hapenny.simulation.card import Lineup
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.provider import Limit
from hapenny.simulation.tokenizer import tokenizer
from hapenny.studies.paired import compare

MESSAGES = 400
QUESTIONS = 200
COMPOUND, PARTS = 60, 4
PREFIXED = 60
_PREFIXES = 2.5
"""Length of the common prefix, in the least that the model's cache takes."""


def measure(lineup: Lineup, played: Traffic, seed: int) -> dict[str, Any]:
    """All techniques before one provider."""
    some = Traffic(played.population, [], played.measured[:MESSAGES])
    strong = directly(lineup, some, seed)
    side_by_side = _parallel(lineup, some, seed)
    return {
        "parallel": {name: side_by_side[name] for name in ("speedup", "of_ideal")},
        "techniques": {
            "streaming": _streaming(strong, directly(lineup, some, seed, stream=False)),
            "small_model": _small(strong, directly(lineup, some, seed, tier="fast"), some),
            "precomputed": _precomputed(lineup, some, seed),
            "parallel": side_by_side,
            "prompt_cache": _prompt_cache(lineup, seed),
        },
    }


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else 0.0


def _streaming(streamed: Played, whole: Played) -> dict[str, Any]:
    first = _mean([each.first for each in streamed.sent if each.first is not None])
    at_once = _mean([each.whole for each in whole.sent if not each.failure])
    return {
        "perceived_reduction": round(1 - first / at_once, 4),
        "claim": 0.8,
        "first_ms": round(first * 1e3, 1),
        "whole_ms": round(at_once * 1e3, 1),
        "price": {"extra_usd_share": round(streamed.bill / whole.bill - 1, 4)},
    }


def _small(strong: Played, fast: Played, played: Traffic) -> dict[str, Any]:
    slow = _mean([each.whole for each in strong.sent if not each.failure])
    quick = _mean([each.whole for each in fast.sent if not each.failure])
    ids = [message.item.id for message in played.measured]
    lost = compare(zip(ids, fast.right, strong.right, strict=True))
    return {
        "speedup": round(slow / quick, 3),
        "claim": [2, 5],
        "price": {
            "right_lost": round(-lost.difference, 4),
            "right_lost_interval": [round(-lost.high, 4), round(-lost.low, 4)],
            "usd_ratio": round(fast.bill / strong.bill, 4),
        },
    }


def _config(lineup: Lineup, *on: str, ledger: bool = True) -> Config:
    tiers = lineup.tiers()
    stages = {spec.name: "on" if spec.name in (*on, "throughput", "parameters") else "off" for spec in STAGES}
    route = {"baseline": "strong", "holdout": 0, "stages": stages, "cache_any_temperature": True}
    text = {
        "backends": {"aws": {"kind": "simulated"}}, "tiers": tiers, "routes": {"default": route},
        "ledger": {"path": ":memory:"} if ledger else None, "log_level": "error",
    }  # fmt: skip
    return load(text=json.dumps(text))


def _asked(text: str, system: str, model: str = "strong") -> Request:
    return Request(
        protocol="openai", model=model, system=(Text(system),), messages=(Message("user", (Text(text),)),),
        parameters=Parameters(max_tokens=600), stream=True,
    )  # fmt: skip


async def _waited(gateway: Gateway, request: Request) -> tuple[float, float]:
    """Seconds to the first content and to the end."""
    clock = gateway.clock
    began, first = clock.now(), None
    exchange = gateway.open(request, Context(tenant="shop"))
    answer = await gateway.answer(exchange)
    try:
        while await answer.read() is not None:
            first = clock.now() - began if first is None else first
    finally:
        answer.close()
        gateway.close(exchange)
    whole = clock.now() - began
    return whole if first is None else first, whole


def _precomputed(lineup: Lineup, played: Traffic, seed: int) -> dict[str, Any]:
    """Questions that were asked ahead, asked again."""
    distinct = {message.text: message for message in played.measured if not message.tools}
    messages = list(distinct.values())[:QUESTIONS]

    async def main(clock: VirtualClock) -> dict[str, Any]:
        provider = Elsewhere(clock, lineup, seed=seed, quotas={"*": Limit()})
        backends = {"aws": SimulatedBackend("aws", provider)}
        async with Gateway(_config(lineup, "exact"), clock=clock, backends=backends) as gateway:
            requests = []
            for message in messages:
                provider.truth.add(message.text, message.item, message.follows)
                requests.append(_asked(message.content, message.system))
                await gateway.complete(requests[-1], Context(tenant="shop"))
            paid, stats = provider.bill.nano, gateway.shared.answers.stats()
            times = [(await _waited(gateway, request))[1] for request in requests]
            kept = max(1, stats.entries)
            return {
                "p95_ms": quantile(times, 0.95),
                "p50_ms": quantile(times, 0.5),
                "claim": "near zero",
                "answered_without_a_model": round(1 - (provider.bill.nano - paid) / paid, 4),
                "price": {
                    "bytes_per_answer": round(stats.bytes / kept),
                    "usd_per_1000_answers": round(paid / 1e6 / kept, 4),
                },
            }

    found: dict[str, Any] = run(main, seed)
    return found


def _parallel(lineup: Lineup, played: Traffic, seed: int) -> dict[str, Any]:
    """Questions of the mix, four to a request: side by side, and all in one."""
    messages = [message for message in played.measured if not message.tools and not message.follows]
    groups = [messages[start : start + PARTS] for start in range(0, COMPOUND * PARTS, PARTS)]
    groups = [group for group in groups if len(group) == PARTS]

    async def main(clock: VirtualClock) -> dict[str, Any]:
        provider = Elsewhere(clock, lineup, seed=seed, quotas={"*": Limit()})
        backends = {"aws": SimulatedBackend("aws", provider)}
        for message in messages:
            provider.truth.add(message.text, message.item, message.follows)
        async with Gateway(_config(lineup), clock=clock, backends=backends) as gateway:
            spent = in_turn = slowest = 0.0
            for group in groups:
                parts = [Part(question=message.content) for message in group]
                joined = await parallel(
                    gateway, parts, system=group[0].system, model="strong", parameters=Parameters(max_tokens=600)
                )
                spent, in_turn, slowest = spent + joined.seconds, in_turn + joined.in_turn, slowest + joined.slowest
            apart = (provider.bill.nano, _prompts(provider))
            for group in groups:
                whole = "\n".join(message.content for message in group)
                await gateway.complete(_asked(whole, group[0].system), Context(tenant="shop"))
            once = (provider.bill.nano - apart[0], _prompts(provider) - apart[1])
        return {
            "speedup": round(in_turn / spent, 3),
            "of_ideal": round(slowest / spent, 4),
            "claim": "sum to max",
            "parts": PARTS,
            "price": {
                "prompt_tokens_ratio": round(apart[1] / once[1], 4),
                "usd_ratio": round(apart[0] / once[0], 4),
            },
        }

    found: dict[str, Any] = run(main, seed)
    return found


def _prompts(provider: Elsewhere) -> int:
    return sum(each.tokens.prompt for each in provider.bill.lines)


def _prompt_cache(lineup: Lineup, seed: int) -> dict[str, Any]:
    """A long common prefix, marked by the prefix stage and not."""
    tier, least = next(
        ((tier, card.cache_min) for tier in ("strong", "balanced", "fast", "max")
         if (model := lineup.of_tier(tier)) and (card := resolve(model.id)) and card.cache_min and card.cache_mode),
        ("", 0),
    )  # fmt: skip
    if not tier:
        return {"ttft_ratio": None, "why": f"no model of {lineup.name} has a prompt cache"}
    model = lineup.of_tier(tier)
    assert model is not None
    card = resolve(model.id)
    assert card is not None
    count, sentence = (
        tokenizer(card.tokenizer).count,
        "Volume {n} of the river series is kept on shelf {n} by the door.",
    )
    system, number = "", 0
    while count(system) < _PREFIXES * least:
        system, number = f"{system} {sentence.format(n=number)}", number + 1

    async def main(clock: VirtualClock, *on: str) -> tuple[list[float], int]:
        provider = Elsewhere(clock, lineup, seed=seed, quotas={"*": Limit()})
        backends = {"aws": SimulatedBackend("aws", provider)}
        async with Gateway(_config(lineup, *on), clock=clock, backends=backends) as gateway:
            times = []
            for number in range(PREFIXED):
                times.append((await _waited(gateway, _asked(f"Where is volume {number}?", system, tier)))[0])
                await clock.sleep(1.0)
            return times, provider.bill.nano

    cold, cold_bill = run(lambda clock: main(clock), seed)
    warm, warm_bill = run(lambda clock: main(clock, "prefix"), seed)
    ratio = _mean(warm[2:]) / _mean(cold[2:])
    rates = card.rates("standard", "in_region") or next(iter(card.prices.values()))["standard"]
    read, write = rates.cache_read or 0, rates.cache_write or 0
    return {
        "ttft_ratio": round(ratio, 4),
        "claim": "lower TTFT",
        "model": model.id,
        "prefix_tokens": count(system),
        "price": {
            "write_rate_ratio": round(write / (rates.input or 1), 3),
            "read_rate_ratio": round(read / (rates.input or 1), 3),
            "usd_ratio": round(warm_bill / cold_bill, 4),
        },
    }
