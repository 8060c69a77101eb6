"""Known phrasings of prompt injection in text that no person of ours wrote: passages, tool results, documents.

This finds phrasings that are known, in English, Japanese and Vietnamese, and the plainest ways of hiding them. It
does not find injections: who words one anew passes (`python -m benchmarks.guardrails` says how many of which class).
What decides whether a text may do harm is which tools a model is given.

Theory of operation. A text is read in several views: in normal form in small letters; with look-alike letters and
figures brought back to letters; with mark-up and escapes undone; with letters that stand apart joined; and what its
base64, its tag characters or its rot13 say. In each, fixed words near one another are looked for: the words' places
are found as literals, and joined where they stand close, so that work is linear. A hit in a view that keeps places is
the sentence it stands in; in any other it is the line.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import urllib.parse
from collections.abc import Iterator
from typing import NamedTuple

from hapenny.guarding.injection_phrases import PHRASINGS, Phrasing
from hapenny.guarding.normal import normal

_NEAR = 48
"""Characters between the words of one phrasing."""
_LOOKALIKE = str.maketrans("абвдегіјкмнорстухѕԁԛԝονρα", "abbdeeijkmhopctyxsdqwovpa")
"""Cyrillic and Greek letters that look like Latin ones."""
_FIGURES = str.maketrans("013457@$!|", "oieastasil")
_APART = re.compile(r"(?<![^\W_])[^\W_](?:[ \-_.*][^\W_]){5,}(?![^\W_])")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{24,4000}={0,2}")
_MARKUP = re.compile(r"<[^<>]{0,400}>|<!--|-->")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}|&#?[A-Za-z0-9]{1,8};")
_SENTENCE = re.compile(r"[.!?。！？\n]")
_TAGGED = re.compile("[\U000e0020-\U000e007e]+")
_SEPARATORS = re.compile(r"[ \-_.*]")


class Instruction(NamedTuple):
    """A sentence or a line that tells a model what to do, at characters `start` to `end`."""

    start: int
    end: int


def find(text: str) -> list[Instruction]:
    """Where known phrasings stand in a text, one for each sentence or line."""
    out: list[Instruction] = []
    form = normal(text)
    small = form.text.lower()
    for view in (small, small.translate(_LOOKALIKE), small.translate(_LOOKALIKE).translate(_FIGURES)):
        out += [_sentence(text, *form.span(start, end)) for start, end in _hits(view)]
    at = 0
    for line in text.split("\n"):
        if any(next(_hits(view), None) is not None for view in _views(line)):
            out.append(Instruction(at, at + len(line)))
        at += len(line) + 1
    return _joined(out)


def _hits(view: str) -> Iterator[tuple[int, int]]:
    for phrasing in PHRASINGS:
        for act in phrasing.acts:
            at = view.find(act)
            while at >= 0:
                end = at + len(act)
                if _whole(view, at, act) and (reach := _reach(view, at, end, phrasing)) is not None:
                    yield at, reach
                at = view.find(act, end)


def _reach(view: str, at: int, end: int, phrasing: Phrasing) -> int | None:
    """Where a phrasing that begins at `at` ends; None: it is none."""
    if not phrasing.what:
        return end
    near = view[end : end + _NEAR]
    stop = _SENTENCE.search(near)
    near = near[: stop.start()] if stop is not None else near
    what = [place + len(word) for word in phrasing.what if (place := near.find(word)) >= 0]
    if not what:
        return None
    if phrasing.which and not any(word in view[at : end + len(near)] for word in phrasing.which):
        return None
    return end + min(what)


def _whole(view: str, at: int, word: str) -> bool:
    """Whether a word in Latin letters begins there, and is no end of another."""
    return not (
        word[0].isascii() and word[0].isalpha() and at > 0 and view[at - 1].isascii() and view[at - 1].isalpha()
    )


def _views(line: str) -> Iterator[str]:
    """What a line says when what hides it is undone; the places are lost."""
    plain = normal(line).text
    if _MARKUP.search(plain) or _ESCAPED.search(plain):
        shown = html.unescape(urllib.parse.unquote(plain))
        yield _MARKUP.sub(" ", shown).lower()
        yield " ".join(_MARKUP.findall(shown)).lower()
    spaced = _APART.search(plain)
    if spaced is not None:
        words = re.split(r"  +|(?<=[^\W_])[ ](?=[^\W_][\-_.*])", plain)
        joined = " ".join(_SEPARATORS.sub("", word) for word in words)
        yield joined.lower()
        yield joined.lower().translate(_FIGURES)
    tags = "".join(_TAGGED.findall(line))
    if tags:
        yield "".join(chr(ord(character) - 0xE0000) for character in tags).lower()
    for match in _BASE64.finditer(plain):
        try:
            said = base64.b64decode(match[0] + "=" * (-len(match[0]) % 4), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
        yield said.lower()


def _sentence(text: str, start: int, end: int) -> Instruction:
    """The sentence around a hit."""
    near = text[max(0, start - 200) : start]
    begin = start - len(near)
    for mark in _SENTENCE.finditer(near):
        begin = start - len(near) + mark.end()
    after = _SENTENCE.search(text, end, end + 200)
    return Instruction(begin, after.end() if after is not None else min(len(text), end + 200))


def _joined(instructions: list[Instruction]) -> list[Instruction]:
    out: list[Instruction] = []
    for each in sorted(instructions):
        if out and each.start <= out[-1].end:
            out[-1] = Instruction(out[-1].start, max(out[-1].end, each.end))
        else:
            out.append(each)
    return out
