"""What is indexed, by source document: its content's digest, its chunks and, if wanted, its sentence vectors."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from hapenny.retrieval.chunking import Chunking
from hapenny.retrieval.documents import Document, Matrix

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (id TEXT PRIMARY KEY, digest TEXT NOT NULL, chunks TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sentences (chunk TEXT PRIMARY KEY, texts TEXT NOT NULL, vectors BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL);
"""
CHANGES = 100_000
"""Changes that are remembered for those who read along; to who is further behind, anything may have changed."""


class Manifest:
    """In a file beside the index, or in memory. An entry is written after its chunks are committed."""

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(str(path) if path is not None else ":memory:", check_same_thread=False)
        self._db.executescript(_SCHEMA)

    @classmethod
    def reading(cls, path: Path) -> Manifest:
        """An existing manifest, for reading beside a process that writes it.

        Raises:
            sqlite3.Error: there is none, or it cannot be read.
        """
        manifest = cls.__new__(cls)
        manifest._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        return manifest

    def digest(self, id: str) -> str:
        """The digest a source was indexed with, "" if it was not."""
        found = self._db.execute("SELECT digest FROM sources WHERE id = ?", (id,)).fetchone()
        return str(found[0]) if found else ""

    def chunks(self, id: str) -> list[str]:
        """Ids of a source's chunks."""
        found = self._db.execute("SELECT chunks FROM sources WHERE id = ?", (id,)).fetchone()
        return msgspec.json.decode(found[0], type=list[str]) if found else []

    def ids(self) -> list[str]:
        """All indexed sources."""
        return [row[0] for row in self._db.execute("SELECT id FROM sources ORDER BY id")]

    def put(self, id: str, digest: str, chunks: Sequence[str]) -> None:
        """Notes a source as indexed."""
        text = msgspec.json.encode(list(chunks)).decode()
        self._db.execute("INSERT INTO changes (id) VALUES (?)", (id,))
        self._db.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?)", (id, digest, text))

    def drop(self, id: str) -> None:
        """Forgets a source and its sentence vectors."""
        self._db.executemany("DELETE FROM sentences WHERE chunk = ?", [(chunk,) for chunk in self.chunks(id)])
        self._db.execute("DELETE FROM sources WHERE id = ?", (id,))
        self._db.execute("INSERT INTO changes (id) VALUES (?)", (id,))

    def changed_after(self, seq: int) -> tuple[list[str] | None, int]:
        """Sources indexed or removed since change number `seq` (None: too long ago to tell), and the last number."""
        first, last = self._db.execute("SELECT min(seq), max(seq) FROM changes").fetchone()
        if last is None or last <= seq:
            return [], seq
        if seq < first - 1:
            return None, last
        found = self._db.execute("SELECT DISTINCT id FROM changes WHERE seq > ? AND seq <= ?", (seq, last))
        return [row[0] for row in found], last

    def put_sentences(self, chunk: str, texts: Sequence[str], vectors: Matrix) -> None:
        """Keeps a chunk's sentences with their vectors, in half precision."""
        blob = np.asarray(vectors, np.float16).tobytes()
        text = msgspec.json.encode(list(texts)).decode()
        self._db.execute("INSERT OR REPLACE INTO sentences VALUES (?, ?, ?)", (chunk, text, blob))

    def sentences(self, chunk: str, dim: int) -> tuple[list[str], Matrix] | None:
        """A chunk's sentences and their vectors, shape (n, dim), for pruning without embedding at request time."""
        found = self._db.execute("SELECT texts, vectors FROM sentences WHERE chunk = ?", (chunk,)).fetchone()
        if found is None:
            return None
        vectors = np.frombuffer(found[1], np.float16).reshape(-1, dim).astype(np.float32)
        return msgspec.json.decode(found[0], type=list[str]), vectors

    def has_sentences(self) -> bool:
        """Whether any chunk's sentence vectors were kept."""
        return self._db.execute("SELECT 1 FROM sentences LIMIT 1").fetchone() is not None

    def commit(self) -> None:
        """Makes entries durable."""
        self._db.execute("DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes) - ?", (CHANGES,))
        self._db.commit()

    def close(self) -> None:
        """Commits and closes."""
        self._db.commit()
        self._db.close()


def digest_of(document: Document, how: Chunking, embedder: str) -> str:
    """Changes with the document, the chunking or the embedder: then it must be indexed again."""
    blob = msgspec.msgpack.encode((document, how, embedder))
    return hashlib.blake2b(blob, digest_size=16).hexdigest()
