"""Files as documents: Markdown, plain text, HTML, PDF text, JSON lines, CSV. Structure is kept as Markdown headings."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec

from hapenny.retrieval.documents import Document
from hapenny.retrieval.records import from_rows

SUFFIXES = (".md", ".markdown", ".txt", ".html", ".htm", ".pdf", ".jsonl", ".ndjson", ".csv", ".tsv")

_HIDDEN = {"script", "style", "noscript", "template", "svg", "nav", "footer", "form", "button"}
_BLOCKS = {
    "p",
    "div",
    "section",
    "article",
    "li",
    "tr",
    "ul",
    "ol",
    "table",
    "blockquote",
    "pre",
    "br",
    "main",
    "header",
}
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}


class UnreadableFile(ValueError):
    """A file that cannot be turned into documents; says which and why."""


def files(path: Path) -> Iterator[Path]:
    """The readable files at or under `path`, in name order; hidden ones are skipped."""
    if path.is_file():
        yield path
        return
    for each in sorted(path.rglob("*")):
        inside = each.relative_to(path).parts
        if each.is_file() and known(each) and not any(part.startswith(".") for part in inside):
            yield each


def known(path: Path) -> bool:
    """Whether the name ends like a format that can be read (also gzipped)."""
    return _suffix(path) in SUFFIXES


def read(path: Path, root: Path | None = None) -> list[Document]:
    """Documents of one file; ids are the path below `root` (and the row's own id for tables).

    Raises:
        UnreadableFile: unknown format, broken content, or a PDF without the `retrieval` extra.
    """
    name = path.relative_to(root).as_posix() if root is not None and path != root else path.name
    suffix = _suffix(path)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if suffix in (".jsonl", ".ndjson"):
            return _named(from_rows([_object(line, path) for line in data.splitlines() if line.strip()], name), name)
        if suffix in (".csv", ".tsv"):
            return _named(from_rows(_table(data.decode("utf-8-sig"), suffix), name), name)
        if suffix == ".pdf":
            title, text = pdf_text(data)
        elif suffix in (".html", ".htm"):
            title, text = html_text(data.decode("utf-8", "replace"))
        elif suffix in SUFFIXES:
            title, text = markdown_title(data.decode("utf-8", "replace"))
        else:
            raise UnreadableFile(f"{path}: unknown format; readable are {', '.join(SUFFIXES)}, also with .gz")
    except UnreadableFile:
        raise
    except Exception as error:
        raise UnreadableFile(f"{path}: {type(error).__name__}: {error}") from error
    return [Document(id=name, title=title or Path(name).stem, text=text, source=name)]


def html_text(markup: str) -> tuple[str, str]:
    """(title, text with Markdown headings) of an HTML page; scripts, navigation and forms are left out."""
    parser = _Page()
    parser.feed(markup)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return " ".join(parser.title.split()), "\n".join(line for line in lines if line)


def pdf_text(data: bytes) -> tuple[str, str]:
    """(title, text) of a PDF's text layer, a heading a page."""
    import pypdf

    reader = pypdf.PdfReader(io.BytesIO(data))
    title = str(reader.metadata.title or "") if reader.metadata is not None else ""
    pages = [(page.extract_text() or "").strip() for page in reader.pages]
    if len(pages) == 1:
        return title, pages[0]
    return title, "\n\n".join(f"# Page {number}\n\n{text}" for number, text in enumerate(pages, 1) if text)


def markdown_title(text: str) -> tuple[str, str]:
    """(title, rest): the first line if it is a top heading."""
    stripped = text.lstrip("\ufeff\n ")
    if stripped.startswith("# "):
        first, _, rest = stripped.partition("\n")
        return first[2:].strip(" #"), rest.strip()
    return "", text.strip()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title = ""
        self._hidden = 0
        self._titled = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "title":
            self._titled = True
        elif tag in _HEADINGS:
            self.parts.append(f"\n{_HEADINGS[tag]} ")
        elif tag in _BLOCKS:
            self.parts.append("\n- " if tag == "li" else "\n")
        elif tag in ("td", "th"):
            self.parts.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag == "title":
            self._titled = False
        elif tag in _BLOCKS or tag in _HEADINGS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._titled:
            self.title += data
        elif not self._hidden:
            self.parts.append(data.replace("\n", " "))


def _suffix(path: Path) -> str:
    return Path(path.stem).suffix.lower() if path.suffix == ".gz" else path.suffix.lower()


def _object(line: bytes, path: Path) -> dict[str, Any]:
    row = msgspec.json.decode(line)
    if not isinstance(row, dict):
        raise UnreadableFile(f"{path}: every line must be a JSON object")
    return row


def _table(text: str, suffix: str) -> list[dict[str, Any]]:
    rows = csv.DictReader(io.StringIO(text), delimiter="\t" if suffix == ".tsv" else ",")
    return [{key: _value(key, value) for key, value in row.items() if key and value not in (None, "")} for row in rows]


def _value(name: str, text: str) -> str | float:
    if name in ("id", "title"):
        return text
    try:
        return float(text)
    except ValueError:
        return text


def _named(documents: list[Document], name: str) -> list[Document]:
    """Row documents with the file's name before their id, so that two files may use the same ids."""
    return [msgspec.structs.replace(document, id=f"{name}:{document.id}") for document in documents]
