"""Whether a collection holds documents that not everyone may see, read from its rows without opening its indexes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from hapenny.retrieval.filters import GROUP, SHARED, TENANT
from hapenny.retrieval.stores.layout import Layout, read_layout
from hapenny.retrieval.stores.sql_filter import tag

ROWS = "rows.sqlite"


class _Readers(msgspec.Struct):
    """The part of a document that says who may see it."""

    tenant: str = ""
    groups: list[str] = []


def holds_restricted(folder: Path) -> bool:
    """Whether any document of the collection in `folder` is a tenant's or some groups' alone.

    Raises:
        ValueError: the collection's layout cannot be read.
        Exception: of the database it is kept in.
    """
    layout = read_layout(folder)
    if layout.kind == "postgres":
        return _in_postgres(layout)
    return any(_in_rows(path) for path in sorted(folder.rglob(ROWS)))


def _in_rows(path: Path) -> bool:
    decode = msgspec.msgpack.Decoder(_Readers).decode
    rows = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        for (body,) in rows.execute("SELECT body FROM rows"):
            seen_by = decode(body)
            if seen_by.tenant or seen_by.groups:
                return True
    finally:
        rows.close()
    return False


def _in_postgres(layout: Layout) -> bool:
    import psycopg

    name: Any = layout.name
    everyone = [tag(TENANT, SHARED), tag(GROUP, SHARED)]
    with psycopg.connect(layout.dsn, connect_timeout=5) as db:
        # The name was checked when the tables were made; conditions are made of placeholders.
        row = db.execute(f"SELECT 1 FROM {name}_docs WHERE NOT (tags @> %s::text[]) LIMIT 1", (everyone,)).fetchone()
    return row is not None
