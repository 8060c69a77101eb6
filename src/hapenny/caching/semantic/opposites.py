"""Which sides of opposites a text names (enabled or disabled, mở or đóng, 有効 or 無効), in every inflection.

A pole is `+N` or `-N`: one side of pair N. Two questions contradict each other when one names a side that the other
does not, and the other names the opposite side. The words stand in `opposites.yaml` beside this file.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import yaml
from msgspec import Struct

_FILE = Path(__file__).with_name("opposites.yaml")
_LONGEST_PHRASE = 4
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")
_KANA = re.compile("[぀-ヿ]")
_VOWELS = "aeiou"


class _Tables(Struct, frozen=True):
    words: dict[str, frozenset[str]]
    """English words and Vietnamese phrases (joined by blanks) to poles."""
    particles: list[tuple[frozenset[str], dict[str, str]]]
    prefixes: tuple[str, ...]
    stems: dict[str, list[tuple[str, str]]]
    """Japanese stems by their first character, longest first, with their pole."""
    negation: re.Pattern[str]
    no_negation: re.Pattern[str]


def poles(text: str, words: Sequence[str]) -> frozenset[str]:
    """The poles of a lower-case text and its words, in the order of the text."""
    tables = _tables()
    out: set[str] = set()
    at = 0
    while at < len(words):
        length, named = 1, tables.words.get(words[at])
        for size in range(min(_LONGEST_PHRASE, len(words) - at), 1, -1):
            longer = tables.words.get(" ".join(words[at : at + size]))
            if longer is not None:
                length, named = size, longer
                break
        if named is not None:
            out |= named
        at += length
    for verb, (one, two) in zip(words, itertools.zip_longest(words[1:], words[2:], fillvalue=""), strict=False):
        for number, (verbs, sides) in enumerate(tables.particles):
            if verb in verbs:
                side = sides.get(one) or sides.get(two)
                if side is not None:
                    out.add(f"{side}p{number}")
    if _KANA.search(text):
        out.update(_japanese(text, tables))
    return frozenset(out)


def opposed(one: frozenset[str], two: frozenset[str]) -> frozenset[str]:
    """Poles that only one of two texts names, while the other names their opposite."""
    return frozenset(pole for pole in one ^ two if _other(pole) in (two if pole in one else one))


def turned(words: frozenset[str], others: frozenset[str]) -> bool:
    """Whether a stem of `words` is one of `others` with a prefix that turns it round (paid, unpaid)."""
    prefixes = _tables().prefixes
    return any(
        word.startswith(prefix) and len(word) - len(prefix) >= 3 and word[len(prefix) :] in others
        for word in words
        for prefix in prefixes
    )


def negates(text: str) -> bool:
    """Whether a Japanese text is negated."""
    if not _KANA.search(text):
        return False
    tables = _tables()
    return tables.negation.search(tables.no_negation.sub("", text)) is not None


def inflected(word: str) -> Iterator[str]:
    """A word with the regular endings of English verbs and adjectives; some are no words, which harms nothing."""
    yield word
    if not word.isascii() or len(word) < 2:
        return
    yield word + ("es" if word.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")
    if word.endswith("y") and word[-2] not in _VOWELS:
        yield from (word[:-1] + ending for ending in ("ies", "ied", "ier", "iest"))
    if word.endswith("e"):
        yield from (word + "d", word + "r", word + "st", word[:-1] + "ing", word[:-1] + "able")
        return
    bases = [word]
    if len(word) >= 3 and word[-1] not in _VOWELS + "wxy" and word[-2] in _VOWELS and word[-3] not in _VOWELS:
        bases.append(word + word[-1])
    yield from (base + ending for base in bases for ending in ("ed", "ing", "er", "est", "able"))
    yield word + "ly"


def _other(pole: str) -> str:
    return ("-" if pole[0] == "+" else "+") + pole[1:]


def _japanese(text: str, tables: _Tables) -> Iterator[str]:
    at = 0
    while at < len(text):
        for stem, pole in tables.stems.get(text[at], ()):
            if text.startswith(stem, at):
                yield pole
                if len(stem) > 1:
                    at += len(stem) - 1
                    break
        at += 1


@cache
def _tables() -> _Tables:
    data = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    words: dict[str, set[str]] = {}
    stems: dict[str, list[tuple[str, str]]] = {}
    for number, (sign, entry) in _entries(data["en"], "e"):
        for form in inflected(entry):
            words.setdefault(form, set()).add(sign + number)
    for number, (sign, entry) in _entries(data["vi"], "v"):
        words.setdefault(entry, set()).add(sign + number)
    for number, (sign, entry) in _entries(data["ja"], "j"):
        for stem in _expanded(entry):
            stems.setdefault(stem[0], []).append((stem, sign + number))
    for options in stems.values():
        options.sort(key=lambda option: -len(option[0]))
    particles = []
    for verbs, *sides in data["particles"]:
        by_part = {part: sign for sign, side in zip("+-", sides, strict=True) for part in side.split("/")}
        particles.append((frozenset(verbs.split()), by_part))
    return _Tables(
        {word: frozenset(named) for word, named in words.items()},
        particles,
        tuple(data["prefixes"].split()),
        stems,
        re.compile(data["ja_negation"]),
        re.compile(data["ja_no_negation"]),
    )


def _entries(text: str, language: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """(pair, (sign, word or phrase)) of every entry."""
    for number, pair in enumerate(text.split("|")):
        one, two = pair.split()
        for sign, side in (("+", one), ("-", two)):
            for entry in side.split("/"):
                yield f"{language}{number}", (sign, entry.replace("_", " "))


def _expanded(stem: str) -> list[str]:
    match = _BRACKETS.search(stem)
    if match is None:
        return [stem]
    return [stem[: match.start()] + each + stem[match.end() :] for each in match.group(1)]
