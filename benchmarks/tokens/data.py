"""Reading the token-efficiency data: JSON lines, gzip; a SET is a file's name up to the first dot."""

from __future__ import annotations

import gzip
import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@lru_cache(maxsize=32)
def rows(directory: Path, stem: str) -> list[Row]:
    """All rows of the file whose name begins with `stem.`; empty if there is none."""
    for path in sorted(directory.glob(f"{stem}.*jsonl*")):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]
    return []


def say(text: str) -> None:
    """Progress goes to stderr; stdout is for the one JSON line."""
    print(text, file=sys.stderr, flush=True)
