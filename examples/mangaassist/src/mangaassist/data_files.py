"""The shop's data as it ships: series, volumes, pages, and orders made up for a day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mangaassist.catalogue import Order, Series, Volume

DATA = Path(__file__).with_name("data")
QUESTIONS = DATA / "questions.jsonl"
"""Questions with right answers, for simulated models."""
ORDERS = 400
_CARRIERS = ("Kitsune Express", "Harbour Post", "Blue Crane")


def volumes() -> Iterator[Volume]:
    """All volumes, by series."""
    with (DATA / "catalogue.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            series = Series(
                entry["id"], entry["titles"], entry["author"], entry["genres"], entry["age"], entry["about"],
                len(entry["volumes"]),
            )  # fmt: skip
            for sku, number, pages, price, stock, released in entry["volumes"]:
                yield Volume(sku, series, number, pages, price, stock, date.fromisoformat(released))


@cache
def pages() -> dict[str, Any]:
    """`topics`: headings by language and topic; `rules`: by id, topic and the sentence in each language."""
    loaded: dict[str, Any] = yaml.safe_load((DATA / "pages.yaml").read_text(encoding="utf-8"))
    return loaded


def rule(id: str, language: str) -> str | None:
    """The sentence of a rule."""
    known = pages()["rules"].get(id)
    return str(known[language]) if known is not None else None


def page(topic: str, language: str) -> str:
    """A page of rules as a passage."""
    sentences = [rule[language] for rule in pages()["rules"].values() if rule["topic"] == topic]
    return f"{pages()['topics'][language][topic]}\n{('' if language == 'ja' else ' ').join(sentences)}"


def orders(today: date) -> Iterator[Order]:
    """Orders of the last days, the same for the same day. The customers are `reader-1` … `reader-40`."""
    for index in range(ORDERS):
        draws = hashlib.blake2b(f"order {index}".encode(), digest_size=8).digest()
        yield Order(
            id=f"H-{100_000 + (int.from_bytes(draws[:4], 'big') % 900_000)}",
            state=("packed", "shipped", "shipped", "shipped", "delayed")[draws[4] % 5],
            expected=today + timedelta(days=1 + draws[5] % 9),
            carrier=_CARRIERS[draws[6] % 3],
            items=1 + draws[7] % 6,
            placed=today - timedelta(days=2),
            customer=f"reader-{1 + index % 40}",
        )
