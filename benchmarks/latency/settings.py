"""One setting played: the gateway as an operator would configure it for speed, or no gateway at all."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from benchmarks.latency.application import KEY, Application, Sent
from benchmarks.latency.worlds import Elsewhere, gantt, run
from hapenny.backends.simulated import SimulatedBackend
from hapenny.catalog import resolve
from hapenny.config import Config, load
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, TextDelta, ToolCallDelta
from hapenny.core.latency import DEGRADATIONS
from hapenny.core.messages import ToolUse
from hapenny.gateway.gateway import Gateway
from hapenny.responsive.budget import STEPS
from hapenny.retrieval.documents import Document
from hapenny.retrieval.folder import Folder
from hapenny.retrieval.ingest import Ingest
from hapenny.simulation.card import Lineup
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.faults import Fault
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.provider import Limit
from hapenny.simulation.workload import mix as mixes
from hapenny.simulation.workload.requests import answered, request
from hapenny.simulation.workload.shoppers import DAY, Message, Population
from hapenny.telemetry.rows import Row
from hapenny.vectors.hashed import HashedEmbedder

PRIMARY, OTHER = "us-east-1", "us-west-2"
SLOW = 3.0
STRONG_FROM = 0.30
"""The score from which the cold-start rule takes a question for hard (`tiers.strong_from`)."""
INSTRUCTION = "Use these sources where they help, and cite them as [1], [2].\n\nQuestion:"
"""With the word that tells the simulated model where the question begins."""
_ROUNDS = 3


class Traffic(NamedTuple):
    """What is played: messages to learn from, then those that are measured."""

    population: Population
    learn: list[Message]
    measured: list[Message]


def traffic(mix: str | None, learn: int, count: int, rate: float, seed: int) -> Traffic:
    """Messages of the mix, `rate` a second."""
    population = Population(mixes.load(mix), seed=seed)
    whole = learn + count
    messages = population.messages(whole, whole / rate / DAY)
    return Traffic(population, messages[:learn], messages[learn:])


def decks(card: str, gantt_card: str, played: Traffic, seed: int) -> dict[str, Lineup]:
    """The provider of each setting."""
    plain = [each for each in directly(LINEUPS[gantt_card], played, seed).sent if not each.failure]
    first = quantile([each.first for each in plain if each.first is not None], 0.95) or 0.0
    streaming = quantile([each.whole - each.first for each in plain if each.first is not None], 0.95) or 0.0
    return {"gantt": gantt(LINEUPS[gantt_card], first / 1e3, streaming / 1e3), "card": LINEUPS[card]}


def index(folder: Path, played: Traffic) -> None:
    """The shop's documents as a collection: all that the messages' passages are taken from."""
    texts = dict.fromkeys(text for message in (*played.learn, *played.measured) for text in message.documents)
    documents = [Document(id=f"doc-{number}", text=text) for number, text in enumerate(texts)]
    embedder = HashedEmbedder()
    kept = Folder(folder, embedder, "other")

    async def fill() -> None:
        await Ingest(kept.store, embedder, kept.manifest()).run(documents)

    asyncio.run(fill())
    close = getattr(kept.store, "close", None)
    if close is not None:
        close()


def config(lineup: Lineup, collection: Path | None, *, fastest: bool = False, **route: Any) -> Config:
    """Two regions for each model, hedges, a deadline, guardrails, limits of the key, and a search besides: the mix's
    requests bring the passages that their application found, and the gateway adds what it finds.

    `fastest`: the operator puts speed first: easy questions go to the fast tier by their score, without waiting for
    evidence. (Claude is sold in no faster service tier.)
    """
    tiers = lineup.tiers()
    places = [{"name": "home", "region": PRIMARY}, {"name": "away", "region": OTHER}]
    stages = {"latency": "on", "guard_input": "on", "guard_output": "on"}
    if collection is not None:
        stages["retrieval"] = "on"
    text: dict[str, Any] = {
        "backends": {"aws": {"kind": "simulated"}},
        "tiers": tiers,
        "routes": {"default": {"baseline": "strong", "preset": "balanced", "holdout": 0, "stages": stages, **route}},
        "keys": [{"key": KEY, "tenant": "shop", "requests_per_minute": 1_000_000}],
        "tenants": {"shop": {"budgets": [{"usd": 1_000_000, "window": "day"}], "tokens_per_minute": 1_000_000_000}},
        "stages": {
            "semantic": {"embedder": "hashed"},
            "retrieval": {"collection": "shop", "instruction": INSTRUCTION},
            "throughput": {"models": {model: {"endpoints": places} for model in tiers.values()}},
        },
        "ledger": {"path": ":memory:"},
        "log_level": "error",
    }
    if fastest:
        text["stages"]["tiers"] = {"balanced_from": STRONG_FROM, "strong_from": STRONG_FROM}
    if collection is not None:
        text["collections"] = {"shop": {"path": str(collection), "refresh_s": 3_600}}
    return load(text=json.dumps(text))


class Played(NamedTuple):
    """A run through the gateway."""

    sent: list[Sent]
    rows: dict[str, Row]
    right: list[bool]
    bill: int


def through(lineup: Lineup, played: Traffic, made: Config, seed: int, *, slow: bool = False) -> Played:
    """Plays the messages through a gateway. `slow`: from the first measured message on the primary region takes three
    times as long."""

    async def main(clock: VirtualClock) -> Played:
        provider = Elsewhere(clock, lineup, seed=seed, quotas={"*": Limit()})
        async with Gateway(made, clock=clock, backends={"aws": SimulatedBackend("aws", provider)}) as gateway:
            if played.learn:
                warm = Application(gateway, played.learn, played.population.shop, provider)
                await warm.play()
            if slow:
                provider.faults.plan.append(Fault(kind="slow", factor=SLOW, regions=(PRIMARY,)))
            bill = provider.bill.nano
            client = Application(gateway, played.measured, played.population.shop, provider)
            await client.play()
            await asyncio.sleep(1.0)
            right = [client.right[message.number] for message in played.measured]
            return Played(client.sent, client.rows, right, provider.bill.nano - bill)

    gc.collect()
    gc.freeze()
    try:
        result: Played = run(main, seed)
    finally:
        gc.unfreeze()
    return result


def directly(lineup: Lineup, played: Traffic, seed: int, *, tier: str = "strong", stream: bool = True) -> Played:
    """The same messages to the provider itself, passages and all, on one model."""
    model = lineup.of_tier(tier)
    assert model is not None

    async def main(clock: VirtualClock) -> Played:
        provider = Elsewhere(clock, lineup, seed=seed, quotas={"*": Limit()})
        shop, sent, right = played.population.shop, list[Sent](), dict[int, bool]()
        plain = (card := resolve(model.id)) is None or card.sampling.temperature == "any"
        answers: dict[int, asyncio.Future[str]] = {}
        place = {message.number: message for message in played.measured}

        async def one(message: Message) -> None:
            history = [(place[n].text, await answers[n]) for n in message.earlier if n in answers]
            provider.truth.add(message.text, message.item, message.follows)
            asked, text = request(message, history, model=model.id, stream=stream), ""
            if not plain:  # asked with a temperature it would refuse
                asked = replace(asked, parameters=replace(asked.parameters, temperature=None))
            for number in range(_ROUNDS):
                began, first, collector = clock.now(), None, Collector()
                try:
                    call = await provider.call(asked, model.id, region=PRIMARY)
                    while (batch := await call.read()) is not None:
                        for event in batch:
                            if first is None and isinstance(event, (TextDelta, ToolCallDelta)):
                                first = clock.now() - began
                            collector.feed(event)
                    completion, failure = collector.finish(), ""
                except Failure as error:
                    sent.append(Sent(message.number, began, None, None, clock.now() - began, error.kind, "", number))
                    break
                whole = clock.now() - began
                sent.append(Sent(message.number, began, first, None, whole, failure, "", number))
                text = completion.text
                blocks = completion.choices[0].content if completion.choices else ()
                used = next((block for block in blocks if isinstance(block, ToolUse)), None)
                if used is None:
                    break
                result = shop.run(used.name, json.loads(used.arguments or "{}"), message.day)
                asked = answered(asked, used.id, used.name, used.arguments, result)
            right[message.number] = bool(text) and message.item.grade(text)
            answers[message.number].set_result(text or "(no answer)")

        start, tasks = clock.now(), []
        for message in played.measured:
            await clock.sleep(max(0.0, start + message.at - played.measured[0].at - clock.now()))
            answers[message.number] = asyncio.get_running_loop().create_future()
            tasks.append(asyncio.get_running_loop().create_task(one(message)))
        await asyncio.gather(*tasks)
        return Played(sent, {}, [right[message.number] for message in played.measured], provider.bill.nano)

    from hapenny.simulation import loop

    result: Played = loop.run(main, seed=seed)
    return result


def quantile(values: Sequence[float], q: float) -> float | None:
    """Nearest rank, in milliseconds."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1e3, 2) if ordered else None


def figures(result: Played) -> dict[str, Any]:
    """What clients waited for. A request that failed counts as later than three seconds, and in no other time."""
    good = [each for each in result.sent if not each.failure]
    whole = [each.whole for each in good]
    messages: dict[int, float] = {}
    for each in good:
        messages[each.message] = messages.get(each.message, 0.0) + each.whole
    return {
        "requests": len(result.sent),
        "messages": len(result.right),
        "p50_ms": quantile(whole, 0.50),
        "p95_ms": quantile(whole, 0.95),
        "p99_ms": quantile(whole, 0.99),
        "p999_ms": quantile(whole, 0.999),
        "ttft_p50_ms": quantile([each.first for each in good if each.first is not None], 0.50),
        "ttft_p95_ms": quantile([each.first for each in good if each.first is not None], 0.95),
        "first_sentence_p95_ms": quantile([each.sentence for each in good if each.sentence is not None], 0.95),
        "message_p95_ms": quantile(list(messages.values()), 0.95),
        "under_3s_share": round(sum(each <= 3.0 for each in whole) / max(1, len(result.sent)), 5),
        "rejected_share": round(1 - len(good) / max(1, len(result.sent)), 5),
        "failures": dict(Counter(each.failure for each in result.sent if each.failure)),
        "right": round(sum(result.right) / max(1, len(result.right)), 4),
        "usd_per_1000_messages": round(result.bill / 1e6 / max(1, len(result.right)), 4),
    }


def budget(result: Played) -> dict[str, Any]:
    """Each step's 95th percentile over all requests (0 where one did not pass it: an answer from the cache has no first
    token of a model) and over those that passed it, and what was done to be in time."""
    rows = [row for each in result.sent if (row := result.rows.get(each.request_id)) is not None]
    steps = {}
    for step in STEPS:
        passed = [row.steps[step.name] for row in rows if step.name in row.steps]
        steps[step.name] = {
            "p95_ms": quantile(passed + [0.0] * (len(rows) - len(passed)), 0.95),
            "limit_ms": step.limit_ms,
            "passed": len(passed),
            "passed_p95_ms": quantile(passed, 0.95),
        }
    reactions = Counter(reaction for row in rows for reaction in row.reactions)
    degraded = sum(any(reaction in DEGRADATIONS for reaction in row.reactions) for row in rows)
    return {
        "budget": steps,
        "degraded_share": round(degraded / max(1, len(result.sent)), 5),
        "reactions": {name: round(count / max(1, len(rows)), 5) for name, count in sorted(reactions.items())},
        "hits_share": round(sum(row.cache_hit for row in rows) / max(1, len(rows)), 4),
        "hedges_usd_share": round(_hedges(rows), 5),
    }


def _hedges(rows: Sequence[Row]) -> float:
    """What calls that lost a race cost, of all that was paid."""
    paid = sum(call.cost or 0 for row in rows for call in row.calls)
    lost = sum(call.cost or 0 for row in rows if "hedge" in row.reactions for call in row.calls if not call.adopted)
    return lost / paid if paid else 0.0
