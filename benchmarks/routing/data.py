"""Reads routing outcomes: one table a file, the pairs measured, folds by question stem."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SETS = {
    "routellm_mmlu": "mmlu",
    "routellm_gsm8k": "gsm8k",
    "routellm_mtbench": "mtbench",
    "zeroeval": "zeroeval",
    "llmrouter_uiuc": "uiuc",
}
PAIRS: list[tuple[str, str, str]] = [
    ("routellm_mmlu", "mixtral-8x7b", "gpt-4-1106"),
    ("routellm_gsm8k", "mixtral-8x7b", "gpt-4-1106"),
    ("zeroeval", "claude-3-haiku", "claude-3-5-sonnet-v2"),
    ("zeroeval", "claude-3-5-haiku", "claude-3-5-sonnet-v2"),
    ("zeroeval", "gpt-4o-mini", "gpt-4o"),
    ("zeroeval", "llama-3.1-8b", "llama-3.1-70b"),
    ("zeroeval", "gpt-4o-mini", "o1-mini"),
    ("llmrouter_uiuc", "qwen2.5-7b-instruct", "llama-3.1-nemotron-51b-instruct"),
    ("llmrouter_uiuc", "mistral-7b-instruct-v0.3", "llama-3.1-nemotron-51b-instruct"),
]
CASCADES: list[tuple[str, str, str, str]] = [
    ("zeroeval", "claude-3-5-haiku", "gpt-4o-mini", "claude-3-5-sonnet-v2"),
    ("zeroeval", "claude-3-haiku", "gpt-4o-mini", "claude-3-5-sonnet-v2"),
]
# Dollars per million tokens, input and output, as the data's README states them.
PRICES = {
    "claude-3-haiku": (0.25, 1.25),
    "claude-3-5-haiku": (0.80, 4.0),
    "claude-3-5-sonnet-v1": (3.0, 15.0),
    "claude-3-5-sonnet-v2": (3.0, 15.0),
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-4o": (2.50, 10.0),
    "o1-mini": (3.0, 12.0),
    "mixtral-8x7b": (0.60, 0.60),
    "gpt-4-1106": (10.0, 30.0),
}


@dataclass
class Table:
    """One file: prompts, tasks and a score per model (NaN where a model has none)."""

    name: str
    ids: list[str]
    prompts: list[str]
    tasks: list[str]
    models: list[str]
    scores: Floats
    rows: list[dict[str, Any]]

    def score(self, model: str) -> Floats:
        return self.scores[:, self.models.index(model)]

    def folds(self, count: int = 5, seed: str = "") -> npt.NDArray[np.intp]:
        """Questions that begin alike are in one fold, so that none is learned from its twin."""
        return np.array([zlib.crc32((seed + key).encode()) % count for key in questions(self.prompts)])

    def answers(self, model: str) -> list[str]:
        return [str(row["models"][model].get("answer", "")) for row in self.rows]

    def costs(self, model: str) -> Floats:
        """Dollars per prompt: characters / 4 tokens at list price."""
        into, out = PRICES[model]
        size = [(len(r["prompt"]) * into + r["models"][model].get("out_chars", 0) * out) / 4e6 for r in self.rows]
        return np.array(size)


def whole(prompt: str) -> str:
    return re.sub(r"\W+", " ", prompt.lower()).strip()


def stem(prompt: str) -> str:
    return whole(prompt)[:200]


def questions(prompts: list[str]) -> list[str]:
    """What makes each prompt a question of its own: how it begins. A beginning that many prompts share is a template
    and no question: those go by their whole text, or a whole task would count as one question."""
    stems = [stem(p) for p in prompts]
    seen = Counter(stems)
    most = max(20, len(stems) // 50)
    return [s if seen[s] <= most else whole(p) for s, p in zip(stems, prompts, strict=True)]


def read(folder: Path) -> dict[str, Table]:
    """Every known or unknown `*.jsonl.gz` in the folder, by SET name (the file's name up to the first dot)."""
    tables = {}
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            rows = [json.loads(line) for line in lines]
        if not rows:
            continue
        models = sorted({m for row in rows for m in row["models"]})
        scores = np.array([[row["models"].get(m, {}).get("score", np.nan) for m in models] for row in rows])
        name = path.name.split(".")[0]
        tables[name] = Table(
            name,
            [row["id"] for row in rows],
            [row["prompt"] for row in rows],
            [row["task"] for row in rows],
            models,
            scores,
            rows,
        )
    return tables


def pairs_in(tables: dict[str, Table]) -> list[tuple[str, str, str]]:
    return [p for p in PAIRS if p[0] in tables and p[1] in tables[p[0]].models and p[2] in tables[p[0]].models]
