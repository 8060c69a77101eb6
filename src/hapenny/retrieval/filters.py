"""Filters as typed data: written in configuration or a request, evaluated over columns or turned into SQL.

{"field": "genre", "in": ["Action", "Drama"]}
{"field": "year", "gte": 1990, "lt": 2000}
{"all": [...]}   {"any": [...]}   {"not": {...}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from hapenny.core.numbers import finite
from hapenny.retrieval.documents import Document


class Among(msgspec.Struct, frozen=True):
    """A facet holds at least one of `values`."""

    field: str
    values: tuple[str, ...]


class Between(msgspec.Struct, frozen=True):
    """A number in [low, high], ends open as told. A document without the number never matches."""

    field: str
    low: float = float("-inf")
    high: float = float("inf")
    low_open: bool = False
    high_open: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` is inside."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below


class All(msgspec.Struct, frozen=True):
    """Every part holds."""

    parts: tuple[Filter, ...]


class Any_(msgspec.Struct, frozen=True):
    """At least one part holds."""

    parts: tuple[Filter, ...]


class Not(msgspec.Struct, frozen=True):
    """The part does not hold."""

    part: Filter


Filter: TypeAlias = "Among | Between | All | Any_ | Not"


_DEEPEST = 8
_WIDEST = 100


class FilterError(ValueError):
    """A filter that cannot be read; says where and what would be right."""


def parse(data: Any, path: str = "filter", depth: int = 0) -> Filter:
    """Reads a filter from JSON or YAML data, strictly; at most eight levels deep, 100 parts or values wide."""
    if depth > _DEEPEST:
        raise FilterError(f"{path}: nested more than {_DEEPEST} deep")
    if not isinstance(data, Mapping):
        raise FilterError(f"{path}: expected an object, got {type(data).__name__}")
    if set(data) == {"all"} or set(data) == {"any"}:
        word = next(iter(data))
        parts = data[word]
        if not isinstance(parts, Sequence) or isinstance(parts, str) or not parts:
            raise FilterError(f"{path}.{word}: expected a list of filters")
        if len(parts) > _WIDEST:
            raise FilterError(f"{path}.{word}: {len(parts)} filters; at most {_WIDEST}")
        made = tuple(parse(part, f"{path}.{word}[{i}]", depth + 1) for i, part in enumerate(parts))
        return All(made) if word == "all" else Any_(made)
    if set(data) == {"not"}:
        return Not(parse(data["not"], f"{path}.not", depth + 1))
    field = data.get("field")
    if not isinstance(field, str):
        raise FilterError(f"{path}: expected `field` with `in`, `is` or a bound, or one of all, any, not")
    return _leaf(field, {key: value for key, value in data.items() if key != "field"}, path)


def _leaf(field: str, rest: Mapping[str, Any], path: str) -> Filter:
    if set(rest) == {"in"} and isinstance(rest["in"], Sequence) and not isinstance(rest["in"], str):
        if len(rest["in"]) > _WIDEST:
            raise FilterError(f"{path}.in: {len(rest['in'])} values; at most {_WIDEST}")
        return Among(field, tuple(str(value) for value in rest["in"]))
    if set(rest) == {"is"}:
        value = rest["is"]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            exact = _bound(value, f"{path}.is")
            return Between(field, exact, exact)
        return Among(field, (str(value).lower() if isinstance(value, bool) else str(value),))
    bounds = set(rest)
    if not bounds or bounds - {"gt", "gte", "lt", "lte"} or {"gt", "gte"} <= bounds or {"lt", "lte"} <= bounds:
        raise FilterError(f"{path}: {field!r} needs one of `in`, `is`, or bounds from gt, gte, lt, lte")
    known = {name: _bound(value, f"{path}.{name}") for name, value in rest.items()}
    return Between(
        field,
        known.get("gt", known.get("gte", float("-inf"))),
        known.get("lt", known.get("lte", float("inf"))),
        low_open="gt" in rest,
        high_open="lt" in rest,
    )


def _bound(value: Any, path: str) -> float:
    number = finite(value)
    if number is None:
        raise FilterError(f"{path}: expected a finite number, got {repr(value)[:40]}")
    return number


def matches(where: Filter, document: Document) -> bool:
    """Whether one document passes: the definition the columns and the SQL are tested against."""
    if isinstance(where, Among):
        return any(value in where.values for value in visible_facets(document).get(where.field, ()))
    if isinstance(where, Between):
        value = document.numbers.get(where.field)
        return value is not None and where.holds(value)
    if isinstance(where, All):
        return all(matches(part, document) for part in where.parts)
    if isinstance(where, Any_):
        return any(matches(part, document) for part in where.parts)
    return not matches(where.part, document)


def seen_by(tenant: str, groups: Sequence[str]) -> Filter:
    """What a caller may see: documents of the tenant or of none, and of one of its groups or of none."""
    return All(
        (
            Among(TENANT, (tenant, SHARED) if tenant else (SHARED,)),
            Among(GROUP, (*(group for group in groups if group.strip()), SHARED)),
        )
    )


TENANT = "@tenant"
GROUP = "@group"
SHARED = ""


NOBODY = "\x01nobody"
"""Stands for groups that name none: a list of blanks opens nothing."""


def visible_facets(document: Document) -> dict[str, list[str]]:
    """The document's facets with its tenant and access groups, as stores index them."""
    named = [group for group in document.groups if group.strip()]
    groups = named if named else [NOBODY] if document.groups else [SHARED]
    return {**document.facets, TENANT: [document.tenant], GROUP: groups}


def everyones() -> Filter:
    """Documents that everyone may see."""
    return seen_by("", ())


def restricted() -> Filter:
    """Documents that only a tenant, or only some groups, may see."""
    return Not(everyones())
