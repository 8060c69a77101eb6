"""Files as documents: Markdown, plain text, HTML, PDF text, JSON, JSON lines, CSV. Structure is kept as Markdown.

Every reader takes who may see a document from the file (columns `tenant` and `groups`, front matter, `meta` tags), and
says what it leaves out.
"""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hapenny.core.numbers import finite
from hapenny.retrieval.access import EVERYONE, Access, AccessError, read_access
from hapenny.retrieval.documents import Document
from hapenny.retrieval.readers.decoding import decoded
from hapenny.retrieval.readers.front_matter import FrontMatterError, split
from hapenny.retrieval.readers.page import read_page
from hapenny.retrieval.readers.row_documents import fields, from_rows
from hapenny.retrieval.readers.tables import table_rows

SUFFIXES = (".md", ".markdown", ".txt", ".html", ".htm", ".pdf", ".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_ROWS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_LARGEST = 2_000_000_000
"""Bytes of a file, unpacked."""


class UnreadableFile(ValueError):
    """A file that cannot be turned into documents; says which and why."""


class Reading(msgspec.Struct):
    """Documents of a file, and a line for everything that was left out or guessed."""

    documents: list[Document]
    left_out: list[str]


def files(path: Path) -> Iterator[Path]:
    """The readable files at or under `path`, in name order; hidden ones are skipped."""
    if path.is_file():
        yield path
        return
    for each in sorted(path.rglob("*")):
        if each.is_file() and known(each) and not _hidden(each, path):
            yield each


def unread(path: Path) -> str:
    """What `files` passes over under `path`, by kind and number; "" if nothing."""
    if path.is_file():
        return ""
    kinds: Counter[str] = Counter()
    for each in path.rglob("*"):
        if each.is_file() and (_hidden(each, path) or not known(each)):
            kinds["hidden" if _hidden(each, path) else _suffix(each) or "without a suffix"] += 1
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def known(path: Path) -> bool:
    """Whether the name ends like a format that can be read (also gzipped)."""
    return _suffix(path) in SUFFIXES


def read(path: Path, root: Path | None = None) -> list[Document]:
    """Documents of one file; ids are the path below `root` (and the row's own id for tables).

    Raises:
        UnreadableFile: unknown format, broken content, or a PDF without the `retrieval` extra.
    """
    return load(path, path.relative_to(root).as_posix() if root is not None and path != root else path.name).documents


def load(path: Path, name: str, access: Access = EVERYONE) -> Reading:
    """Documents of one file under the id `name` (rows: `name:ROW`). `access`: where the file itself bounds none.

    Raises:
        UnreadableFile: unknown format, broken content, or a PDF without the `retrieval` extra.
    """
    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        raise UnreadableFile(f"{path}: unknown format; readable are {', '.join(SUFFIXES)}, also with .gz")
    notices: list[str] = []
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = packed.read(_LARGEST)
        if suffix == ".pdf":
            title, text = pdf_text(data)
            documents = [_document(name, title, text, access, {})]
        else:
            text, note = decoded(data)
            if note:
                notices.append(f"{name}: {note}")
            documents = _texts(suffix, name, text, access, notices)
    except (AccessError, FrontMatterError) as error:
        raise UnreadableFile(f"{path}: {error}: it is not known who may see it") from error
    except UnreadableFile:
        raise
    except Exception as error:
        raise UnreadableFile(f"{path}: {type(error).__name__}: {error}") from error
    # The title of a file may be its name; a row may have a title alone.
    if not any(document.text.strip() or (suffix in _ROWS and document.title) for document in documents):
        notices.append(f"{name}: no text in it{' (a scan?)' if suffix == '.pdf' else ''}")
    return Reading(documents, notices)


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
        return first[2:].strip(" #"), rest.strip("\n")
    return "", text.strip("\n").rstrip()


def _texts(suffix: str, name: str, text: str, access: Access, notices: list[str]) -> list[Document]:
    if suffix in (".jsonl", ".ndjson"):
        rows = _objects(text, name, notices)
        return _named(from_rows(rows, name, access=access, left_out=notices), name)
    if suffix == ".json":
        return _named(from_rows(_array(text, name, notices), name, access=access, left_out=notices), name)
    if suffix in (".csv", ".tsv"):
        rows = table_rows(text, "\t" if suffix == ".tsv" else "")
        return _named(from_rows(rows, name, access=access, labels=True, left_out=notices), name)
    if suffix in (".html", ".htm"):
        title, body, metas = read_page(text)
        own = read_access({key: value for key, value in metas.items() if key in ("tenant", "groups")}, blank=False)
        return [_document(name, title, body, own.beside(access), {})]
    head, body = split(text)
    title, body = markdown_title(body)
    own = read_access(head, blank=False).beside(access)
    named = head.get("title")
    return [_document(name, str(named) if isinstance(named, (str, int, float)) else title, body, own, head)]


def _document(name: str, title: str, text: str, access: Access, head: Mapping[str, Any]) -> Document:
    facets: dict[str, list[str]] = {}
    numbers: dict[str, float] = {}
    for field, value in fields(head):
        if field == "title":
            continue
        if isinstance(value, bool):
            facets[field] = [str(value).lower()]
        elif (number := finite(value)) is not None:
            numbers[field] = number
        else:
            facets[field] = value if isinstance(value, list) else [str(value)]
    return Document(
        id=name,
        title=(title or Path(name).stem) if text.strip() else "",
        text=text,
        facets=facets,
        numbers=numbers,
        tenant=access.tenant,
        groups=list(access.groups),
        source=name,
    )


def _array(text: str, name: str, notices: list[str]) -> list[dict[str, Any]]:
    """The objects of a JSON file: those of its list, of the one list that its object holds, or the object itself."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _objects(text, name, notices)  # JSON lines under another name
    if isinstance(value, dict):
        lists = [each for each in value.values() if isinstance(each, list) and each and isinstance(each[0], dict)]
        value = lists[0] if len(lists) == 1 else [value]
    if not isinstance(value, list):
        raise UnreadableFile(f"{name}: holds neither an object nor a list of objects")
    rows = [each for each in value if isinstance(each, dict)]
    if len(rows) < len(value):
        notices.append(f"{name}: {len(value) - len(rows)} items left out, they are no objects")
    return rows


def _objects(text: str, name: str, notices: list[str]) -> list[dict[str, Any]]:
    """The objects of JSON lines; broken lines are named, a file without any object is an error."""
    rows: list[dict[str, Any]] = []
    broken: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(msgspec.json.decode(line, type=dict[str, Any]))
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                broken.append(number)
    if broken and not rows:
        raise UnreadableFile(f"{name}: no line of it is a JSON object")
    if broken:
        lines = ", ".join(map(str, broken[:10])) + (" …" if len(broken) > 10 else "")
        notices.append(f"{name}: {len(broken)} lines left out, they are no JSON objects: {lines}")
    return rows


def _named(documents: list[Document], name: str) -> list[Document]:
    """Row documents with the file's name before their id, so that two files may use the same ids."""
    return [msgspec.structs.replace(document, id=f"{name}:{document.id}") for document in documents]


def _suffix(path: Path) -> str:
    return Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
