"""A collection on disk: rows, indexes, manifest, settings, what was learnt. What `hapenny index` and `serve` open."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.core.strict_yaml import read_yaml
from hapenny.retrieval.analysis import Language
from hapenny.retrieval.documents import Matrix
from hapenny.retrieval.ingest.manifest import MANIFEST, Manifest, read_floor, read_vocabulary_of
from hapenny.retrieval.options import Remote
from hapenny.retrieval.query.register import Vocabulary
from hapenny.retrieval.search.collection import Collection, Sentences
from hapenny.retrieval.search.floor import Floor
from hapenny.retrieval.search.forest import Forest
from hapenny.retrieval.search.index_refresh import Changes
from hapenny.retrieval.search.ranker_features import NAMES
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.settings import Settings
from hapenny.retrieval.stores.contract import Store
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.stores.layout import LAYOUT, Layout, open_store, read_layout, same_place
from hapenny.retrieval.stores.row_store import RowStore
from hapenny.vectors.compact import Shape
from hapenny.vectors.embedder import Embedder

_log = get_logger("hapenny.retrieval")

SETTINGS = "settings.yaml"
FOREST = "ranker.json"
SHAPE = "index.json"
PROMISE = "promise.json"
ROWS = "rows.sqlite"


class FolderError(ValueError):
    """A folder that cannot be opened; says why and what to do."""


class Folder:
    """Opens `path`; a new one is made with `language` for `embedder`, in `layout` if that is given."""

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        language: Language = "en",
        *,
        read_only: bool = False,
        layout: Layout | None = None,
    ) -> None:
        self.path = path
        self.embedder = embedder
        there = is_collection(path)
        if read_only and not there:
            raise FolderError(f"{path}: no collection here; make one with `hapenny index build {path} FILES`")
        known = read_layout(path)
        if not there and layout is not None and layout.kind != "embedded":
            known = msgspec.structs.replace(layout, embedder=embedder.name, language=language)
        elif layout is not None and not same_place(known, layout):
            raise FolderError(f"{path}: is {known.kind} already; build into another folder")
        self.layout = known
        self._belongs(built_with(path))
        shape = path / SHAPE
        self.store: Store = open_store(
            known,
            path,
            embedder.dim,
            language,
            msgspec.json.decode(shape.read_bytes(), type=Shape) if shape.exists() else None,
            read_only=read_only,
        )
        if isinstance(self.store, EmbeddedStore):
            if not read_only:
                self.store.note("embedder", embedder.name)
        elif not there:
            path.mkdir(parents=True, exist_ok=True)
            (path / LAYOUT).write_bytes(msgspec.json.encode(known))

    def _belongs(self, known: str) -> None:
        name = self.embedder.name
        if known and known != name:
            raise FolderError(f"{self.path}: {other_embedder(known, name)}")

    @property
    def embedded(self) -> EmbeddedStore:
        """The store, where it is of one piece in this folder: what the tuner works on.

        Raises:
            FolderError: it is not.
        """
        if not isinstance(self.store, EmbeddedStore):
            raise FolderError(f"{self.path}: is {self.layout.kind}; only a collection in one folder can be tuned")
        return self.store

    def promise(self) -> float | None:
        """The recall that tuning promised, None if it never ran."""
        path = self.path / PROMISE
        return float(msgspec.json.decode(path.read_bytes())["recall"]) if path.exists() else None

    def manifest(self) -> Manifest:
        """What is indexed."""
        return Manifest(self.path / MANIFEST)

    def settings(self) -> Settings:
        """The collection's settings, or the defaults."""
        path = self.path / SETTINGS
        return read_settings(path) if path.exists() else Settings()

    def forest(self) -> Forest | None:
        """The learned ranker, if there is one of this version; another is left alone, and the fused order stands."""
        path = self.path / FOREST
        if not path.exists():
            return None
        try:
            forest = Forest.read(path.read_bytes())
        except (ValueError, KeyError) as error:
            _log.warning("the ranker cannot be used: train it again", folder=str(self.path), error=str(error))
            return None
        return forest if forest.names == NAMES else None

    def write_settings(self, settings: Settings) -> None:
        """Keeps settings beside the rows."""
        text = yaml.safe_dump(msgspec.to_builtins(settings), sort_keys=False, allow_unicode=True)
        (self.path / SETTINGS).write_text(text, encoding="utf-8")

    def write_forest(self, forest: Forest) -> None:
        """Keeps a learned ranker."""
        (self.path / FOREST).write_bytes(forest.dump())

    def write_shape(self, shape: Shape, recall: float) -> None:
        """Rebuilds the vector index in a tuned shape, and keeps it with the recall it was tuned for."""
        store = self.embedded
        (self.path / SHAPE).write_bytes(msgspec.json.encode(shape))
        (self.path / PROMISE).write_bytes(msgspec.json.encode({"recall": recall}))
        store.reshape(shape)
        store.snapshot()

    def retriever(self, settings: Settings | None = None) -> Retriever:
        """A retriever with the folder's settings and ranker."""
        floor, vocabulary = self._measured()
        return Retriever(
            self.store,
            settings or self.settings(),
            self.forest(),
            embedder=self.embedder.name,
            floor=floor,
            vocabulary=vocabulary,
        )

    def _measured(self) -> tuple[Floor | None, Vocabulary | None]:
        """What was measured of the collection when it was built: its floor and its words."""
        try:
            manifest = Manifest.reading(self.path / MANIFEST)
        except sqlite3.Error:
            return None, None
        try:
            return read_floor(manifest), read_vocabulary_of(manifest)
        except (sqlite3.Error, msgspec.DecodeError):
            return None, None
        finally:
            manifest.close()

    def collection(self, name: str, clock: Clock, remote: Remote | None = None) -> Collection:
        """As the gateway's stage and endpoint want it."""
        changes = Changes(self.path / MANIFEST)
        self.store.refresh()  # what was written between its opening and the first look at the changes
        return Collection(
            name,
            self.retriever(),
            clock,
            embedder=self.embedder.name,
            remote=remote,
            sentences=self._sentences(),
            changes=changes,
        )

    def _sentences(self) -> Sentences | None:
        """Looks up kept sentence vectors; None if the folder's build kept none."""
        try:
            manifest = Manifest.reading(self.path / MANIFEST)
            if not manifest.has_sentences():
                return None
        except sqlite3.Error:
            return None

        def look(chunk: str) -> tuple[list[str], Matrix] | None:
            try:
                return manifest.sentences(chunk, self.store.dim)
            except (sqlite3.Error, ValueError):
                # A help for pruning, never a condition: without vectors it goes by words.
                return None

        return look

    def close(self) -> None:
        """Commits and closes."""
        self.store.close()


def is_collection(path: Path) -> bool:
    """Whether a collection was begun in this folder."""
    return (path / ROWS).exists() or (path / LAYOUT).exists()


def other_embedder(known: str, name: str) -> str:
    """That a collection's vectors are of `known` and another embedder is in use, with the fix."""
    use = (
        "--embedder hashed, in a configuration stages.semantic.embedder: hashed"
        if known.startswith("hashed")
        else known
    )
    return f"holds vectors of {known}, not of {name}. Fix: build it anew in another folder, or use {use}"


def built_with(path: Path) -> str:
    """Name of the embedder that made a folder's vectors, "" where there is none yet or it is not noted."""
    layout = read_layout(path)
    if layout.kind != "embedded":
        return layout.embedder
    if not (path / ROWS).exists():
        return ""
    rows = RowStore(path / ROWS)
    try:
        return rows.get("note:embedder")
    finally:
        rows.close()


def read_settings(path: Path) -> Settings:
    """Settings from YAML, strictly.

    Raises:
        FolderError: with the file, the path inside it and what is wrong.
    """
    try:
        data: Any = read_yaml(path.read_text(encoding="utf-8")) or {}
        return msgspec.convert(data, Settings)
    except (msgspec.ValidationError, ValueError, yaml.YAMLError, OSError) as error:
        raise FolderError(f"{path}: {error}") from error
