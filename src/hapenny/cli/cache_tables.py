"""What `hapenny cache` shows: tables in the caches' own words, money in dollars."""

from __future__ import annotations

from typing import Any

from hapenny.cli.printable import printable

_COUNTS = ("hits", "stale_hits", "misses", "evictions", "expired", "purged")
_MONEY = ("saved", "embedding", "judging", "answering", "storage", "net")
_TEXTS = ("route", "key", "model", "tags", "closed_because")
_WIDTH = 118
"""Columns a table may take where nobody says how many there are."""


def stats(layers: dict[str, Any]) -> None:
    """Layers, what each earns on each route, the semantic layer's promise, and answers ahead."""
    rows = [
        [
            name, f"{row['entries']:,}", f"{row['bytes'] / 1e6:,.1f}", f"{row['capacity'] / 1e6:,.0f}",
            *(f"{row[count]:,}" for count in _COUNTS), _share(row["hits"], row["misses"]),
        ]
        for name, row in layers.items() if name in ("exact", "semantic")
    ]  # fmt: skip
    _table("Layers", ["layer", "entries", "MB", "of MB", *_COUNTS, "hit share"], rows)
    if returns := layers.get("returns"):
        rows = [
            [
                row["layer"], row["route"], f"{row['requests']:,}", f"{row['hits']:,}",
                *(_dollars(row[name]) for name in _MONEY),
                f"stopped; tries again in {row['tries_again_in']:,}" if row["stopped"] else "",
            ]
            for row in returns
        ]  # fmt: skip
        _table(
            "Returns (dollars, over a layer's last requests)", ["layer", "route", "requests", "hits", *_MONEY, ""], rows
        )
    for key, title in (("routes", "Semantic"), ("watched", "Semantic, where it only watches")):
        if routes := layers.get(key):
            names = list(dict.fromkeys(name for row in routes.values() for name in row if name != "outlook"))
            rows = [[route, *(_short(row.get(name)) for name in names)] for route, row in routes.items()]
            _table(title, ["route", *names], rows)
            _table("Opens", ["", ""], [[route, row.get("outlook", "")] for route, row in routes.items()], head=False)
    for name in ("precompute", "results", "edge", "judging"):
        if name in layers:
            rows = [[key, _value(key, value)] for key, value in layers[name].items()]
            _table(name.capitalize(), ["", ""], rows, head=False)


def entries(kept: list[dict[str, Any]]) -> None:
    """Stored answers, without their text."""
    rows = [
        [
            row["layer"], row["key"], f"{row['age_s']:.0f} s",
            f"{row['expires_in_s']:.0f} s" if row["fresh"] else "stale",
            str(row["hits"]), f"{row['bytes']:,}", row["model"],
            " ".join(tag for tag in row["tags"] if not tag.startswith("model:")),
        ]
        for row in kept
    ]  # fmt: skip
    _table("Entries", ["layer", "key", "age", "expires in", "hits", "bytes", "model", "tags"], rows)


def removed(counts: dict[str, Any]) -> None:
    """What an invalidation took, or would take."""
    dry = any(row["dry_run"] for row in counts.values())
    rows = [[name, f"{row['entries']:,}", f"{row['bytes']:,}"] for name, row in counts.items()]
    _table("Would go" if dry else "Gone", ["layer", "entries", "bytes"], rows)


def _table(title: str, names: list[str], rows: list[list[str]], *, head: bool = True) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=head, box=None, pad_edge=False)
    for number, name in enumerate(names):
        left = not number or not name or name in _TEXTS
        table.add_column(name.replace("_", " "), justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(table)


def _share(hits: int, misses: int) -> str:
    return f"{100 * hits / (hits + misses):.1f} %" if hits + misses else ""


def _dollars(nano: int) -> str:
    return f"{nano / 1e9:.4g}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _value(key: str, value: Any) -> str:
    if key in ("spent", "today", "held", "budget", "cost"):
        return f"${_dollars(value)}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return _short(value)
