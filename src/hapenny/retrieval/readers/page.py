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
_ANCHORS = ("#", "¶", "§", "🔗")
"""Links to a heading itself, which say nothing."""
_MOST_REPEATED = 10_000
"""Cells of a page that are repeated in the rows they reach into."""
_WIDEST = 1_000
"""Rows or columns of a cell."""
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
    for tag in soup.find_all("a"):
        if tag.get_text().strip() in _ANCHORS:
            tag.decompose()
    _unfold_layout(soup)
    left = _MOST_REPEATED
    for table in soup.find_all("table"):
        left = _fill_spans(soup, table, left)
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


def _fill_spans(soup: Any, table: Any, left: int) -> int:
    """Cells that reach over several rows stand in each of them: a row is read by itself.

    Args:
        soup: the page.
        table: of it.
        left: how many cells may be repeated; what is left of them is returned.
    """
    below: dict[int, tuple[int, Any]] = {}
    for row in (tag for tag in table.find_all("tr") if tag.find_parent("table") is table):
        column = 0
        for cell in row.find_all(("td", "th"), recursive=False):
            while column in below and left:
                column, left = _repeated(soup, below, column, cell.insert_before), left - 1
            wide, high = _span(cell, "colspan"), _span(cell, "rowspan")
            if high > 1:
                below[column] = (high, cell)
                for more in range(column + 1, column + wide):
                    below[more] = (high, None)
                del cell["rowspan"]
            column += wide
        while column in below and left:
            column, left = _repeated(soup, below, column, row.append), left - 1
        below = {place: (rows - 1, cell) for place, (rows, cell) in below.items() if rows > 1}
    return left


def _repeated(soup: Any, below: dict[int, tuple[int, Any]], column: int, put: Any) -> int:
    """Puts a cell of a row above into this one, if it does not begin here; the next column."""
    _, cell = below[column]
    if cell is not None:
        again = soup.new_tag("td")
        again.string = " ".join(cell.get_text(" ").split())
        again["colspan"] = str(_span(cell, "colspan"))
        put(again)
        return column + _span(cell, "colspan")
    return column + 1


def _span(cell: Any, name: str) -> int:
    text = str(cell.get(name) or "1").strip()
    return min(_WIDEST, max(1, int(text))) if text.isascii() and text.isdigit() and len(text) < 10 else 1


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
