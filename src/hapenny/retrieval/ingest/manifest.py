"""What is indexed, by source document: its content's digest, its chunks, which of them another one stands for, the file
it came from and, if wanted, its sentence vectors."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from hapenny.retrieval.chunking import Chunking
from hapenny.retrieval.documents import Document, Matrix
from hapenny.retrieval.query.register import Vocabulary
from hapenny.retrieval.search.floor import Floor

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (id TEXT PRIMARY KEY, digest TEXT NOT NULL, chunks TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sentences (chunk TEXT PRIMARY KEY, texts TEXT NOT NULL, vectors BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (origin TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS wordings (wording BLOB PRIMARY KEY, chunk TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS wordings_chunk ON wordings (chunk);
CREATE TABLE IF NOT EXISTS merged (
  chunk TEXT PRIMARY KEY, source TEXT NOT NULL, kept TEXT NOT NULL, wording BLOB NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS merged_kept ON merged (kept);
CREATE INDEX IF NOT EXISTS merged_source ON merged (source);
"""
_FORMAT = 2
"""Raised when readers or chunking change what is indexed of an unchanged document: then all is indexed anew."""
FLOOR = "floor"
"""The note that holds the measured floor."""
CHUNKING = "chunking"
"""The note that says how documents were cut."""
VOCABULARY = "vocabulary"
"""The note that holds the collection's words."""
MANIFEST = "manifest.sqlite"
"""Its file in a collection's folder."""
CHANGES = 100_000
"""Changes that are remembered for those who read along; to who is further behind, anything may have changed."""


class Manifest:
    """In a file beside the index, or in memory. An entry is written after its chunks are committed."""

    def __init__(self, path: Path | None = None, *, read_only: bool = False) -> None:
        """`read_only`: beside a process that writes it. Raises `sqlite3.Error` where there is none to read."""
        if read_only and path is not None:
            address = f"{path.resolve().as_uri()}?mode=ro"
            self._db = sqlite3.connect(address, uri=True, check_same_thread=False)
            return
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
        return cls(path, read_only=True)

    @classmethod
    def at(cls, folder: Path) -> Manifest:
        """The manifest of a collection's folder; an empty one in memory where there is no collection yet."""
        path = folder / MANIFEST
        return cls(path if path.exists() else None)

    def digest(self, id: str) -> str:
        """The digest a source was indexed with, "" if it was not."""
        record = self._db.execute("SELECT digest FROM sources WHERE id = ?", (id,)).fetchone()
        return str(record[0]) if record else ""

    def chunks(self, id: str) -> list[str]:
        """Ids of a source's chunks."""
        record = self._db.execute("SELECT chunks FROM sources WHERE id = ?", (id,)).fetchone()
        return msgspec.json.decode(record[0], type=list[str]) if record else []

    def ids(self) -> list[str]:
        """All indexed sources."""
        return [row[0] for row in self._db.execute("SELECT id FROM sources ORDER BY id")]

    def put(self, id: str, digest: str, chunks: Sequence[str]) -> None:
        """Notes a source as indexed."""
        text = msgspec.json.encode(list(chunks)).decode()
        self._db.execute("INSERT INTO changes (id) VALUES (?)", (id,))
        self._db.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?)", (id, digest, text))

    def forget(self, id: str) -> None:
        """Lets a source count as changed, so that the next run indexes it."""
        self._db.execute("UPDATE sources SET digest = '' WHERE id = ?", (id,))

    def drop(self, id: str) -> None:
        """Forgets a source and its sentence vectors."""
        self._db.executemany("DELETE FROM sentences WHERE chunk = ?", [(chunk,) for chunk in self.chunks(id)])
        self._db.execute("DELETE FROM merged WHERE source = ?", (id,))
        self._db.execute("DELETE FROM sources WHERE id = ?", (id,))
        self._db.execute("INSERT INTO changes (id) VALUES (?)", (id,))

    def note(self, name: str, value: str) -> None:
        """Keeps what was found out about the collection."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def noted(self, name: str) -> str:
        """What was kept, or "" (also in a manifest of an older version)."""
        try:
            row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        except sqlite3.OperationalError:
            return ""
        return str(row[0]) if row else ""

    def name_of(self, origin: str) -> str:
        """The id under which a file was indexed, "" if it was not."""
        row = self._db.execute("SELECT name FROM files WHERE origin = ?", (origin,)).fetchone()
        return str(row[0]) if row else ""

    def origin_of(self, name: str) -> str:
        """The file that was indexed under an id, "" if none was noted."""
        row = self._db.execute("SELECT origin FROM files WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def put_file(self, origin: str, name: str) -> None:
        """Notes under which id a file is indexed."""
        self._db.execute("DELETE FROM files WHERE name = ? OR origin = ?", (name, origin))
        self._db.execute("INSERT INTO files VALUES (?, ?)", (origin, name))

    def stands_for(self, wording: bytes) -> str:
        """The stored chunk with this wording, "" if there is none."""
        row = self._db.execute("SELECT chunk FROM wordings WHERE wording = ?", (wording,)).fetchone()
        return str(row[0]) if row else ""

    def put_wording(self, wording: bytes, chunk: str) -> None:
        """Notes the wording of a stored chunk."""
        self._db.execute("INSERT OR REPLACE INTO wordings VALUES (?, ?)", (wording, chunk))

    def put_merged(self, piece: Document, source: str, kept: str, wording: bytes) -> None:
        """Notes a chunk that is not stored because `kept` has its wording."""
        body = msgspec.msgpack.encode(piece)
        self._db.execute(
            "INSERT OR REPLACE INTO merged VALUES (?, ?, ?, ?, ?)", (piece.id, source, kept, wording, body)
        )

    def merged(self) -> list[tuple[str, str]]:
        """(chunk that is not stored, chunk that stands for it), in order."""
        return list(self._db.execute("SELECT chunk, kept FROM merged ORDER BY chunk"))

    def release(self, source: str) -> list[tuple[str, str, Document]]:
        """Lets go of a source's chunks: those of other sources that they stood for, each as (the chunk that goes, the
        source of the one to store instead, that one). Notes the change; storing is the caller's."""
        self._db.execute("DELETE FROM merged WHERE source = ?", (source,))
        heirs: list[tuple[str, str, Document]] = []
        for chunk in self.chunks(source):
            self._db.execute("DELETE FROM wordings WHERE chunk = ?", (chunk,))
            heir = self.promote(chunk)
            if heir is not None:
                heirs.append((chunk, *heir))
        return heirs

    def promote(self, kept: str) -> tuple[str, Document] | None:
        """The (source, chunk) that takes the place of `kept` for what was merged into it; None if nothing was."""
        row = self._db.execute(
            "SELECT chunk, source, wording, body FROM merged WHERE kept = ? ORDER BY chunk LIMIT 1", (kept,)
        ).fetchone()
        if row is None:
            return None
        chunk, source, wording, body = row
        self._db.execute("DELETE FROM merged WHERE chunk = ?", (chunk,))
        self._db.execute("UPDATE merged SET kept = ? WHERE kept = ?", (chunk, kept))
        self.put_wording(wording, chunk)
        stored = msgspec.json.encode([*self.chunks(source), chunk]).decode()
        self._db.execute("UPDATE sources SET chunks = ? WHERE id = ?", (stored, source))
        self._db.execute(
            "INSERT OR REPLACE INTO sentences SELECT ?, texts, vectors FROM sentences WHERE chunk = ?", (chunk, kept)
        )
        return source, msgspec.msgpack.decode(body, type=Document)

    def changed_after(self, seq: int) -> tuple[list[str] | None, int]:
        """Sources indexed or removed since change number `seq` (None: too long ago to tell), and the last number."""
        first, last = self._db.execute("SELECT min(seq), max(seq) FROM changes").fetchone()
        if last is None or last <= seq:
            return [], seq
        if seq < first - 1:
            return None, last
        record = self._db.execute("SELECT DISTINCT id FROM changes WHERE seq > ? AND seq <= ?", (seq, last))
        return [row[0] for row in record], last

    def put_sentences(self, chunk: str, texts: Sequence[str], vectors: Matrix) -> None:
        """Keeps a chunk's sentences with their vectors, in half precision."""
        blob = np.asarray(vectors, np.float16).tobytes()
        text = msgspec.json.encode(list(texts)).decode()
        self._db.execute("INSERT OR REPLACE INTO sentences VALUES (?, ?, ?)", (chunk, text, blob))

    def sentences(self, chunk: str, dim: int) -> tuple[list[str], Matrix] | None:
        """A chunk's sentences and their vectors, shape (n, dim), for pruning without embedding at request time."""
        record = self._db.execute("SELECT texts, vectors FROM sentences WHERE chunk = ?", (chunk,)).fetchone()
        if record is None:
            return None
        vectors = np.frombuffer(record[1], np.float16).reshape(-1, dim).astype(np.float32)
        return msgspec.json.decode(record[0], type=list[str]), vectors

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


def read_floor(manifest: Manifest) -> Floor | None:
    """The measured floor of a collection, if there is one."""
    noted = manifest.noted(FLOOR)
    return msgspec.json.decode(noted, type=Floor) if noted else None


def read_vocabulary_of(manifest: Manifest) -> Vocabulary | None:
    """The noted vocabulary of a collection, if there is one."""
    noted = manifest.noted(VOCABULARY)
    return msgspec.json.decode(noted, type=Vocabulary) if noted else None


def digest_of(document: Document, how: Chunking, embedder: str) -> str:
    """Changes with the document, the chunking or the embedder: then it must be indexed again."""
    blob = msgspec.msgpack.encode((_FORMAT, document, how, embedder))
    return hashlib.blake2b(blob, digest_size=16).hexdigest()
