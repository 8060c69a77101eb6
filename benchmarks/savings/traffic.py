"""Requests made of real user text, at real arrival times.

FAQ questions repeat in life but hardly in the data sets, where each text stands once: they are drawn with Zipf
popularity (exponent 1) over a seeded shuffle. Dialogues, agent runs and passages come as they are.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.scaling.traces import requests as trace_files

BANK = """\
You are the assistant of a retail bank. Answer the customer's question in at most three sentences, politely and
exactly. Never ask for a PIN, a password or a full card number. Use the bank's rules below; where they do not answer
the question, offer to connect the customer with a colleague. Rules. Cards are sent within five working days after
they were ordered and are activated in the app. A lost or stolen card is frozen at once in the app and replaced free
of charge once a year. Top-ups by card arrive within minutes, by bank transfer within two working days. Transfers in
the same currency are free; exchange costs half a percent on weekdays and one percent on weekends. Cash withdrawals
are free up to two hundred a month, then two percent. A payment that is shown as pending is either completed or
returned within seven days. Chargebacks are opened in the app under the payment. Identity is checked with an official
document and a portrait. Accounts can be closed in the app once the balance is zero.
"""
SHOP = """\
You are the assistant of an online shop. Answer in at most three sentences and in plain words. If the customer asks
for an order, ask for its number first. Delivery takes three to seven days and can be followed with the tracking
number in the mail. Goods can be returned within thirty days in their original packing; the money comes back within a
week. Instalments are possible from one hundred on. Warranty is two years and starts with the delivery. Colleagues can
be reached from nine to six on working days.
"""
DESK = """\
You help customers with bookings: restaurants, hotels, flights, events, rides and appointments. Ask for what is
missing, one thing at a time; confirm before anything is booked; never invent a place, a time or a price.
"""


class Item(NamedTuple):
    """One request: messages in the OpenAI form (text only), tools, where it came from, its conversation."""

    source: str
    session: str
    system: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]


def rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _find(data: Path, folder: str, name: str) -> Path:
    return next(iter(sorted((data / folder).glob(f"{name}*.jsonl.gz"))), data / folder / f"{name}.jsonl.gz")


def faq(data: Path, name: str, system: str, rng: random.Random, count: int) -> list[Item]:
    found = rows(_find(data, "caching", name))
    rng.shuffle(found)
    if not found:
        return []
    weights = [1 / (rank + 1) for rank in range(len(found))]
    picked = rng.choices(found, weights, k=count)
    return [
        Item(name, f"{name}-{number}", system, [{"role": "user", "content": row["text"]}], [])
        for number, row in enumerate(picked)
    ]


def dialogues(data: Path, rng: random.Random, count: int) -> list[Item]:
    """Turns of booking dialogues with all that was said before."""
    talks: dict[str, list[dict[str, Any]]] = {}
    for row in rows(_find(data, "caching", "sgd_turns")):
        talks.setdefault(row["id"].rsplit("-", 1)[0], []).append(row)
    items: list[Item] = []
    names = sorted(talks)
    rng.shuffle(names)
    for name in names:
        messages: list[dict[str, Any]] = []
        for row in talks[name]:
            messages = [*messages, {"role": "user", "content": row["text"]}]
            items.append(Item("sgd_turns", name, DESK, messages, []))
            messages = [*messages, {"role": "assistant", "content": row["reply"] or "Understood."}]
            if len(items) >= count:
                return items
    return items


def agents(data: Path, rng: random.Random, count: int) -> list[Item]:
    """Calls of recorded agent runs: system policy, user turns, tool calls and results as they stood then."""
    runs = rows(_find(data, "tokens", "tau_airline"))
    rng.shuffle(runs)
    items: list[Item] = []
    for number, run in enumerate(runs):
        history: list[dict[str, Any]] = []
        names: dict[str, dict[str, Any]] = {}
        system = ""
        for message in run["messages"]:
            if message["role"] == "system":
                system = message["content"]
                continue
            if message["role"] == "assistant" and history:
                tools = [{"name": name, "schema": schema} for name, schema in sorted(names.items())]
                items.append(Item("tau", f"tau-{number}", system, list(history), tools))
                if len(items) >= count:
                    return items
            for call in message.get("tool_calls") or []:
                arguments = json.loads(call["function"]["arguments"])
                properties: dict[str, Any] = {key: {} for key in arguments}
                names.setdefault(call["function"]["name"], {"type": "object", "properties": properties})
            history.append(message)
    return items


def passages(data: Path, rng: random.Random, count: int) -> list[Item]:
    """Questions over retrieved passages, with the conversation before them."""
    items = []
    for row in rows(_find(data, "tokens", "mtrag_un")):
        found = "\n".join(f"<document>\n{each['text'].strip()}\n</document>" for each in row["contexts"])
        system = "Answer from the documents only; say so where they do not hold the answer.\n" + found
        messages = [
            {"role": "user" if turn["speaker"] == "user" else "assistant", "content": turn["text"] or "."}
            for turn in row["input"]
        ]
        while messages and messages[-1]["role"] != "user":
            messages.pop()
        if messages:
            items.append(Item("mtrag", row["conversation_id"], system, messages, []))
    rng.shuffle(items)
    return items[:count]


def build(data: Path, requests: int, seed: int = 11) -> list[Item]:
    """`requests` items in a seeded order in which the turns of one conversation keep theirs."""
    rng = random.Random(seed)
    share = requests // 10
    groups = [
        faq(data, "banking77", BANK, rng, 3 * share),
        faq(data, "hint3", SHOP, rng, 2 * share),
        dialogues(data, rng, 2 * share),
        agents(data, rng, 2 * share),
        passages(data, rng, share),
    ]
    have = sum(len(group) for group in groups)
    if not have:
        raise SystemExit(f"{data}: found none of caching/ and tokens/ there")
    missing = requests - have
    for name, system in (("banking77", BANK), ("hint3", SHOP)):
        if missing > 0:
            more = faq(data, name, system, rng, missing)
            groups.append(more)
            missing -= len(more)
    if missing > 0:
        groups.append([item for group in groups for item in group][:missing])
    keyed: list[tuple[float, Item]] = []
    for group in groups:
        spots = sorted(rng.random() for _ in group)
        keyed.extend(zip(spots, group, strict=True))
    keyed.sort(key=lambda pair: pair[0])
    return [item for _, item in keyed]


def arrivals(data: Path, requests: int, compress: float) -> list[float]:
    """Seconds from the start at which the requests come: the trace's own gaps, compressed."""
    stored = trace_files(data / "traces")
    if not stored:
        raise SystemExit(f"no trace of requests (*.csv.gz) in {data / 'traces'}")
    usual = (path for name, path in stored.items() if name.startswith("azure2023_conv"))
    path = next(usual, next(iter(stored.values())))
    with gzip.open(path, "rt") as lines:
        times = [float(row["timestamp_s"]) for row in csv.DictReader(lines)]
    times = [time - times[0] for time in times]
    span = times[-1] + 1.0
    laps = [times[index % len(times)] + span * (index // len(times)) for index in range(requests)]
    return [time / compress for time in laps]
