"""Pages from templates: Jinja2 with everything escaped, and what templates say of money, time and shares."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from hapenny.pages.charts import money, seconds, shown
from hapenny.pages.lines import sparkline

_HERE = Path(__file__).parent
STATIC = {"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8"}
_WORDS = {
    "exact": "the same question again, answered from the cache",
    "semantic": "a question that means the same, answered from the cache",
    "edge": "answers published for a CDN",
    "precompute": "answers made ahead of the question",
    "results": "results of tools that were kept",
    "flights": "one call for questions that came at the same time",
    "templates": "answers from a template, without a model",
    "tiers": "a cheaper model where it does as well",
    "cascade": "a cheap model first, the dear one only where needed",
    "routing": "a cheaper model where it does as well",
    "prefix": "the provider's prompt cache, used and kept warm",
    "prune": "less context in the prompt, where it does not matter",
    "window": "old turns of a conversation left out or summed up",
    "lossless": "the same content in fewer tokens",
    "structure": "the same content in fewer tokens",
    "answer_size": "answers no longer than they need be",
    "retrieval": "documents found for the question",
    "regions": "a cheaper region of the same model",
    "service_tier": "a cheaper service tier of the same model",
    "batch": "work that can wait, at batch prices",
    "provisioned": "capacity that is paid by the hour",
    "owned": "servers of one's own",
    "reserved": "capacity that is reserved",
    "hedging": "a second call where the first is late",
    "evidence": "audits and judges: what it costs to know the quality",
    "serve": "calls that delivered nothing",
    "retry": "calls made again",
    "escalate": "the dear model after the cheap one",
}


def words(technique: str) -> str:
    """What a technique is, in plain words; empty where nobody wrote it down."""
    return _WORDS.get(technique, "")


def share(value: float | None, digits: int = 1) -> str:
    """A share as per cent."""
    return "–" if value is None else f"{value:.{digits}%}"


def moment(wall: float | None) -> str:
    """A time for people (UTC)."""
    return "–" if wall is None else datetime.fromtimestamp(wall, UTC).strftime("%d %b %H:%M:%S")


def duration(value: float | None) -> str:
    """Seconds for people; a dash where nothing was measured."""
    return "–" if value is None else seconds(value)


def amount(nano: int | None) -> str:
    """Money for people; a dash where the price is not known."""
    return "–" if nano is None else money(nano)


def signed(nano: int) -> str:
    """Money with its sign."""
    return money(nano, sign=True)


def count(value: float | None) -> str:
    """A number with separators."""
    return "–" if value is None else f"{value:,.0f}"


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
        words=words,
    )  # fmt: skip
    made.globals.update(spark=lambda values, kind="actual": Markup(sparkline(values, kind)), svg=Markup)
    return made


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
