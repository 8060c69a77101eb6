"""Citations between dialects.

Each provider writes its own objects, which are kept as they came and forwarded to clients of the same dialect. For
others they are translated where the other dialect has a place for what they say; the rest is left out, and named so by
whoever asks. A dialect is told by shape: Anthropic's and OpenAI's have a `type`, Converse's have none.

| says | Anthropic | Converse | OpenAI |
|---|---|---|---|
| a page of the web | `web_search_result_location` | `location.web` | `url_citation` |
| a place in a document | `char_`, `page_`, `content_block_location` | `documentChar`, `Page`, `Chunk` | - |
| a search result given by the client | `search_result_location` | `searchResultLocation` | - |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

Dialect = Literal["openai", "anthropic", "bedrock"]

_OPENAI = {"url_citation", "file_citation", "file_path", "container_file_citation"}
_ANTHROPIC = {
    "char_location",
    "page_location",
    "content_block_location",
    "web_search_result_location",
    "search_result_location",
}
_BEDROCK = {"title", "source", "sourceContent", "location"}


def written(dialect: Dialect, notes: Iterable[Any], start: int, end: int) -> list[Any]:
    """`notes` in `dialect`, those that it can say.

    Args:
        dialect: the client's.
        notes: citations of one text block, as their providers wrote them.
        start: where the cited text begins in the whole text of the answer, in characters.
        end: where it ends.
    """
    translations = (translated(dialect, note, start, end) for note in notes)
    return [note for note in translations if note is not None]


def translated(dialect: Dialect, note: Any, start: int, end: int) -> Any:
    """One citation in `dialect`, or None."""
    if type(note) is not dict:
        return None
    origin = _origin(note)
    if origin == dialect:
        return note
    if dialect == "openai":
        url, title = _page(note, origin)
        if not url:
            return None
        inner = {"url": url, "title": title or url, "start_index": start, "end_index": end}
        return {"type": "url_citation", "url_citation": inner}
    if dialect == "anthropic":
        return _anthropic(note, origin)
    return _bedrock(note, origin)


def _origin(note: dict[str, Any]) -> str:
    kind = note.get("type")
    if kind is None:
        return "bedrock" if note.keys() & _BEDROCK else ""
    if kind in _OPENAI or type(note.get(kind if type(kind) is str else "")) is dict:
        return "openai"
    return "anthropic" if type(kind) is str else ""


def _page(note: dict[str, Any], origin: str) -> tuple[str, str]:
    """Address and title of a page of the web."""
    place: Any = note
    if origin == "openai":
        place = note.get("url_citation")
        place = place if type(place) is dict else note
    elif origin == "bedrock":
        location = note.get("location")
        web = location.get("web") if type(location) is dict else None
        place = {**web, "title": note.get("title")} if type(web) is dict else {}
    elif note.get("type") != "web_search_result_location":
        return "", ""
    url, title = place.get("url"), place.get("title")
    return (url if type(url) is str else ""), (title if type(title) is str else "")


_PLACES = (
    ("char_location", "documentChar", "start_char_index", "end_char_index"),
    ("page_location", "documentPage", "start_page_number", "end_page_number"),
    ("content_block_location", "documentChunk", "start_block_index", "end_block_index"),
)


def _anthropic(note: dict[str, Any], origin: str) -> Any:
    cited = ""
    if origin == "bedrock":
        source = note.get("sourceContent")
        pieces = [piece.get("text") for piece in source if type(piece) is dict] if type(source) is list else []
        cited = "".join(piece for piece in pieces if type(piece) is str)
        location = note.get("location")
        for kind, name, first, last in _PLACES:
            place = location.get(name) if type(location) is dict else None
            if type(place) is dict:
                return {
                    "type": kind,
                    "cited_text": cited,
                    "document_index": _whole(place.get("documentIndex")),
                    "document_title": note.get("title"),
                    first: _whole(place.get("start")),
                    last: _whole(place.get("end")),
                }
        place = location.get("searchResultLocation") if type(location) is dict else None
        if type(place) is dict:
            return {
                "type": "search_result_location",
                "cited_text": cited,
                "source": note.get("source") or "",
                "title": note.get("title"),
                "search_result_index": _whole(place.get("searchResultIndex")),
                "start_block_index": _whole(place.get("start")),
                "end_block_index": _whole(place.get("end")),
            }
    url, title = _page(note, origin)
    if not url:
        return None
    return {
        "type": "web_search_result_location",
        "cited_text": cited,
        "encrypted_index": "",
        "title": title or None,
        "url": url,
    }


def _bedrock(note: dict[str, Any], origin: str) -> Any:
    quoted = note.get("cited_text")
    out: dict[str, Any] = {"sourceContent": [{"text": quoted}] if type(quoted) is str and quoted else []}
    kind = note.get("type")
    for name, place, first, last in _PLACES:
        if kind == name:
            title = note.get("document_title")
            location = {
                "documentIndex": _whole(note.get("document_index")),
                "start": _whole(note.get(first)),
                "end": _whole(note.get(last)),
            }
            return {**({"title": title} if type(title) is str else {}), **out, "location": {place: location}}
    if kind == "search_result_location":
        title, source = note.get("title"), note.get("source")
        location = {
            "searchResultIndex": _whole(note.get("search_result_index")),
            "start": _whole(note.get("start_block_index")),
            "end": _whole(note.get("end_block_index")),
        }
        named = {"title": title, "source": source}
        named = {key: value for key, value in named.items() if type(value) is str}
        return {**named, **out, "location": {"searchResultLocation": location}}
    url, title = _page(note, origin)
    if not url:
        return None
    return {**({"title": title} if title else {}), **out, "location": {"web": {"url": url}}}


def _whole(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0
