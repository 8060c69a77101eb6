"""`python -m benchmarks.guardrails [--json] [--quick] [--half kept_apart] [--records FILE]`

Recall and precision of the guardrails' rules by item and language, and of known injections by class, on the labelled
set that lies beside this file; milliseconds a KB of text, whole and streamed; characters that a stream holds back;
and how work grows on pathological texts (the longer one has eight times the characters, so about 8 is linear).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.growing import TIMES, growth, texts
from benchmarks.guardrails.labelled import Count, Item, Line, read, read_injections, score
from hapenny.guarding import injection
from hapenny.guarding.actions import GROUPS
from hapenny.guarding.detector import Detector
from hapenny.guarding.finding import KINDS, STRUCTURED
from hapenny.guarding.policy import Policy
from hapenny.guarding.streaming import Tally, TextStream

PLAIN = {
    "en": "The bridge was built of cast iron in 1816, and whoever crossed it paid a toll of half a penny. ",
    "ja": "橋は1816年に鋳鉄で造られ、渡る人はみな、持ち主に半ペニーの通行料を払いました。",
    "vi": "Cây cầu được xây bằng gang vào năm 1816, ai đi qua cũng phải trả nửa xu cho người chủ. ",
}
"""Sentences of which ordinary text is made for timing: written for this benchmark, no item in them."""
DELTA = 4
"""Characters of one piece of a stream."""


def figures(lines: list[Line], detector: Detector) -> dict[str, Any]:
    """Recall and precision by language, and by language and kind."""
    counts = score(lines, lambda text: [Item(each.kind, each.start, each.end) for each in detector.find(text)])
    out: dict[str, Any] = {}
    for language in ("en", "ja", "vi"):
        mine = {kind: count for (each, kind), count in counts.items() if each == language}
        total = sum((count for kind, count in mine.items() if kind in STRUCTURED), Count())
        every = sum(mine.values(), Count())
        out[language] = {
            "lines": sum(line.language == language for line in lines),
            "structured": shown(total),
            "with_names_and_addresses": shown(every),
            "by_kind": {kind: shown(count) for kind, count in sorted(mine.items())},
        }
    return out


def shown(count: Count) -> dict[str, float]:
    """A count as figures."""
    return {
        "items": count.labelled,
        "recall": round(count.recall, 4),
        "found": count.found,
        "precision": round(count.precision, 4),
    }


def injections(half: str) -> dict[str, Any]:
    """How many lines of each class are found; of `benign` that is how many are found wrongly."""
    out: dict[str, dict[str, float]] = {}
    for name, text in read_injections(half):
        one = out.setdefault(name, {"lines": 0, "found": 0})
        one["lines"] += 1
        one["found"] += bool(injection.find(text))
    for one in out.values():
        one["share"] = round(one["found"] / one["lines"], 4)
    return out


def least(work: Callable[[], object], tries: int) -> float:
    """The least time of several, in seconds."""
    best = float("inf")
    for _ in range(tries):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def per_kb(work: Callable[[], object], text: str, tries: int) -> float:
    """Milliseconds of `work` for each KB of `text`."""
    return round(1000 * least(work, tries) / (len(text.encode()) / 1024), 4)


def speed(lines: list[Line], tries: int) -> dict[str, Any]:
    """Milliseconds a KB (1,024 bytes of UTF-8) by language: ordinary text, and the labelled lines, dense with items."""
    detector, policy = Detector(GROUPS["all"]), Policy({"all": "redact"})
    out: dict[str, Any] = {}
    for language, sentence in PLAIN.items():
        plain = sentence * (8_000 // len(sentence))
        dense = "\n".join(line.text for line in lines if line.language == language)
        one: dict[str, float] = {}
        for name, text in (("plain", plain), ("dense", dense)):
            parts = [text[at : at + DELTA] for at in range(0, len(text), DELTA)]
            one[f"{name}_ms_per_kb"] = per_kb(partial(detector.find, text), text, tries)
            one[f"{name}_stream_ms_per_kb"] = per_kb(partial(stream, parts, policy), text, tries)
        one["injection_ms_per_kb"] = per_kb(partial(injection.find, plain), plain, tries)
        out[language] = one
    return out


def stream(parts: list[str], policy: Policy) -> list[int]:
    """Characters held back after each piece."""
    flow, held = TextStream(policy, Tally()), []
    for part in parts:
        flow.feed(part)
        held.append(flow.held)
    flow.flush()
    return held


def growths(quick: bool) -> dict[str, Any]:
    """The worst growth of rules, streams and injections over all pathological texts."""
    detector, policy = Detector(KINDS), Policy({"all": "redact", "person": "redact", "address": "redact"})
    size = 1_000 if quick else 2_000
    works: dict[str, Callable[[str], object]] = {
        "rules": detector.find,
        "injection": injection.find,
        "stream": lambda text: stream([text[at : at + 16] for at in range(0, len(text), 16)], policy),
    }
    out: dict[str, Any] = {}
    for name, work in works.items():
        print(f"growth of {name}", file=sys.stderr)
        ratios = {unit: growth(work, size, unit, tries=1) for unit in texts(1)}
        worst = max(ratios, key=lambda unit: ratios[unit])
        again = growth(work, size, worst, tries=5)
        out[name] = {
            "times_longer": TIMES,
            "worst_ratio": round(again, 2),
            "worst_text": worst,
            "characters": TIMES * size,
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.guardrails")
    parser.add_argument("--half", choices=("kept_apart", "development"), default="kept_apart")
    parser.add_argument("--records", type=Path, help="one line a labelled line: what was wanted and what was found")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parse(parser)
    lines, detector = read(arguments.half), Detector(KINDS)
    held = stream(
        [part for line in lines for part in (line.text[at : at + DELTA] for at in range(0, len(line.text), DELTA))],
        Policy({"all": "redact"}),
    )
    result = {
        "half": arguments.half,
        "languages": figures(lines, detector),
        "injection": injections(arguments.half),
        "speed": speed(lines, 3 if arguments.quick else 20),
        "held_characters": {"mean": round(sum(held) / len(held), 2), "most": max(held)},
        "growth": growths(arguments.quick),
    }
    if arguments.records is not None:
        with arguments.records.open("w", encoding="utf-8") as out:
            for number, line in enumerate(lines):
                found = [list(each) for each in detector.find(line.text)]
                out.write(json.dumps({"line": number, "wanted": [list(i) for i in line.items], "found": found}) + "\n")
    if arguments.json:
        print(json.dumps(result, ensure_ascii=False))
        return
    for language, one in result["languages"].items():
        total = one["structured"]
        print(f"{language}: recall {total['recall']:.3f} of {total['items']}, precision {total['precision']:.3f}")
        for kind, count in one["by_kind"].items():
            print(f"  {kind}: {count['recall']:.2f} of {count['items']}, precision {count['precision']:.2f}")
        print(f"  {result['speed'][language]}")
    print(result["injection"], result["held_characters"], result["growth"], sep="\n")


if __name__ == "__main__":
    main()
