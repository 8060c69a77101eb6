"""Which store a collection's folder stands for: its own files, shards of them, or PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from hapenny.retrieval.analysis import Language
from hapenny.retrieval.filters import TENANT
from hapenny.retrieval.stores.contract import Store
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.stores.postgres import PostgresStore
from hapenny.retrieval.stores.sharded import ShardedStore
from hapenny.vectors.compact import Shape

LAYOUT = "store.json"


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`embedded`: files in the folder. `sharded`: `shards` of them, by the tenant or by the facet `by`. `postgres`:
    tables `NAME_*` at `dsn`; a password belongs into PGPASSWORD or a service file, not here.

    `embedder` made the vectors, `language` chose the analyser; embedded stores note both themselves.
    """

    kind: Literal["embedded", "sharded", "postgres"] = "embedded"
    by: str = TENANT
    shards: int = 1
    dsn: str = ""
    name: str = "hapenny_retrieval"
    embedder: str = ""
    language: Language = "en"

    def __post_init__(self) -> None:
        if self.kind == "sharded" and not 2 <= self.shards <= 256:
            raise ValueError(f"shards: {self.shards}; use 2 to 256")
        if self.kind == "postgres" and not self.dsn:
            raise ValueError("dsn: empty; use postgresql://HOST/DATABASE")


def read_layout(folder: Path) -> Layout:
    """The layout of a folder; its own files if none is written. ValueError for one that cannot be read."""
    path = folder / LAYOUT
    if not path.exists():
        return Layout()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Layout)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}") from error


def same_place(one: Layout, two: Layout) -> bool:
    """Whether two layouts keep their rows in the same place."""
    return (one.kind, one.shards, one.by, one.dsn, one.name) == (two.kind, two.shards, two.by, two.dsn, two.name)


def open_store(
    layout: Layout, folder: Path, dim: int, language: Language, shape: Shape | None, *, read_only: bool
) -> Store:
    """The store of a folder."""
    if layout.kind == "postgres":
        return PostgresStore(layout.dsn, dim, layout.language, layout.name)
    if layout.kind == "embedded":
        return EmbeddedStore(dim, language, folder, shape=shape, read_only=read_only)
    parts = [
        EmbeddedStore(dim, layout.language, folder / f"shard-{number}", shape=shape, read_only=read_only)
        for number in range(layout.shards)
    ]
    return ShardedStore(parts, layout.by)
