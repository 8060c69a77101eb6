"""Indexes by faiss (extra `retrieval`): exact, 8-bit, graph and inverted lists, all with filters and compaction.

One class with a `Shape` instead of one class an algorithm: they differ in how faiss is told to store vectors, and
share keys, deletes, filters and snapshots. Methods: scalar quantisation and inverted lists (Jegou, Douze and Schmid,
TPAMI 2011), HNSW (Malkov and Yashunin, TPAMI 2020), all as in "The Faiss library" (Douze et al. 2024).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.vectors.embedder import Vectors
from hapenny.vectors.index import Hits, checked, written

Kind = Literal["exact", "half", "sq8", "hnsw", "hnsw_half", "hnsw_sq8", "ivf", "ivf_sq8"]
Mask = NDArray[np.bool_]

NOTHING = Hits(np.empty(0, np.int64), np.empty(0, np.float32))
_FEW = 25_000
_MAX_EFFORT = 4096
_REPEATABLE = 20_000


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How vectors are stored and searched. `half` is a full scan over 16-bit floats: cosines are right to .0005, and
    a scan, which waits for memory, takes two thirds of the time.

    `m`, `build`, `effort`: links, beam at build and beam at search of a graph. `lists`, `probes`: inverted lists
    and how many of them a search reads (0: the square root of the count, and an eighth of the lists). `dims`: principal
    components that are searched, with full vectors for the last word (`reduced`); 0: all dimensions.
    """

    kind: Kind = "hnsw"
    m: int = 16
    build: int = 100
    effort: int = 192
    lists: int = 0
    probes: int = 0
    dims: int = 0

    def __post_init__(self) -> None:
        if self.dims < 0:
            raise ValueError(f"dims: {self.dims}; use 0 for all, or how many are searched")


class CompactIndex:
    """Vectors under integer keys in one faiss index. Removed ones are masked at once and gone after `compact`."""

    def __init__(self, dim: int, shape: Shape | None = None) -> None:
        self._dim = dim
        self.shape = shape or Shape()
        self._faiss: Any = None
        self._keys = np.empty(0, np.int64)
        self._alive = np.empty(0, np.bool_)
        self._at: dict[int, int] = {}
        self._rising = True
        """Whether the keys came in rising order, so that a place is found by halving."""

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._dim

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, key: int) -> bool:
        return key in self._at

    @property
    def dead(self) -> int:
        """Removed vectors that still take memory."""
        return len(self._keys) - len(self._at)

    def add(self, keys: Sequence[int] | NDArray[np.int64], vectors: Vectors) -> None:
        """Stores or replaces. The first call trains quantisers and lists, so it should bring a good sample."""
        faiss = _library()
        rows = checked(vectors, len(keys), self._dim)
        if not len(rows):
            return
        self.remove([int(key) for key in keys if int(key) in self._at])
        if self._faiss is None:
            self._faiss = _make(faiss, self._dim, self.shape, len(rows))
        if not self._faiss.is_trained:
            with _threads(faiss, os.cpu_count() or 1):
                self._faiss.train(rows)
        start = len(self._keys)
        # One thread builds the same graph every time; beyond a few seconds of work speed matters more.
        with _threads(faiss, 1 if len(rows) <= _REPEATABLE else os.cpu_count() or 1):
            self._faiss.add(rows)
        self._keys = np.concatenate([self._keys, np.asarray(keys, np.int64)])
        self._rising = bool(np.all(self._keys[1:] > self._keys[:-1]))
        self._alive = np.concatenate([self._alive, np.ones(len(rows), np.bool_)])
        self._at.update((int(key), start + i) for i, key in enumerate(keys))

    def remove(self, keys: Sequence[int] | NDArray[np.int64]) -> int:
        """Masks keys; their memory comes back with `compact`."""
        gone = 0
        for key in keys:
            at = self._at.pop(int(key), None)
            if at is not None:
                self._alive[at] = False
                gone += 1
        return gone

    def search(self, vector: Vectors, k: int, only: Mask | None = None, effort: int | None = None) -> Hits:
        """The `k` nearest, among keys where `only[key]` holds if given; never fewer while matches remain.

        The plan: an exact scan over the matches when they are few, else the graph or lists with an effort scaled by
        their share, and the exact scan after all if that came back short.
        """
        if self._faiss is None or k <= 0:
            return NOTHING
        query = np.ascontiguousarray(vector, np.float32).reshape(1, -1)
        allowed = self._allowed(only)
        matches = len(self._keys) if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, matches)
        if k == 0:
            return NOTHING
        if allowed is not None and matches <= _FEW:
            return self._scan(query, k, allowed)
        nearest = self._walk(query, k, allowed, matches, effort)
        return nearest if len(nearest.keys) == k else self._scan(query, k, allowed)

    def vectors(self, keys: Sequence[int] | NDArray[np.int64]) -> Vectors:
        """Stored vectors of known keys, as far as the quantiser kept them."""
        if self._rising and not self.dead:
            at = np.searchsorted(self._keys, np.asarray(keys, np.int64))
        else:
            at = np.array([self._at[int(key)] for key in keys], np.int64)
        return np.asarray(self._storage().reconstruct_batch(at), np.float32) if len(at) else self._none()

    def compact(self) -> None:
        """Rebuilds without the removed vectors."""
        if self.dead:
            positions = np.flatnonzero(self._alive)
            keys = self._keys[positions]
            rows = np.asarray(self._storage().reconstruct_batch(positions), np.float32) if len(keys) else self._none()
            self._faiss, self._keys, self._alive, self._at = None, keys[:0], self._alive[:0], {}
            self.add(keys, rows)

    def memory(self) -> int:
        """Bytes of vectors and links (a serialised copy is measured: for reports, not for the hot path)."""
        faiss = _library()
        return int(faiss.serialize_index(self._faiss).nbytes) if self._faiss is not None else 0

    def save(self, path: Path) -> None:
        """Writes a snapshot file, atomically."""
        faiss = _library()
        self.compact()
        blob = faiss.serialize_index(self._faiss) if self._faiss is not None else np.empty(0, np.uint8)
        temporary = written(path)
        with temporary.open("wb") as file:
            np.savez(file, index=blob, keys=self._keys, shape=np.frombuffer(msgspec.json.encode(self.shape), np.uint8))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, dim: int) -> CompactIndex:
        """Reads a snapshot."""
        faiss = _library()
        with np.load(path, allow_pickle=False) as stored:
            made = cls(dim, msgspec.json.decode(stored["shape"].tobytes(), type=Shape))
            keys = stored["keys"]
            if len(keys):
                made._faiss = faiss.deserialize_index(stored["index"])
                made._keys, made._alive = keys, np.ones(len(keys), np.bool_)
                made._rising = bool(np.all(keys[1:] > keys[:-1]))
                made._at = {int(key): i for i, key in enumerate(keys)}
        return made

    def _none(self) -> Vectors:
        return np.empty((0, self._dim), np.float32)

    def _allowed(self, only: Mask | None) -> Mask | None:
        if only is None:
            return self._alive if self.dead else None
        inside = self._keys < len(only)
        return np.asarray(self._alive & inside & only[np.where(inside, self._keys, 0)], np.bool_)

    def _storage(self) -> Any:
        faiss = _library()
        if self.shape.kind.startswith("hnsw"):
            return faiss.downcast_index(self._faiss.storage)
        if self.shape.kind.startswith("ivf"):
            self._faiss.make_direct_map()
        return self._faiss

    def _scan(self, query: Vectors, k: int, allowed: Mask | None) -> Hits:
        """Exact over the allowed positions (as stored)."""
        faiss = _library()
        if self.shape.kind.startswith("ivf"):
            parameters = faiss.SearchParametersIVF(nprobe=self._faiss.nlist, sel=_selector(faiss, allowed))
            return self._hits(self._faiss.search(query, k, params=parameters))
        if allowed is None:
            return self._hits(self._storage().search(query, k))
        parameters = faiss.SearchParameters(sel=_selector(faiss, allowed))
        return self._hits(self._storage().search(query, k, params=parameters))

    def _walk(self, query: Vectors, k: int, allowed: Mask | None, matches: int, effort: int | None) -> Hits:
        faiss = _library()
        share = matches / len(self._keys)
        if self.shape.kind.startswith("hnsw"):
            beam = min(_MAX_EFFORT, max(k, int((effort or self.shape.effort) / share)))
            parameters = faiss.SearchParametersHNSW(efSearch=beam, sel=_selector(faiss, allowed))
        elif self.shape.kind.startswith("ivf"):
            probes = effort or self.shape.probes or max(1, self._faiss.nlist // 8)
            parameters = faiss.SearchParametersIVF(
                nprobe=min(self._faiss.nlist, int(probes / share) + 1), sel=_selector(faiss, allowed)
            )
        else:
            return self._scan(query, k, allowed)
        return self._hits(self._faiss.search(query, k, params=parameters))

    def _hits(self, nearest: tuple[Any, Any]) -> Hits:
        scores, positions = nearest[0][0], nearest[1][0]
        known = positions >= 0
        return Hits(self._keys[positions[known]], np.asarray(scores[known], np.float32))


@cache
def _library() -> Any:
    """faiss, untyped (its stubs know only half of its classes), with one thread a search.

    Searches of many requests share the cores already; faiss's own threads then only wait for each other.
    """
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(1)
    return faiss


@contextmanager
def _threads(faiss: Any, count: int) -> Iterator[None]:
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(1)


def _selector(faiss: Any, allowed: Mask | None) -> Any:
    return None if allowed is None else faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def _make(faiss: Any, dim: int, shape: Shape, expected: int) -> Any:
    cosine = faiss.METRIC_INNER_PRODUCT
    eight = faiss.ScalarQuantizer.QT_8bit
    if shape.kind == "exact":
        return faiss.IndexFlatIP(dim)
    if shape.kind == "half":
        return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, cosine)
    if shape.kind == "sq8":
        return faiss.IndexScalarQuantizer(dim, eight, cosine)
    if shape.kind.startswith("hnsw"):
        if shape.kind == "hnsw":
            graph = faiss.IndexHNSWFlat(dim, shape.m, cosine)
        else:
            code = eight if shape.kind == "hnsw_sq8" else faiss.ScalarQuantizer.QT_fp16
            graph = faiss.IndexHNSWSQ(dim, code, shape.m, cosine)
        graph.hnsw.efConstruction = shape.build
        return graph
    lists = shape.lists or max(1, int(expected**0.5))
    coarse = faiss.IndexFlatIP(dim)
    made = (
        faiss.IndexIVFScalarQuantizer(coarse, dim, lists, eight, cosine)
        if shape.kind == "ivf_sq8"
        else faiss.IndexIVFFlat(coarse, dim, lists, cosine)
    )
    made.own_fields = True
    coarse.this.disown()
    return made
