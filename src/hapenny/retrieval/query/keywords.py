"""What a question is about: its rarest words that the collection knows, as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from hapenny.retrieval.stores.contract import Store
from hapenny.retrieval.stores.lexical import idf

_RUNS = re.compile("[\u3005\u3400-\u9fff\uf900-\ufaff]+|[\u30a1-\u30ff\uff66-\uff9f]+|[A-Za-z0-9]+")
_WORD = re.compile(r"[^\W_]+")


def keywords(text: str, store: Store, most: int = 8) -> list[str]:
    """Words (Vietnamese: pairs of syllables; Japanese: runs of one script), rarest first, at most `most`."""
    count = max(1, store.count())
    weighed: dict[str, float] = {}
    for word, stems in _candidates(text, store):
        known = [store.frequency(stem) for stem in stems]
        if known and min(known) > 0:
            weighed.setdefault(word, max(idf(min(count, each), count) for each in known))
    ordered = sorted(weighed, key=lambda word: (-weighed[word], -len(word)))
    if store.analyser.language == "vi":
        ordered = _paired(ordered)
    return ordered[:most]


def _candidates(text: str, store: Store) -> Iterator[tuple[str, list[str]]]:
    by = store.analyser
    if by.language == "ja":
        for run in _RUNS.findall(text):
            yield run, by.stems(run)
    elif by.language == "vi":
        words = _WORD.findall(text.lower())
        for one, two in pairwise(words):
            yield f"{one} {two}", [f"{one}_{two}"]
        for word in words:
            yield word, [word]
    else:
        for word in _WORD.findall(text):
            yield word.lower(), by.stems(word)


def _paired(words: list[str]) -> list[str]:
    """Single syllables that stand in a pair are left out."""
    inside = {part for word in words if " " in word for part in word.split()}
    return [word for word in words if " " in word or word not in inside]
