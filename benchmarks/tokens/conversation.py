"""`conversation`: tau_airline trajectories under prefix-cache prices (read .1, write 1.25, minimum 1,024 tokens).

Each assistant message is one call; input price only, no expiry. The base appends everything, with a checkpoint at each
request's end. The cached part of a call is its longest common prefix of messages with the call before. Tokens are
o200k's, four more a message; the window sees its own byte-class estimate alone. Survival: leaf values of the next tool
call's arguments that stand in the append-only context and still stand in ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tokens.data import Row, rows, say
from benchmarks.tokens.prune import Count, o200k_count
from hapenny.core.messages import Block, Message, Text, ToolResult, ToolUse
from hapenny.counting import Estimator
from hapenny.tokens.pack import Window
from hapenny.tokens.window import CachePrices, WindowOptions, call_cost, orphans, texts_of

Record = Callable[[dict[str, Any]], None]


def messages_of(run: Row) -> tuple[str, list[Message]]:
    """System text and messages of a trajectory in OpenAI form."""
    system = ""
    found: list[Message] = []
    for row in run["messages"]:
        text = row.get("content")
        if row["role"] == "system":
            system = text
            continue
        content: list[Block] = []
        if row["role"] == "tool":
            content.append(ToolResult(row["tool_call_id"], (Text(text or ""),)))
        elif text:
            content.append(Text(text))
        for call in row.get("tool_calls") or []:
            content.append(ToolUse(call["id"], call["function"]["name"], call["function"]["arguments"]))
        found.append(Message(row["role"], tuple(content)))
    return system, found


def leaves(value: Any) -> Iterator[str]:
    """The scalar values of a JSON value, as they would be written."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str):
        yield value
    elif value is not None:
        yield json.dumps(value)


def run(directory: Path, record: Record, *, quick: bool = False) -> dict[str, Any]:
    """Cost, regressions, survival and orphans; also with a context limit of half of each trajectory (`limited`).

    The results are a booking system's JSON, none is a file: `results: json` is what its operator would set.
    """
    runs = rows(directory, "tau_airline")
    if not runs:
        return {}
    runs = runs[:: 4 if quick else 1]
    options = WindowOptions(results="json")
    plain = _measure(runs, options, record, "conversation")
    limited = _measure(runs, options, record, "conversation_limited", limited=True)
    say(f"conversation: {plain}; limited {limited}")
    return {"conversation": {**plain, "limited": limited}}


def _measure(
    runs: Sequence[Row], options: WindowOptions, record: Record, part: str, *, limited: bool = False
) -> dict[str, float]:
    count = o200k_count()
    prices = CachePrices()
    ratios: list[float] = []
    wanted = survived = wrong = 0
    for number, trajectory in enumerate(runs):
        system, messages = messages_of(trajectory)
        estimator = Estimator()
        window = Window(options)
        lead = count(system) + 4
        base = ours = 0.0
        before: list[Message] = []
        before_ours: tuple[Message, ...] = ()
        whole = estimator.tokens(system) + sum(estimator.tokens(t) + 4 for m in messages for t in texts_of(m))
        for place, message in enumerate(messages):
            if message.role != "assistant" or place == 0:
                continue
            context = messages[:place]
            packed = window.pack(
                f"{number}", context, estimator.tokens, prices=prices, lead=estimator.tokens(system),
                limit=round(0.5 * whole) if limited else 0,
            ).messages  # fmt: skip
            base += _price(context, before, lead, count, prices)
            ours += _price(packed, before_ours, lead, count, prices)
            before, before_ours = context, packed
            wrong += orphans(packed) if packed else 0
            asked = [v for block in message.content if isinstance(block, ToolUse) for v in _values(block.arguments)]
            there, here = _text(system, context), _text(system, packed)
            stood = [value for value in asked if value in there]
            wanted += len(stood)
            survived += sum(value in here for value in stood)
        ratios.append(ours / base)
        record({"part": part, "trajectory": number, "base": base, "ours": ours})
    return {
        "cost_ratio_mean": round(float(np.mean(ratios)), 4),
        "cost_ratio_max": round(max(ratios), 4),
        "regressions": sum(ratio > 1 + 1e-9 for ratio in ratios),
        "argument_survival": round(survived / max(1, wanted), 6),
        "orphans": wrong,
        "arguments": wanted,
    }


def _values(arguments: str) -> list[str]:
    try:
        return list(leaves(json.loads(arguments)))
    except ValueError:
        return []


def _text(system: str, messages: Sequence[Message]) -> str:
    return "\n".join([system, *(text for message in messages for text in texts_of(message))])


def _price(
    messages: Sequence[Message], before: Sequence[Message], lead: float, count: Count, prices: CachePrices
) -> float:
    sizes = [sum(count(text) for text in texts_of(message) if text) + 4 for message in messages]
    same = 0
    while same < min(len(messages), len(before)) and messages[same] == before[same]:
        same += 1
    cached = lead + sum(sizes[:same]) if before else 0.0
    return call_cost(lead + sum(sizes), cached, prices)


__all__ = ["messages_of", "run"]
