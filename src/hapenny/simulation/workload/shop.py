"""The fictional shop as an application sees it: catalogue, rules, the passages retrieval finds, its tools.

Also the words in which shoppers ask and models answer (`phrases.yaml`, `policies.yaml`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from hapenny.simulation.workload.catalogue import FIRST_DAY, Catalogue, Series, Volume, words
from hapenny.simulation.workload.chance import Draws, number
from hapenny.simulation.workload.truth import fold


@cache
def phrases() -> dict[str, Any]:
    """Wordings of questions and answers."""
    wordings: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("phrases.yaml").read_text(encoding="utf-8"))
    return wordings


@cache
def policies() -> dict[str, dict[str, Any]]:
    """The shop's rules by id."""
    rules: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("policies.yaml").read_text(encoding="utf-8"))
    return {rule["id"]: rule for rule in rules}


_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def values(rule: Mapping[str, Any], language: str) -> list[str]:
    """What a rule says in a language: the right value first, then wrong ones."""
    own: list[str] = rule.get(f"values_{language}", rule["values"])
    return own


def spoken(day: date, language: str) -> str:
    """A date as people write it."""
    if language == "ja":
        return f"{day.year}年{day.month}月{day.day}日"
    if language == "vi":
        return f"{day.day} tháng {day.month} năm {day.year}"
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


@lru_cache(maxsize=50_000)
def estimate(text: str) -> int:
    """Tokens of `text`, roughly: words and marks count about one each, as they do for Claude 3."""
    letters = digits = spaces = east = others = 0
    for mark, count in Counter(text).items():
        if mark.isspace():
            spaces += count
        elif mark.isascii():
            if mark.isalpha():
                letters += count
            elif mark.isdecimal():
                digits += count
            else:
                others += count
        elif "\u3040" <= mark <= "\u9fff":
            east += count
        else:
            others += count
    return round(0.02 * letters + 0.77 * digits + spaces + 0.82 * east + 0.95 * others)


class Shop:
    """One shop with all it knows. Everything follows from the catalogue's seed and the day."""

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self.catalogue = catalogue if catalogue is not None else Catalogue()
        self._titles = {
            fold(name): series for series in self.catalogue.series for name in series.names.values()
        }  # fmt: skip
        self._pages: dict[tuple[str, str], str] = {}
        self._records: dict[tuple[str, str, int], str] = {}
        self._systems: dict[int, str] = {}

    # -- passages ------------------------------------------------------------------------------------------------

    def record(self, volume: Volume, language: str, day: int) -> str:
        """A volume as retrieval finds it."""
        key = (volume.sku, language, day)
        known = self._records.get(key)
        if known is not None:
            return known
        state = self.catalogue.state(volume, day)
        series = volume.series
        text: str = phrases()["record"][language].format(
            t=title(series, language), n=volume.number, sku=volume.sku, count=series.volumes, author=series.author,
            genre=series.genres[language], age=series.age, price=state.price, stock=state.stock,
            date=volume.released.isoformat(), pages=volume.pages, about=series.about,
        )  # fmt: skip
        if len(self._records) >= 50_000:
            self._records.clear()
        self._records[key] = text
        return text

    def about(self, volume: Volume, language: str) -> tuple[str, str]:
        """Names of a volume in passages and tool results."""
        heading = phrases()["heading"][language].format(t=title(volume.series, language), n=volume.number)
        return volume.sku, heading

    def page(self, topic: str, language: str) -> str:
        """The rules of one topic."""
        known = self._pages.get((topic, language))
        if known is None:
            heading = phrases()["topics"][language][topic]
            gap = "" if language == "ja" else " "
            rules = [rule for rule in policies().values() if rule["topic"] == topic]
            lines = [rule[language]["fact"].format(v=values(rule, language)[0]) for rule in rules]
            known = self._pages[topic, language] = f"{heading}\n{gap.join(lines)}"
        return known

    # -- the assistant's own part of the prompt --------------------------------------------------------------------

    def system(self, tokens: int) -> str:
        """Instructions of about this many tokens: the same text for the same number."""
        known = self._systems.get(tokens)
        if known is None:
            known = self._systems[tokens] = self._instructions(tokens)
        return known

    def _instructions(self, tokens: int) -> str:
        text = str(phrases()["system"]).strip()
        for rule in phrases()["rules"]:
            if estimate(text) >= tokens:
                break
            text += f"\n- {rule}"
        draws = Draws("examples", self.catalogue.seed)
        while estimate(text) < tokens - 12:
            rule = draws.choice(list(policies().values()))
            language = draws.choice(["en", "en", "ja", "vi"])
            wording = rule[language]
            text += f"\nExample. Customer: {draws.choice(wording['ask'])} You: "
            text += wording["fact"].format(v=values(rule, language)[0])
        return text

    @staticmethod
    def tools(tokens: int) -> tuple[tuple[str, str, dict[str, Any]], ...]:
        """The assistant's tools as (name, description, schema), as many as make about this many tokens."""
        tools: list[tuple[str, str, dict[str, Any]]] = []
        size = 0
        for name, described, fields in _TOOLS:
            properties = {field: {"type": kind, "description": text} for field, kind, text in fields}
            schema = {"type": "object", "properties": properties, "required": [fields[0][0]]}
            tools.append((name, described, schema))
            size += estimate(f"{name} {described} {schema}")
            if size >= tokens and len(tools) >= 2:
                break
        return tuple(tools)

    def run(self, tool: str, arguments: Mapping[str, Any], day: int) -> dict[str, Any]:
        """What a tool answers on a day."""
        if tool == "order_status":
            order = str(arguments.get("order_id", "")).strip().upper()
            return order_record(order, day) if order.startswith("H-") else {"error": "no such order"}
        if tool == "stock_check":
            volume = self.find(str(arguments.get("title", "")), arguments.get("volume"))
            if volume is None:
                return {"error": "no such volume"}
            state = self.catalogue.state(volume, day)
            return {
                "sku": volume.sku, "title": volume.series.name, "volume": volume.number, "price_eur": state.price,
                "in_stock": f"{state.stock} copies", "warehouse": "Harbour Street", "checked": _day(day).isoformat(),
            }  # fmt: skip
        return {"error": f"no tool {tool}"}

    def find(self, name: str, volume: Any) -> Volume | None:
        """A volume by title in any language and number."""
        series = self._titles.get(fold(name))
        try:
            return self.catalogue.of_series[series.id][int(volume) - 1] if series is not None else None
        except (TypeError, ValueError, IndexError):
            return None


def title(series: Series, language: str) -> str:
    """A title as people of a language write it."""
    return series.names[language]


def order_record(order: str, day: int) -> dict[str, Any]:
    """An order on a day, as the tool tells it."""
    state = ("packed", "shipped", "shipped", "shipped", "delayed")[int(number("order", order, day) * 5)]
    due = _day(day) + timedelta(days=1 + int(number("due", order, day) * 9))
    carrier = words()["carriers"][int(number("carrier", order) * len(words()["carriers"]))]
    return {
        "order_id": order, "state": state, "expected": due.isoformat(), "carrier": carrier,
        "items": 1 + int(number("items", order) * 6), "placed": (_day(day) - timedelta(days=2)).isoformat(),
    }  # fmt: skip


def _day(day: int) -> date:
    return FIRST_DAY + timedelta(days=day)


_TOOLS: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "order_status",
        "Looks up where an order is, its state, carrier and the day on which it is expected.",
        (("order_id", "string", "The number of the order, such as H-482193."),),
    ),
    (
        "stock_check",
        "Looks up how many copies of one volume of a series are in stock, and its price.",
        (
            ("title", "string", "The title of the series as the catalogue or the customer spells it."),
            ("volume", "integer", "The number of the volume, from 1."),
        ),
    ),
    (
        "search_products",
        "Searches the catalogue for series and volumes by title, author, genre, age or price.",
        (
            ("query", "string", "What the customer is looking for, in any language."),
            ("genre", "string", "Only this genre."),
            ("most_euros", "number", "Only volumes up to this price."),
            ("age", "integer", "Only what is suitable from this age."),
        ),
    ),
    (
        "recommend",
        "Finds titles that readers of a given series liked as well.",
        (("title", "string", "The series that was liked."), ("count", "integer", "How many, at most three.")),
    ),
    (
        "hand_over",
        "Hands the conversation to a colleague, with a summary for them.",
        (("summary", "string", "What was asked and what was done."), ("urgent", "boolean", "Whether to hurry.")),
    ),
    (
        "create_return",
        "Opens a return for volumes of an order and sends the label by mail.",
        (
            ("order_id", "string", "The number of the order."),
            ("skus", "string", "The volumes to be returned, separated by commas."),
            ("reason", "string", "Why they come back."),
        ),
    ),
)
