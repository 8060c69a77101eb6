"""HTML pages as Markdown: headings, lists, tables with their head, code with its lines.

Scripts, styles, drawings, navigation and the page's own footer are left out; forms are not, since whole pages stand in
one. A page of which nothing else is left keeps its navigation.
"""

from __future__ import annotations

import re
from typing import Any

_BLANKS = re.compile(r"\s{2,}")
_NEVER = ("script", "style", "template", "svg", "iframe", "object", "input", "select", "textarea", "head")
_AROUND = ("nav", "footer", "noscript")
_INSIDE = ("article", "main", "section", "blockquote")
_PARTS = ("tr", "td", "th", "tbody", "thead", "tfoot")
_BLOCKS = ("summary", "legend", "figcaption", "address", "dialog")
_APART = ("button", "label", "option")
_NOT_IN_CELLS = ("table", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "ul", "ol", "form", "article")


def html_text(markup: str) -> tuple[str, str]:
    """(title, Markdown) of a page."""
    title, text, _ = read_page(markup)
    return title, text


def read_page(markup: str) -> tuple[str, str, dict[str, str]]:
    """(title, Markdown, contents of `meta` tags by lower-case name) of a page."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(markup, "html.parser")
    head = next((tag for tag in soup.find_all("title") if tag.find_parent("svg") is None), None)
    title = " ".join(head.get_text(" ").split()) if head is not None else ""
    metas = {
        str(tag["name"]).strip().lower(): str(tag.get("content") or "").strip()
        for tag in soup.find_all("meta")
        if tag.get("name")
    }
    if head is not None:
        head.decompose()
    for tag in soup.find_all(_NEVER):
        tag.decompose()
    for tag in soup.find_all("img"):
        tag.replace_with(str(tag.get("alt") or ""))
    for tag in soup.find_all(("rt", "rp")):  # how signs are read aloud: inside a word they would hide it
        tag.decompose()
    for tag in soup.find_all(_BLOCKS):
        tag.name = "p"
    for tag in soup.find_all(_APART):
        tag.insert_after(" ")
    around = [tag for tag in soup.find_all(_AROUND) if tag.find_parent(_INSIDE) is None]
    if any(text.strip() for text in _outside(soup, around)):
        for tag in around:
            tag.decompose()
    _unfold_layout(soup)
    for text in soup.find_all(string=_BLANKS):
        if text.find_parent("pre") is None:  # runs of blanks mean one, and are dear to the converter
            text.replace_with(_BLANKS.sub(" ", text))
    return title, _markdown(soup), metas


def _outside(soup: Any, around: list[Any]) -> list[str]:
    """Texts that stand in none of the elements."""
    skipped = {id(tag) for tag in around}
    return [
        str(text) for text in soup.find_all(string=True) if not any(id(parent) in skipped for parent in text.parents)
    ]


def _unfold_layout(soup: Any) -> None:
    """Tables that only place things (they hold tables, headings, lists or code) become blocks."""
    layout = {id(tag.find_parent("table")) for tag in soup.find_all(_NOT_IN_CELLS)}
    parts = [tag for tag in soup.find_all(_PARTS) if id(tag.find_parent("table")) in layout]
    for tag in [*parts, *[table for table in soup.find_all("table") if id(table) in layout]]:
        tag.name = "div"


def _markdown(soup: Any) -> str:
    from markdownify import MarkdownConverter

    converter = MarkdownConverter(
        heading_style="ATX",
        bullets="-",
        escape_asterisks=False,
        escape_underscores=False,
        escape_misc=False,
        table_infer_header=True,
        strip=["a", "b", "strong", "em", "i", "u"],
    )
    try:
        text = converter.convert_soup(soup)
    except RecursionError:  # nested deeper than a writer of pages would: the words without their structure
        text = soup.get_text("\n")
    lines = [line.rstrip() for line in text.replace("\xa0", " ").split("\n")]
    kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]
    return "\n".join(kept).strip("\n")
