"""Sentence vectors for the prune sets, as retrieval would store them with the index."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.cached_embedder import CachedEmbedder
from hapenny.core.clock import RealClock
from hapenny.vectors.embedder import Embedder
from hapenny.vectors.minilm import MiniLM

if TYPE_CHECKING:
    from benchmarks.tokens.prune import Measured


def attach(measured: Sequence[Measured], cache: Path | None) -> None:
    """Give every passage its sentence vectors and every case its question's.

    Raises hapenny.vectors.weights.ModelMissing if the local model is not set up.
    """
    inner = MiniLM(RealClock())
    embedder: Embedder = CachedEmbedder(inner, cache) if cache else inner
    texts: dict[str, None] = {}
    for item in measured:
        texts[item.case.question] = None
        for _, cut in item.case.passages:
            texts.update(dict.fromkeys(text.strip() for text in cut))
    ordered = list(texts)
    table = dict(zip(ordered, asyncio.run(embedder.embed(ordered)), strict=True))
    for item in measured:
        item.vector = table[item.case.question]
        item.passages = [
            msgspec.structs.replace(passage, vectors=[table[text.strip()] for text in cut])
            for passage, (_, cut) in zip(item.passages, item.case.passages, strict=True)
        ]
