"""Rows of a table or JSON-lines file as documents, by one rule for every collection.

`id` and `title` are what they say, `tenant` and `groups` bound who may see the row; every string or list of strings is
text; those with few distinct values over the file are facets too; numbers are metadata. Objects inside a row are read
as fields of their own (`maker.name`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from hapenny.core.numbers import finite
from hapenny.retrieval.access import EVERYONE, Access, AccessError, is_access, lookalikes, read_access
from hapenny.retrieval.documents import BODY_SEPARATOR, Document

MAX_DISTINCT = 2000
_LONGEST_FACET = 256
_DEEPEST = 6
_EXACT = 2**53
"""Up to which integers are numbers to the last digit."""

Field: TypeAlias = "str | list[str] | float | bool"


def from_rows(
    rows: Sequence[Mapping[str, Any]],
    source: str = "",
    distinct: int = MAX_DISTINCT,
    *,
    access: Access = EVERYONE,
    labels: bool = False,
    left_out: list[str] | None = None,
) -> list[Document]:
    """Documents of rows, in order. A row without an `id` gets its number; a repeated `id` gets a counter (`7~2`).

    Args:
        rows: fields by name.
        source: what the documents name as their source.
        distinct: most values of a facet.
        access: of rows that bound it not themselves.
        labels: whether short texts carry their field's name (`colour: red`), as in a table.
        left_out: takes a line for each row that is left out, and for what was not understood as it may have been meant.
    """
    notices = left_out if left_out is not None else []
    plain = [dict(fields(row)) for row in rows]
    few = filterable(plain, distinct)
    looks = lookalikes({name for row in rows for name in row})
    if looks:
        notices.append(
            f"{source}: {', '.join(looks)}: read as text; who may see a row is said by `tenant` and `groups`"
        )
    made: list[Document] = []
    given: dict[str, int] = {}
    for number, (row, each) in enumerate(zip(rows, plain, strict=True)):
        try:
            seen_by = read_access(row).beside(access)
        except AccessError as error:
            notices.append(f"{source}: row {number + 1} left out: {error}")
            continue
        id = row.get("id")
        name = str(id) if isinstance(id, (str, int, float)) and str(id).strip() else str(number)
        count = given[name] = given.get(name, 0) + 1
        if count > 1:
            name = f"{name}~{count}"
        made.append(from_row(each, few, name, source, access=seen_by, labels=labels))
    repeated = sum(count - 1 for count in given.values())
    if repeated:
        notices.append(
            f"{source}: {repeated} rows have an id that another row has; all are kept, with ~2, ~3 … behind it"
        )
    return made


def from_row(
    row: Mapping[str, Field],
    few: frozenset[str],
    id: str,
    source: str = "",
    *,
    access: Access = EVERYONE,
    labels: bool = False,
) -> Document:
    """One flat row (`fields`) as a document; `few` names the fields that are facets."""
    parts: list[str] = []
    facets: dict[str, list[str]] = {}
    numbers: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, bool):
            facets[name] = [str(value).lower()]
        elif (number := finite(value)) is not None:
            numbers[name] = number
        else:
            strings = [each for each in (value if isinstance(value, list) else [str(value)]) if each]
            if name in few:
                facets[name] = strings
            if name != "title":
                named = labels and sum(map(len, strings)) <= 80
                parts.extend(f"{name}: {each}" if named else each for each in strings)
    title = row.get("title")
    return Document(
        id=id,
        title=title if isinstance(title, str) else "",
        text=BODY_SEPARATOR.join(parts),
        facets=facets,
        numbers=numbers,
        tenant=access.tenant,
        groups=list(access.groups),
        source=source,
    )


def fields(row: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Field]]:
    """The fields of a row that hold something, but id and access; nested objects as `name.inner`, lists as texts."""
    for key, value in row.items():
        name = f"{prefix}{key}"
        if value is None or value != value or (not prefix and (key == "id" or is_access(key))):
            continue
        if isinstance(value, int) and abs(value) > _EXACT:
            yield name, str(value)  # an account's number, say: a float would round it
        elif isinstance(value, (str, bool, int, float)):
            yield name, value
        elif isinstance(value, Mapping):
            if depth < _DEEPEST:
                yield from fields(value, f"{name}.", depth + 1)
        elif isinstance(value, (list, tuple)):
            yield name, [text for each in value if (text := _text(each))]
        else:  # a date of YAML or TOML
            yield name, str(value)


def filterable(rows: Sequence[Mapping[str, Field]], distinct: int = MAX_DISTINCT) -> frozenset[str]:
    """Fields of strings with at most `distinct` values, all of them short."""
    seen: dict[str, set[str]] = {}
    full: set[str] = set()
    for row in rows:
        for name, value in row.items():
            if isinstance(value, (bool, int, float)) or name == "title" or name in full:
                continue
            strings = [value] if isinstance(value, str) else value
            values = seen.setdefault(name, set())
            values.update(strings)
            if len(values) > distinct or any(len(each) > _LONGEST_FACET for each in strings):
                full.add(name)
    return frozenset(name for name in seen if name not in full)


def _text(value: Any, depth: int = 0) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return ", ".join(f"{key}: {text}" for key, each in value.items() if (text := _text(each, depth + 1)))
    if isinstance(value, (list, tuple)) and depth < _DEEPEST:
        return ", ".join(text for each in value if (text := _text(each, depth + 1)))
    return "" if value is None else str(value)
