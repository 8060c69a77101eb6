"""Cutting a text into the units that are kept or removed whole: sentences, list items, table rows, JSON records."""

from __future__ import annotations

import json

from hapenny.core.patterns import pattern

_ABBREVIATION = pattern(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|No|Nos|Vol|Fig|Inc|Ltd|Co|Corp|Gen|Col|Lt|Sgt|Capt|Rev|Hon|Gov|Sen|Rep"
    r"|Mt|Ft|approx|ca|cf|e\.g|i\.e|a\.m|p\.m|al|ed|eds|pp|op|cit|lit|TP|ThS|GS|PGS|TS|Tp|Q)|\b[A-Za-z]|\.[A-Za-z])\.$"
)
_BOUNDARY = pattern(
    r"(?<=[.!?…])[\"'”’)\]]*(\s+)(?=[\"'“‘(\[¿¡]*[^\sa-z])|(?<=[。！？])[」』）\"]*()(?=[^。！？」』）\"])"
)
_LINES = pattern(r"\n+")


def sentences(text: str) -> list[str]:
    """The sentences of running text; joined together they give the text again, byte for byte."""
    pieces: list[str] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        end = match.end()
        if end <= start:
            continue
        before = text[max(start, match.start() - 40) : match.start()].rstrip("\"'”’)]")
        if before.endswith(".") and _ABBREVIATION.search(before[-12:]):
            continue
        pieces.append(text[start:end])
        start = end
    if start < len(text):
        pieces.append(text[start:])
    return pieces


def units(text: str) -> list[str]:
    """Sentences within paragraphs; lines of lists, tables and records stay whole. Joined: the text, byte for byte."""
    if "\n" not in text:
        return sentences(text)
    pieces: list[str] = []
    start = 0
    for match in _LINES.finditer(text):
        pieces += sentences(text[start : match.end()])
        start = match.end()
    if start < len(text):
        pieces += sentences(text[start:])
    return pieces


def cut_units(text: str) -> tuple[list[str], tuple[str, str, str], int]:
    """Units of any text, what stands around and between them, and how many lead units must stay with the others.

    A JSON array is cut into its records, a Markdown table into rows behind a pinned head.
    """
    if text[:1] == "[" and text.rstrip()[-1:] == "]":
        records = json_records(text)
        if records is not None:
            return records, ("[", ",", "]"), 0
    if text[:1] == "|":
        lines = text.splitlines(keepends=True)
        if len(lines) > 2 and set(lines[1].strip()) <= set("|-: "):
            return lines, ("", "", ""), 2
    return units(text), ("", "", ""), 0


def json_records(text: str) -> list[str] | None:
    """The texts of a JSON array's elements, as they stand; None if the text is no array of at least two."""
    decoder = json.JSONDecoder()
    records: list[str] = []
    place = 1
    try:
        while True:
            place = _skip(text, place)
            _, end = decoder.raw_decode(text, place)
            records.append(text[place:end])
            place = _skip(text, end)
            if text[place] == "]":
                return records if len(records) > 1 and not text[place + 1 :].strip() else None
            if text[place] != ",":
                return None
            place += 1
    except (ValueError, IndexError, RecursionError):
        return None


def _skip(text: str, place: int) -> int:
    while text[place] in " \t\r\n":
        place += 1
    return place
