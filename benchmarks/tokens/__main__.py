"""python -m benchmarks.tokens --data DIR --json [--quick] [--records FILE] [--only PART,PART] [--cache DIR]."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.tokens import conversation, counts, dialogues, jsons, prune
from benchmarks.tokens.data import say

PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "count": counts.count,
    "json": jsons.run,
    "conversation": conversation.run,
    "templates": dialogues.templates,
    "answer_size": dialogues.answer_size,
    "prune": prune.run,
}


def main() -> None:
    """Run the parts whose files exist; the last line is one JSON object."""
    parser = argparse.ArgumentParser(prog="benchmarks.tokens", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", type=Path, help="fit the pruner on this half, measure on --data")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--records", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--only", default="", help="parts, separated by commas")
    parser.add_argument("--cv", action="store_true", help="also pruning by weights fitted on other articles (minutes)")
    options = parse(parser)
    lines: list[str] = []

    def record(line: dict[str, Any]) -> None:
        if options.records:
            lines.append(json.dumps(line, ensure_ascii=False))

    if options.train:
        from benchmarks.tokens.fit_pruner import train

        say(f"fitting the pruner on {options.train}")
        train(options.train, options.cache)
    result: dict[str, Any] = {}
    for name, part in PARTS.items():
        if options.only and name not in options.only.split(","):
            continue
        began = time.perf_counter()
        extra = {"cache": options.cache} if name == "prune" else {}
        result |= part(options.data, record, quick=options.quick, **extra)
        say(f"{name}: {time.perf_counter() - began:.1f} s")
    if options.cv:
        from benchmarks.tokens.fit_pruner import cross_validate, gather

        result["prune_cross_validated"] = cross_validate(*gather(options.data, options.cache))
    result["prune_protocol"] = prune.PROTOCOL
    if options.records:
        options.records.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(json.dumps(result, ensure_ascii=False, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
