"""Vectors on disk by content: the same text is embedded once per model and quantisation, whoever asks.

A folder per embedder name; each fill adds one immutable segment (`<digest of its keys>.npz`), so processes may fill the
same folder at once. Meant for benchmarks and studies (`--cache DIR`): it grows without bound and is read whole.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hapenny.vectors.embedder import Embedder, Vectors

_BATCH = 2_048


class CachedEmbedder:
    """An embedder that reads `folder` first and adds to it what it had to compute."""

    def __init__(self, inner: Embedder, folder: Path) -> None:
        self._inner = inner
        self._folder = folder / inner.name.replace("/", "--")
        self._known: dict[bytes, Vectors] | None = None
        self.computed = 0

    @property
    def name(self) -> str:
        """The inner embedder's name."""
        return self._inner.name

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._inner.dim

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (n, dim); texts not seen before are embedded and stored, a segment per 2,048."""
        known = self._read()
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        wanted = list(missing)
        for start in range(0, len(wanted), _BATCH):
            part = wanted[start : start + _BATCH]
            vectors = await self._inner.embed([missing[key] for key in part])
            self.computed += len(part)
            known.update(zip(part, vectors, strict=True))
            self._write(part, vectors)
        return np.stack([known[key] for key in keys]) if keys else np.zeros((0, self.dim), dtype=np.float32)

    def _read(self) -> dict[bytes, Vectors]:
        if self._known is None:
            self._known = {}
            for path in sorted(self._folder.glob("*.npz")):
                with np.load(path, allow_pickle=False) as stored:
                    keys, vectors = stored["keys"], stored["vectors"]
                self._known.update(zip((bytes(key) for key in keys), vectors, strict=True))
        return self._known

    def _write(self, keys: list[bytes], vectors: Vectors) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), 16), vectors=vectors)
        path = self._folder / (hashlib.blake2b(b"".join(keys), digest_size=16).hexdigest() + ".npz")
        temporary = path.with_suffix(f".{os.getpid()}-{id(buffer):x}.tmp")
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)
