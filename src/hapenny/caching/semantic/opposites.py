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
_JAPANESE = re.compile("[぀-ヿ㐀-鿿]")
"""Kana, or signs alone: headings and short questions have no kana."""
_VOWELS = "aeiou"


class _Tables(Struct, frozen=True):
    words: dict[str, frozenset[str]]
    """English words and Vietnamese phrases (joined by blanks) to poles."""
    particles: list[tuple[frozenset[str], dict[str, str]]]
    prefixes: tuple[str, ...]
    stems: dict[str, list[tuple[str, frozenset[str]]]]
    """Japanese stems by their first character, longest first, with their poles (none: it only holds another stem)."""
    turners: frozenset[str]
    """Vietnamese words that turn round what stands behind them."""
    turned_by: tuple[str, ...]
    """Japanese words that turn round what stands before them."""
    turning_signs: str
    """Japanese signs that turn round the next one."""
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
    if _JAPANESE.search(text):
        out.update(_japanese(text, tables))
        out.update("!" + word for word in tables.turned_by if word in text)
    return frozenset(out)


def opposed(one: frozenset[str], two: frozenset[str]) -> frozenset[str]:
    """Poles that only one of two texts names, while the other names their opposite; `!` and a word that turns round
    what stands before it has the other's silence for its opposite."""
    cancelled = {pole for pole in one ^ two if pole[0] == "!"}
    if any(pole[0] == "!" for pole in one) and any(pole[0] == "!" for pole in two):
        cancelled = set()  # 解除 and 取り消し: both turn it
    return frozenset(pole for pole in one ^ two if _other(pole) in (two if pole in one else one)) | cancelled


def turned(words: frozenset[str], others: frozenset[str]) -> bool:
    """Whether a stem of `words` is one of `others` behind a prefix that turns it round (paid, unpaid; 可能, 不可能).

    Args:
        words: stems that only one text has.
        others: stems of the other text.
    """
    tables = _tables()
    return any(
        word.startswith(prefix) and len(word) - len(prefix) >= 3 and word[len(prefix) :] in others
        for word in words
        for prefix in tables.prefixes
    ) or any(
        len(word) == 2 and word[0] in tables.turning_signs and any(other[0] == word[1] for other in others)
        for word in words
    )


def turned_round(sequence: Sequence[str], others: frozenset[str]) -> bool:
    """Whether a word that turns the next one round (bỏ theo dõi) stands before a word of the other text, which does
    without it.

    Args:
        sequence: stems of one text in order.
        others: stems of the other text.
    """
    turners = _tables().turners
    return any(
        word in turners and word not in others and after in others for word, after in itertools.pairwise(sequence)
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
        for stem, named in tables.stems.get(text[at], ()):
            if text.startswith(stem, at):
                yield from named
                if len(stem) > 1:
                    at += len(stem) - 1
                    break
        at += 1


@cache
def _tables() -> _Tables:
    data = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    words: dict[str, set[str]] = {}
    stems: dict[str, set[str]] = {stem: set() for stem in data["ja_neutral"].split()}
    for number, (sign, entry) in _entries(data["en"], "e"):
        for form in inflected(entry):
            words.setdefault(form, set()).add(sign + number)
    for number, (sign, entry) in _entries(data["vi"], "v"):
        words.setdefault(entry, set()).add(sign + number)
    for number, (sign, entry) in _entries(data["ja"], "j"):
        for stem in _expanded(entry):
            stems.setdefault(stem, set()).add(sign + number)
    by_first: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for stem in sorted(stems, key=lambda stem: -len(stem)):
        by_first.setdefault(stem[0], []).append((stem, frozenset(stems[stem])))
    particles = []
    for verbs, *sides in data["particles"]:
        by_part = {part: sign for sign, side in zip("+-", sides, strict=True) for part in side.split("/")}
        particles.append((frozenset(verbs.split()), by_part))
    return _Tables(
        {word: frozenset(named) for word, named in words.items()},
        particles,
        tuple(data["prefixes"].split()),
        by_first,
        frozenset(data["turners"].split()),
        tuple(data["ja_turners"].split()),
        data["ja_prefixes"],
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
