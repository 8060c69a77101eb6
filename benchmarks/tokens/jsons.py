"""`json` and `json_ms_per_1k`: the smallest lossless form against `json.dumps` as it comes by default.

Forms are chosen by the byte-class estimator, tokens are o200k's. Exact: the form read back and written by
`json.dumps` is the default text again, byte for byte. Time is CPU time, both estimates included, nothing cached.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.tokens.data import Row, rows, say
from benchmarks.tokens.prune import Count, o200k_count
from hapenny.core.messages import Tool
from hapenny.counting import Estimator
from hapenny.tokens.definitions import Definitions, meaning, text_of
from hapenny.tokens.lossless import restore, smallest

Record = Callable[[dict[str, Any]], None]

_SEARCHES = ("search_direct_flight", "search_onestop_flight")


def texts(directory: Path) -> dict[str, list[str]]:
    """The tool results of each set as the default `json.dumps` writes them; what is no JSON stays as it is."""
    found: dict[str, list[str]] = {"tau": [], "flights": []}
    for run in rows(directory, "tau_airline"):
        names = {
            call["id"]: call["function"]["name"]
            for message in run["messages"]
            for call in message.get("tool_calls") or []
        }
        for message in run["messages"]:
            if message["role"] == "tool":
                text = _default(message["content"])
                found["tau"].append(text)
                if names.get(message["tool_call_id"]) in _SEARCHES and text.startswith(("[{", "[[")):
                    found["flights"].append(text)
    found["sgd"] = [
        json.dumps(result)
        for dialogue in rows(directory, "sgd_dev")
        for turn in dialogue["turns"]
        for result in turn.get("service_results") or []
        if isinstance(result, list) and len(result) >= 2
    ]
    repositories = rows(directory, "github_rows")
    found["github"] = [json.dumps(repositories)] if repositories else []
    found["tools"] = [json.dumps(row["tools"]) for row in rows(directory, "bfcl_tools")]
    found["toolbench"] = [_default(text) for row in rows(directory, "toolbench_obs") for text in row["observations"]]
    return {name: kept for name, kept in found.items() if kept}


def _default(text: str) -> str:
    try:
        return json.dumps(json.loads(text))
    except ValueError:
        return text


def run(directory: Path, record: Record, *, quick: bool = False) -> dict[str, Any]:
    """Ratios, exactness and speed."""
    count = o200k_count()
    estimator = Estimator()
    result: dict[str, dict[str, float]] = {}
    spent = tokens = 0.0
    for name, kept in texts(directory).items():
        before = after = exact = 0
        for text in kept[: 60 if quick else None]:
            fresh = Estimator()  # no feature is cached from one text to the next
            fresh.restore(estimator.state())
            began = time.thread_time()
            found = smallest(text, fresh.tokens)
            spent += time.thread_time() - began
            was, now = count(text), count(found.text)
            same = found.text == text if found.form == "same" else json.dumps(restore(found.form, found.text)) == text
            before, after, exact = before + was, after + now, exact + same
            tokens += was
            record({"part": "json", "set": name, "form": found.form, "before": was, "after": now, "exact": same})
        result[name] = {
            "ratio": round(after / before, 4),
            "exact": round(exact / min(len(kept), 60 if quick else len(kept)), 6),
        }
        say(f"json {name}: {result[name]}")
    if definitions := rows(directory, "bfcl_tools"):
        result["definitions"] = _definitions(definitions, count, record)
        say(f"json definitions: {result['definitions']}")
    if not result:
        return {}
    return {"json": result, "json_ms_per_1k": round(1e6 * spent / tokens, 3)}


def _definitions(found: list[Row], count: Count, record: Record) -> dict[str, float]:
    """Tool definitions as tools: what the gateway sends against the default text. Exact: the schemas mean the same
    and the shortened form does not get shorter still."""
    before = after = exact = 0
    for row in found:
        tools = tuple(
            Tool(tool["name"], tool.get("description"), tool.get("parameters") or tool.get("inputSchema"))
            for tool in row["tools"]
        )
        sent = Definitions()(tools)
        was = sum(count(f"{t.name}\n{t.description or ''}\n{json.dumps(t.schema)}") for t in tools)
        now = sum(count(text_of(tool)) for tool in sent)
        same = all(
            a.name == b.name
            and json.dumps(meaning(a.schema, a.name)) == json.dumps(meaning(b.schema, b.name)) == json.dumps(b.schema)
            for a, b in zip(tools, sent, strict=True)
        )
        before, after, exact = before + was, after + now, exact + same
        record({"part": "json", "set": "definitions", "before": was, "after": now, "exact": same})
    return {"ratio": round(after / before, 4), "exact": round(exact / len(found), 6)}
