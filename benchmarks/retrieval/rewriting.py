"""Rewrites of follow-up questions (CAsT) and decompositions (StrategyQA) beside people's, by token sets."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.retrieval.corpora import lines
from benchmarks.retrieval.prepare import say
from hapenny.retrieval.query.decompose import decompose
from hapenny.retrieval.query.references import standalone

_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "from",
        "with",
        "by",
        "and",
        "or",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "do",
        "does",
        "did",
        "has",
        "have",
        "had",
        "can",
        "could",
        "will",
        "would",
        "what",
        "who",
        "which",
        "when",
        "where",
        "why",
        "how",
        "it",
        "its",
        "they",
        "their",
        "them",
        "he",
        "she",
        "his",
        "her",
        "this",
        "that",
        "these",
        "those",
        "i",
        "you",
        "me",
        "my",
        "your",
        "s",
        "about",
        "as",
        "than",
        "there",
        "not",
        "if",
        "so",
    ]
)
_REFERENCE = re.compile(r"#\d+")


def content(text: str) -> set[str]:
    """Words of a text without function words: pronouns and articles are no part of what is searched."""
    return every(text) - _STOP


def every(text: str) -> set[str]:
    """All words of a text."""
    return set(re.findall(r"\w+", text.lower()))


def f1(one: set[str], two: set[str]) -> float:
    """Harmonic mean of precision and recall of two sets."""
    return 2 * len(one & two) / (len(one) + len(two)) if one or two else 1.0


def rewrites(path: Path) -> dict[str, Any]:
    """`f1` is the strictest reading: content words only, and only turns that a person had to change."""
    rows = lines(path)
    started = time.perf_counter()
    made = [standalone(row["query"], row["history"]).text for row in rows]
    spent = (time.perf_counter() - started) * 1e3 / len(rows)
    changed = [i for i, row in enumerate(rows) if every(row["query"]) != every(row["rewrite"])]
    later = [i for i, row in enumerate(rows) if row["history"]]

    def mean(of: Callable[[str], set[str]], texts: Sequence[str], over: Sequence[int]) -> float:
        return round(sum(f1(of(texts[i]), of(rows[i]["rewrite"])) for i in over) / max(1, len(over)), 4)

    raw = [row["query"] for row in rows]
    out = {
        "f1": mean(content, made, changed),
        "f1_raw": mean(content, raw, changed),
        "f1_with_history": mean(content, made, later),
        "f1_with_history_raw": mean(content, raw, later),
        "f1_all_words": mean(every, made, range(len(rows))),
        "f1_all_words_raw": mean(every, raw, range(len(rows))),
        "turns": len(rows),
        "changed": len(changed),
        "ms_per_turn": round(spent, 3),
    }
    say(f"rewrite: {out}")
    return out


def decompositions(path: Path) -> dict[str, Any]:
    """Each person's part against its best sub-query and back; `f1_none` searches the question as it is."""
    rows = lines(path)
    out: dict[str, Any] = {}
    for name, of in (("f1", content), ("f1_all_words", every)):
        out[name] = round(sum(_both(decompose(row["query"]), row["parts"], of) for row in rows) / len(rows), 4)
        out[f"{name}_none"] = round(sum(_both([row["query"]], row["parts"], of) for row in rows) / len(rows), 4)
    say(f"decompose: {out}")
    return out | {"questions": len(rows)}


def _both(made: Sequence[str], wanted: Sequence[str], of: Callable[[str], set[str]]) -> float:
    ours = [words for words in map(of, made) if words]
    theirs = [words for words in (of(_REFERENCE.sub("", part)) for part in wanted) if words]
    if not ours or not theirs:
        return 0.0
    recall = sum(max(f1(a, b) for a in ours) for b in theirs) / len(theirs)
    precision = sum(max(f1(a, b) for b in theirs) for a in ours) / len(ours)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
