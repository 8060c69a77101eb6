"""Rows of a table or JSON-lines file as documents, by one rule for every collection.

`id` and `title` are what they say; every string or list of strings is text; those with few distinct values over the
file are facets too; numbers are metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hapenny.retrieval.documents import BODY_SEPARATOR, Document

MAX_DISTINCT = 2000


def from_rows(rows: Sequence[Mapping[str, Any]], source: str = "", distinct: int = MAX_DISTINCT) -> list[Document]:
    """Documents of rows, in order. A row without an `id` gets its number; nested objects and nulls are left out."""
    few = filterable(rows, distinct)
    return [from_row(row, few, str(row.get("id", number)), source) for number, row in enumerate(rows)]


def from_row(row: Mapping[str, Any], few: frozenset[str], id: str, source: str = "") -> Document:
    """One row as a document; `few` names the fields that are facets."""
    parts: list[str] = []
    facets: dict[str, list[str]] = {}
    numbers: dict[str, float] = {}
    for name, value in row.items():
        if name == "id":
            continue
        strings = as_strings(value)
        if strings is not None:
            if name in few:
                facets[name] = [each for each in strings if each]
            if name != "title":
                parts.extend(each for each in strings if each)
        elif isinstance(value, bool):
            facets[name] = [str(value).lower()]
        elif isinstance(value, (int, float)):
            numbers[name] = float(value)
    title = row.get("title")
    return Document(
        id=id,
        title=title if isinstance(title, str) else "",
        text=BODY_SEPARATOR.join(parts),
        facets=facets,
        numbers=numbers,
        source=source,
    )


def filterable(rows: Sequence[Mapping[str, Any]], distinct: int = MAX_DISTINCT) -> frozenset[str]:
    """Fields of strings with more than one and at most `distinct` values."""
    seen: dict[str, set[str]] = {}
    full: set[str] = set()
    for row in rows:
        for name, value in row.items():
            strings = as_strings(value)
            if strings is None or name in ("id", "title") or name in full:
                continue
            values = seen.setdefault(name, set())
            values.update(strings)
            if len(values) > distinct:
                full.add(name)
    return frozenset(name for name, values in seen.items() if name not in full and len(values) > 1)


def as_strings(value: Any) -> list[str] | None:
    """A string or list of strings as a list; None for anything else."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None
