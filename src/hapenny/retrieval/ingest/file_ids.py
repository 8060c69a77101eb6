"""Which id each file gets: its path within its source, and never one that another file has.

A file keeps the id it was first indexed under. One whose path is taken by another file that is still there gets the
name of its source before it (`two/README.md`), with more of the path where that is taken too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hapenny.retrieval.ingest.manifest import Manifest
from hapenny.retrieval.readers import files


def name_files(roots: Iterable[Path], manifest: Manifest, notices: list[str]) -> list[tuple[Path, str]]:
    """(file, id) of every readable file at or under `roots`, once; `said` takes a line for each that had to be renamed.

    The manifest is read; `note_files` writes the ids into it once the files are indexed.
    """
    named: list[tuple[Path, str]] = []
    taken: dict[str, str] = {}
    known: set[str] = set()
    for root in roots:
        for file in files(root):
            origin = os.path.abspath(file)
            if origin in known:
                continue
            known.add(origin)
            name = _name(file, root, origin, manifest, taken)
            plain = _within(file, root)
            if name != plain and manifest.name_of(origin) != name:
                notices.append(
                    f"{file}: is {name} here, because {plain} is {taken.get(plain) or manifest.origin_of(plain)}"
                )
            taken[name] = origin
            manifest.put_file(origin, name)
            named.append((file, name))
    return named


def note_files(named: Iterable[tuple[Path, str]], manifest: Manifest) -> None:
    """Keeps which file has which id."""
    for file, name in named:
        manifest.put_file(os.path.abspath(file), name)
    manifest.commit()


def _name(file: Path, root: Path, origin: str, manifest: Manifest, taken: dict[str, str]) -> str:
    before = manifest.name_of(origin)
    if before and before not in taken:
        return before
    plain = _within(file, root)
    absolute = Path(os.path.abspath(root)).parts
    parts = absolute if root.is_dir() else absolute[:-1]
    for more in range(len(parts) + 1):
        name = "/".join([*parts[len(parts) - more :], plain]) if more else plain
        if name not in taken and _free(name, origin, manifest):
            return name
    return origin


def _free(name: str, origin: str, manifest: Manifest) -> bool:
    """Whether no other file that is still there has the name."""
    owner = manifest.origin_of(name)
    return not owner or owner == origin or not os.path.exists(owner)


def _within(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file != root else file.name
