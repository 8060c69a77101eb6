"""Cutting a text into the units that are kept or removed whole: sentences, list items, table rows, JSON records."""

from __future__ import annotations

import re

_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|No|Nos|Vol|Fig|Inc|Ltd|Co|Corp|Gen|Col|Lt|Sgt|Capt|Rev|Hon|Gov|Sen|Rep"
    r"|Mt|Ft|approx|ca|cf|e\.g|i\.e|a\.m|p\.m|al|ed|eds|pp|op|cit|lit|TP|ThS|GS|PGS|TS|Tp|Q)|\b[A-Za-z]|\.[A-Za-z])\.$"
)
_BOUNDARY = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*(\s+)(?=[\"'“‘(\[¿¡]*[^\sa-z])|(?<=[。！？])[」』）\"]*()(?=[^。！？」』）\"])"
)
_LINES = re.compile(r"\n+")


def sentences(text: str) -> list[str]:
    """The sentences of running text; joined together they give the text again, byte for byte."""
    found: list[str] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        end = match.end()
        if end <= start:
            continue
        before = text[start : match.start()].rstrip("\"'”’)]")
        if before.endswith(".") and _ABBREVIATION.search(before[-12:]):
            continue
        found.append(text[start:end])
        start = end
    if start < len(text):
        found.append(text[start:])
    return found


def units(text: str) -> list[str]:
    """Sentences within paragraphs; lines of lists, tables and records stay whole. Joined: the text, byte for byte."""
    if "\n" not in text:
        return sentences(text)
    found: list[str] = []
    start = 0
    for match in _LINES.finditer(text):
        found += sentences(text[start : match.end()])
        start = match.end()
    if start < len(text):
        found += sentences(text[start:])
    return found
