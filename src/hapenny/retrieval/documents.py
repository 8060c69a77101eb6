"""What is indexed and what comes back."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Scores = NDArray[np.float32]
Matrix = NDArray[np.float32]

BODY_SEPARATOR = " | "


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One searchable unit: a whole document or a chunk of one (then `parent` names it).

    `title` is searched with a weight of its own, `text` with the rest. `facets` hold strings to filter by,
    `numbers` hold numeric metadata. `tenant` and `groups` bound who may see it.
    """

    id: str
    title: str = ""
    text: str = ""
    facets: dict[str, list[str]] = {}
    numbers: dict[str, float] = {}
    parent: str = ""
    ordinal: int = 0
    tenant: str = ""
    groups: list[str] = []
    source: str = ""

    def searchable(self) -> str:
        """Title and text as one, as the embedder and the lexical `all` field see it."""
        return f"{self.title}{BODY_SEPARATOR}{self.text}" if self.title and self.text else self.title or self.text


class Leg(msgspec.Struct, frozen=True):
    """One ranked list of a store: rows (the store's integer handles, best first) and their raw scores."""

    rows: Rows
    scores: Scores

    def __len__(self) -> int:
        return len(self.rows)


EMPTY_LEG = Leg(np.empty(0, np.int64), np.empty(0, np.float32))


class Hit(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One result. `explain` says what each part of the score gave: legs, fusion, scoring, rerank."""

    id: str
    score: float
    document: Document
    explain: dict[str, Any] = {}
