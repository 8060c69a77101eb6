"""A folder as an S3 bucket: objects are files, written whole."""

from __future__ import annotations

import os
from pathlib import Path


class FolderBucket:
    """A folder as a bucket, or with an empty `name` as all buckets there are, one a folder. Keys that lead out of it do
    not exist."""

    def __init__(self, folder: Path, name: str = "bucket") -> None:
        self.folder = folder
        self.name = name

    def put(self, key: str, data: bytes) -> None:
        """Stores an object, whole."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_bytes(data)
        os.replace(partial, path)

    def get(self, key: str) -> bytes:
        """An object's bytes. Raises `FileNotFoundError` or `IsADirectoryError`."""
        return self._path(key).read_bytes()

    def delete(self, key: str) -> None:
        """Removes an object, if there is one."""
        self._path(key).unlink(missing_ok=True)

    def list(self, prefix: str) -> list[str]:
        """Keys that begin with `prefix`."""
        start = (self.folder / prefix).parent if not prefix.endswith("/") else self.folder / prefix
        files = (p for p in start.rglob("*") if p.is_file() and not p.name.startswith("."))
        return sorted(key for p in files if (key := str(p.relative_to(self.folder))).startswith(prefix))

    def key(self, uri: str) -> str:
        """The key here of `s3://BUCKET/KEY`."""
        path = uri.removeprefix("s3://")
        return path.partition("/")[2] if self.name else path

    def _path(self, key: str) -> Path:
        if not key or ".." in key.split("/") or key.startswith("/"):
            raise FileNotFoundError(key)
        return self.folder / key
