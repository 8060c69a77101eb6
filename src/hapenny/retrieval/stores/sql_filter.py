"""Filters as SQL conditions over `tags text[]` and `numbers jsonb` of a table called `d`."""

from __future__ import annotations

from typing import Any

from hapenny.retrieval.filters import All, Among, Any_, Between, Filter, Not

_SEPARATOR = "\x1f"


def tag(field: str, value: str) -> str:
    """A facet value as one array element."""
    return f"{field}{_SEPARATOR}{value}"


def where_sql(where: Filter | None) -> tuple[str, list[Any]]:
    """A condition with placeholders, and their values."""
    if where is None:
        return "TRUE", []
    if isinstance(where, Among):
        return "d.tags && %s::text[]", [[tag(where.field, value) for value in where.values]]
    if isinstance(where, Between):
        low, high = (">" if where.low_open else ">="), ("<" if where.high_open else "<=")
        number = "(d.numbers->>%s)::float8"
        return (
            f"coalesce({number} {low} %s::float8 AND {number} {high} %s::float8, FALSE)",
            [where.field, where.low, where.field, where.high],
        )
    if isinstance(where, (All, Any_)):
        parts = [where_sql(part) for part in where.parts]
        word = " AND " if isinstance(where, All) else " OR "
        return "(" + word.join(sql for sql, _ in parts) + ")", [value for _, values in parts for value in values]
    assert isinstance(where, Not)
    sql, values = where_sql(where.part)
    return f"NOT ({sql})", values
