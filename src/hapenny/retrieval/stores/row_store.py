"""Documents and vectors as durable rows in SQLite: the truth from which every index can be rebuilt."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from hapenny.retrieval.documents import Document, Matrix

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
  row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS gone (seq INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_BATCH = 500


class Entry(msgspec.Struct, frozen=True):
    """A stored row."""

    row: int
    document: Document
    vector: bytes


class RowStore:
    """One writer; other processes may read while it writes (write-ahead log). Row numbers are never reused."""

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(str(path) if path is not None else ":memory:", check_same_thread=False)
        if path is not None:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Document).decode

    def put(self, documents: Sequence[Document], vectors: Matrix) -> tuple[list[int], list[int]]:
        """Stores or replaces by id. Returns (new rows, rows that were replaced)."""
        replaced = self.drop([document.id for document in documents])
        rows = []
        for document, vector in zip(documents, vectors, strict=True):
            cursor = self._db.execute(
                "INSERT INTO rows (id, body, vector) VALUES (?, ?, ?)",
                (document.id, self._encode(document), np.asarray(vector, np.float32).tobytes()),
            )
            rows.append(int(cursor.lastrowid or 0))
        return rows, replaced

    def drop(self, ids: Sequence[str]) -> list[int]:
        """Forgets ids. Returns their rows."""
        rows = [row for row in self.rows_of(ids) if row is not None]
        self._db.executemany("DELETE FROM rows WHERE row = ?", [(row,) for row in rows])
        self._db.executemany("INSERT INTO gone (row) VALUES (?)", [(row,) for row in rows])
        return rows

    def rows_of(self, ids: Sequence[str]) -> list[int | None]:
        """Rows of ids."""
        records: dict[str, int] = {}
        for start in range(0, len(ids), _BATCH):
            part = list(ids[start : start + _BATCH])
            marks = ",".join("?" * len(part))
            records.update(self._db.execute(f"SELECT id, row FROM rows WHERE id IN ({marks})", part))
        return [records.get(each) for each in ids]

    def fetch(self, rows: Sequence[int]) -> list[Document]:
        """Documents of rows that exist, in that order."""
        records: dict[int, Document] = {}
        for start in range(0, len(rows), _BATCH):
            part = [int(row) for row in rows[start : start + _BATCH]]
            marks = ",".join("?" * len(part))
            for row, body in self._db.execute(f"SELECT row, body FROM rows WHERE row IN ({marks})", part):
                records[row] = self._decode(body)
        return [records[int(row)] for row in rows if int(row) in records]

    def after(self, row: int) -> Iterator[list[Entry]]:
        """Rows above `row` in order, in batches."""
        while True:
            part = self._db.execute(
                "SELECT row, body, vector FROM rows WHERE row > ? ORDER BY row LIMIT ?", (row, _BATCH)
            ).fetchall()
            if not part:
                return
            yield [Entry(each, self._decode(body), vector) for each, body, vector in part]
            row = part[-1][0]

    def gone_after(self, seq: int) -> tuple[list[int], int]:
        """Rows removed since change number `seq`, and the last change number."""
        records = self._db.execute("SELECT seq, row FROM gone WHERE seq > ? ORDER BY seq", (seq,)).fetchall()
        return [row for _, row in records], records[-1][0] if records else seq

    def last(self) -> int:
        """The highest row ever given."""
        records = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()
        return int(records[0]) if records else 0

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM rows").fetchone()[0])

    def get(self, name: str, default: str = "") -> str:
        """A setting of the collection."""
        records = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(records[0]) if records else default

    def set(self, name: str, value: str) -> None:
        """Stores a setting of the collection."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def commit(self) -> None:
        """Makes changes durable."""
        self._db.commit()

    def compact(self) -> None:
        """Gives the space of removed rows back; readers in other processes must open the file again."""
        self._db.execute("DELETE FROM gone")
        self._db.commit()
        self._db.execute("VACUUM")

    def close(self) -> None:
        """Commits and closes."""
        self._db.commit()
        self._db.close()
