"""Pages from templates: Jinja2 with everything escaped, and what templates say of money, time and shares."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from hapenny.console.html.charts import money, seconds, shown
from hapenny.console.html.lines import sparkline
from hapenny.console.html.words import words

_HERE = Path(__file__).parent
STATIC = {"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8"}


def share(value: float | None, digits: int = 1) -> str:
    """A share as per cent."""
    return "–" if value is None else f"{value:.{digits}%}".replace("-", "−")


def moment(wall: float | None) -> str:
    """A time for people (UTC)."""
    return "–" if wall is None else datetime.fromtimestamp(wall, UTC).strftime("%d %b %H:%M:%S")


def duration(value: float | None) -> str:
    """Seconds for people; a dash where nothing was measured."""
    if value is None:
        return "–"
    for unit, length in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if value >= 2 * length:
            return f"{value / length:.0f} {unit}"
    return seconds(value)


def amount(nano: int | None) -> str:
    """Money for people; a dash where the price is not known."""
    return "–" if nano is None else money(nano)


def usd(dollars: float) -> str:
    """Dollars for people."""
    return money(round(dollars * 1e9))


def signed(nano: int) -> str:
    """Money with its sign."""
    return money(nano, sign=True)


def count(value: float | None) -> str:
    """A number with separators."""
    return "–" if value is None else f"{value:,.0f}"


def rate(value: float) -> str:
    """A number of things in a span of time: two digits that tell something, without powers of ten."""
    if value >= 10:
        return f"{value:,.0f}"
    if 0 < value < 0.0001:
        return "< 0.0001"
    digits = 2 if value >= 0.1 or value == 0 else 1 - math.floor(math.log10(value))
    return f"{value:.{digits}f}"


@lru_cache(maxsize=1)
def environment() -> Any:
    """The templates. Raises `ImportError` without the extra `console`."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise ImportError("the console needs Jinja2. Fix: pip install 'hapenny[console]'") from None
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    made.filters.update(
        money=amount, signed=signed, time=duration, share=share, moment=moment, count=count, technique=shown,
        words=words, usd=usd, rate=rate,
    )  # fmt: skip
    made.globals.update(spark=lambda values, kind="actual": Markup(sparkline(values, kind)), svg=Markup)
    return made


def prepare() -> None:
    """Compiles all templates."""
    for name in environment().list_templates(extensions=["html"]):
        environment().get_template(name)
    for name in STATIC:
        static(name)


def page(template: str, **values: Any) -> str:
    """A page of `templates/`."""
    made: str = environment().get_template(template).render(**values)
    return made


@lru_cache(maxsize=8)
def static(name: str) -> bytes:
    """A file of `static/`. Raises `KeyError` where there is none."""
    if name not in STATIC:
        raise KeyError(name)
    return (_HERE / "static" / name).read_bytes()
