"""A compact, exactly reversible form of JSON for models to read: rows under one head, constants said once.

    value  = scalar | {key:value,...} | [value,...] | {head NEWLINE row NEWLINE row ...}
    head   = field,field,...        field = key  key$  key=constant  key~2026-07-*Z  key{head}  key[head]  key[n head]
    row    = the cells of all fields in order; nothing for a constant; an empty cell is an absent key

`key$` marks a column of strings (a zip code stays a string without quotes), `key~2026-07-*Z` one of moments whose
common beginning and time zone stand in the head and the rest in the cells, `key{head}` a nested object whose cells
stand in the row, `key[head]` a list of objects in brackets, `key[n head]` one of always n objects, cell by cell. At
the top the outer braces of rows are left out and an object has one `key:value` on a line. Strings stand bare unless
they would read as something else. Values are never changed, so identifiers, quotes and URLs can be echoed as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from json.encoder import encode_basestring
from typing import Any, Literal, TypeAlias

from hapenny.core.patterns import pattern

Json: TypeAlias = Any


class Number(str):
    """A number whose text Python would not write the same way (1.50, 1E5, -0): kept as it stands."""

    __slots__ = ()


class Const:
    """A field with one value in all rows."""

    __slots__ = ("value",)

    def __init__(self, value: Json) -> None:
        self.value = value


class Leaf:
    """A field with a value of its own in each row; `stringly`: all are strings; `ends`: how all of them begin and
    end."""

    __slots__ = ("ends", "stringly")

    def __init__(self, stringly: bool = False, ends: tuple[str, str] | None = None) -> None:
        self.stringly = stringly
        self.ends = ends


class Record:
    """An object in each row, always with these keys in this order (leaves may be absent)."""

    __slots__ = ("fields",)

    def __init__(self, fields: list[tuple[str, Shape]]) -> None:
        self.fields = fields


class Items:
    """A list of records in each row; `length` if it is always the same."""

    __slots__ = ("length", "record")

    def __init__(self, record: Record, length: int | None) -> None:
        self.record = record
        self.length = length


Shape: TypeAlias = Const | Leaf | Record | Items
ABSENT = object()

LITERAL = pattern(r"(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)$")
_UNSAFE = pattern('[,\\[\\]{}"\x00-\x1f\x7f]|^[\\s]|\\s$')
_UNSAFE_KEY = pattern('[,:=~$\\[\\]{}"\\s\x00-\x1f\x7f]|^-?\\d')
_MOMENT = pattern(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d|)$")
_WORD = pattern(r"[A-Za-zÀ-ỹ]{3}")


Kind: TypeAlias = Literal["rows", "lines", "value"]


def compact(value: Json) -> tuple[Kind, str]:
    """The compact form of a decoded JSON value, and how to read it back."""
    if isinstance(value, list):
        shape = list_shape(value)
        if shape is not None:
            return "rows", table(shape, value)
    if isinstance(value, dict) and value:
        lines = (f"{key_text(key)}:{_spaced(inner, value_text(inner))}" for key, inner in value.items())
        return "lines", "\n".join(lines)
    return "value", value_text(value)


def list_shape(items: Sequence[Json]) -> Record | Items | None:
    """The common shape of a list's items, if rows are worth while."""
    if len(items) < 2:
        return None
    shape = _shape(items)
    return shape if isinstance(shape, Record | Items) else None


def _shape(values: Sequence[Json], depth: int = 0) -> Shape:
    present = [value for value in values if value is not ABSENT]
    whole = len(present) == len(values)
    first = present[0]
    if isinstance(first, dict) and whole and depth < 8:
        shape = _record(present, depth)
        if shape is not None:
            return shape
    elif isinstance(first, list) and depth < 8 and whole:
        found_items = _items(present, depth)
        if found_items is not None:
            return found_items
    if whole and len(values) > 1 and depth and _all_equal(present):
        return Const(first)
    stringly = all(type(value) is str for value in present)
    if stringly and whole and depth:
        ends = _moments(present)
        if ends is not None:
            return Leaf(ends=ends)
    return Leaf(stringly and any(not value or LITERAL.match(value) for value in present))


def _moments(values: Sequence[str]) -> tuple[str, str] | None:
    """How all of these dates with times begin and what zone ends them; None if they are none or it is not worth it.

    Nobody has to echo a moment to the letter, as they do an identifier or a URL: those are never taken apart.
    """
    zones = set()
    for value in values:
        match = _MOMENT.match(value)
        if match is None:
            return None
        zones.add(match.group(1))
    after = zones.pop() if len(zones) == 1 else ""
    low, high = min(values), max(values)
    before = low[: next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))]
    before = before[: max(before.rfind(mark) for mark in "-T :") + 1]
    if (len(before) + len(after)) * len(values) <= 2 * len(before) + 8:
        return None
    return before, after


def _all_equal(values: Sequence[Json]) -> bool:
    first = values[0]
    kind = type(first)
    if kind is dict or kind is list:
        written = value_text(first)
        return all(type(value) is kind and value_text(value) == written for value in values)
    return all(type(value) is kind and value == first for value in values)


def _record(values: Sequence[Json], depth: int) -> Record | None:
    keys: list[str] = []
    if not all(type(value) is dict for value in values):
        return None
    first = list(values[0])
    if all(list(value) == first for value in values):
        keys = first
    else:
        merged = _merged(values)
        if merged is None:
            return None
        keys = merged
        if sum(map(len, values)) < 0.5 * len(keys) * len(values):
            return None
    if not keys:
        return None
    fields = [(key, _shape([value.get(key, ABSENT) for value in values], depth + 1)) for key in keys]
    if all(isinstance(shape, Const) for _, shape in fields):
        key = fields[0][0]
        fields[0] = (key, Leaf(type(values[0][key]) is str))
    return Record(fields)


def _merged(values: Sequence[dict[str, Json]]) -> list[str] | None:
    """One order of keys that all objects follow; None if there is none."""
    order: list[str] = []
    for value in values:
        place = 0
        for key in value:
            if key in order:
                at = order.index(key)
                if at < place:
                    return None
                place = at + 1
            else:
                order.insert(place, key)
                place += 1
    ranks = {key: rank for rank, key in enumerate(order)}
    for value in values:
        seen = [ranks[key] for key in value]
        if any(a >= b for a, b in itertools.pairwise(seen)):
            return None
    return order


def _items(values: Sequence[Json], depth: int) -> Items | None:
    if not all(type(value) is list for value in values):
        return None
    inner = [item for value in values for item in value]
    if len(inner) < 2 or not all(type(item) is dict for item in inner):
        return None
    record = _record(inner, depth + 1)
    if record is None:
        return None
    lengths = {len(value) for value in values}
    return Items(record, lengths.pop() if len(lengths) == 1 else None)


# -- writing


def key_text(key: str) -> str:
    """A key, quoted only where it must be."""
    return encode_basestring(key) if not key or _UNSAFE_KEY.search(key) else key


def scalar_text(value: Json, stringly: bool = False) -> str:
    """A scalar, bare where it reads as itself."""
    if type(value) is str:
        if not value or _UNSAFE.search(value) or (not stringly and LITERAL.match(value)):
            return encode_basestring(value)
        return value
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value) if type(value) is not float else repr(value)


def value_text(value: Json) -> str:
    """Any value within a line."""
    if type(value) is dict:
        return (
            "{" + ",".join(f"{key_text(key)}:{_spaced(inner, value_text(inner))}" for key, inner in value.items()) + "}"
        )
    if type(value) is list:
        shape = list_shape(value)
        if shape is not None:
            return "{" + table(shape, value) + "}"
        return "[" + ",".join(value_text(item) for item in value) + "]"
    return scalar_text(value)


def _spaced(value: Json, text: str) -> str:
    # Vocabularies hold words with the space before them: ", Silva" is fewer tokens than ",Silva".
    return f" {text}" if type(value) is str and _WORD.match(text) else text


def table(shape: Record | Items, items: Sequence[Json]) -> str:
    """Head and rows."""
    lines = [head(shape)]
    lines.extend(",".join(_cells(shape, item)) for item in items)
    return "\n".join(lines)


def head(shape: Shape) -> str:
    """The description of a row."""
    if isinstance(shape, Record):
        return ",".join(_field(key, inner) for key, inner in shape.fields)
    if isinstance(shape, Items):
        return f"[{_items_head(shape)}]"
    raise TypeError(type(shape).__name__)


def _items_head(shape: Items) -> str:
    fields = head(shape.record)
    return fields if shape.length is None else f"{shape.length} {fields}"


def _field(key: str, shape: Shape) -> str:
    name = key_text(key)
    if isinstance(shape, Const):
        return f"{name}={value_text(shape.value)}"
    if isinstance(shape, Record):
        return f"{name}{{{head(shape)}}}"
    if isinstance(shape, Items):
        return f"{name}[{_items_head(shape)}]"
    if shape.ends is not None:
        return f"{name}~{shape.ends[0]}*{shape.ends[1]}"
    return f"{name}$" if shape.stringly else name


def _cells(shape: Shape, value: Json) -> Iterator[str]:
    if isinstance(shape, Leaf):
        if value is ABSENT:
            yield ""
        elif shape.ends is not None:
            before, after = shape.ends
            yield value[len(before) : len(value) - len(after)]
        elif type(value) is str:
            yield _spaced(value, scalar_text(value, shape.stringly))
        else:
            yield value_text(value)
    elif isinstance(shape, Record):
        for key, inner in shape.fields:
            yield from _cells(inner, value.get(key, ABSENT))
    elif isinstance(shape, Items):
        if shape.length is None:
            yield "[" + "\n".join(",".join(_cells(shape.record, item)) for item in value) + "]"
        else:
            for item in value:
                yield from _cells(shape.record, item)
