"""Reading the token-efficiency data: JSON lines, gzip; a SET is a file's name up to the first dot."""

from __future__ import annotations

import gzip
import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_PARTS = ("_train", "_dev", "_val", "_valid", "_validation", "_test", "_eval")


def _set(name: str) -> str:
    """A set's name without what tells its parts apart: `qmsum` of `qmsum_val`, `hotpot` of `hotpot100`."""
    for part in _PARTS:
        name = name.removesuffix(part)
    return name.rstrip("0123456789")


@lru_cache(maxsize=32)
def rows(directory: Path, stem: str) -> list[Row]:
    """All rows of the file whose name begins with `stem.`, else of the set's other part; empty if there is none."""
    stored = sorted(directory.glob("*.*jsonl*")) if directory.is_dir() else []
    named = [path for path in stored if path.name.startswith(f"{stem}.")]
    for path in named or [path for path in stored if _set(path.name.partition(".")[0]) == _set(stem)]:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]
    return []


def say(text: str) -> None:
    """Progress goes to stderr; stdout is for the one JSON line."""
    print(text, file=sys.stderr, flush=True)
