"""Configurations that a replay may compare: the one that serves, files beside it, it with a preset, it with changes.

Only files in the folder of the console's own configuration are offered: nobody reads others through a form.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from hapenny.config import PRESETS
from hapenny.core.strict_yaml import read_yaml

MOST_FILES = 20
_LARGEST = 400_000
_OURS = re.compile(r"^(backends|routes|tiers|stages|ledger)\s*:", re.MULTILINE)
SERVES, CHANGES = "serves", "changes"


class Candidate(Struct, frozen=True):
    """One to choose. `id`: its name in the form; `about`: a line for people."""

    id: str
    name: str
    about: str


def candidates(file: Path | None) -> list[Candidate]:
    """All there are beside `file`, the one that serves; none where it is not known."""
    if file is None:
        return []
    offered = [Candidate(SERVES, "as it serves", str(file))]
    offered += [
        Candidate(
            f"preset-{name}", f"preset {name}",
            f"{file.name}, all its routes at preset {name}, modes of single stages left out",
        )
        for name in PRESETS if name != "demo"
    ]  # fmt: skip
    return offered + [Candidate(f"file-{each.name}", each.name, str(each)) for each in _beside(file)]


def written(file: Path, id: str, changes: str, folder: Path) -> Path:
    """The file of a candidate; one that is made lies in `folder`.

    Raises:
        ValueError: there is none of that id, or the changes are no YAML; says which and what to do.
        OSError: the file that serves cannot be read.
    """
    if id == SERVES:
        return file
    if id.startswith("file-"):
        for each in _beside(file):
            if f"file-{each.name}" == id:
                return each
        raise ValueError(f"{id.removeprefix('file-')[:80]!r} is no longer beside {file}.")
    raw = read_yaml(file.read_text("utf-8")) or {}
    if id == CHANGES:
        raw = _merged(raw, _read(changes))
    elif id.removeprefix("preset-") in PRESETS:
        routes = raw.get("routes") or {"default": {}}
        raw["routes"] = {
            name: {key: value for key, value in (route or {}).items() if key != "stages"}
            | {"preset": id.removeprefix("preset-")}
            for name, route in routes.items()
        }
    else:
        raise ValueError(f"{id[:80]!r} is no configuration.")
    made = folder / f"{id}.yaml"
    made.write_text(yaml.safe_dump(raw, sort_keys=False, allow_unicode=True), "utf-8")
    return made


def _read(changes: str) -> dict[str, Any]:
    try:
        read = read_yaml(changes)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"The changes are no YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(read, dict) or not read:
        raise ValueError("The changes are no mapping. Write e.g. routes: {default: {stages: {semantic: on}}}")
    return read


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    made = dict(below)
    for name, value in above.items():
        known = made.get(name)
        made[name] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return made


def _beside(file: Path) -> list[Path]:
    """Other configurations in the folder of the one that serves."""
    try:
        names = sorted(each for each in file.resolve().parent.iterdir() if each.suffix in (".yaml", ".yml"))
    except OSError:
        return []
    kept = []
    for each in names:
        try:
            if each.samefile(file) or not each.is_file() or each.stat().st_size > _LARGEST:
                continue
            if _OURS.search(each.read_text("utf-8")):
                kept.append(each)
        except (OSError, ValueError):
            continue
    return kept[:MOST_FILES]
