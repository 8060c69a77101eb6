"""The word lists of a language (`data/query`), read once."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import msgspec
import yaml
from msgspec import Struct

_FOLDER = Path(__file__).parents[1] / "data" / "query"


class WordLists(Struct, frozen=True, kw_only=True):
    """What people wrap around a question, what refers back, and words of one meaning.

    `asking_keeps`: an asking phrase and what of it stays. `asides`: how sentences begin (Japanese: what they hold) that
    tell about the asker. `endings`: what Japanese puts behind the thing asked for.
    """

    greetings: list[str] = []
    asking: list[str] = []
    asking_keeps: dict[str, str] = {}
    closers: list[str] = []
    closers_keep: list[str] = []
    endings: list[str] = []
    asides: list[str] = []
    question_words: list[str] = []
    refers: list[str] = []
    refers_when: list[str] = []
    chat: dict[str, str] = {}
    synonyms: list[list[str]] = []
    spellings: dict[str, str] = {}
    pairs: dict[str, str] = {}


@cache
def word_lists(language: str) -> WordLists:
    """Those of `en`, `vi` or `ja`; empty ones of any other language."""
    data = raw(language)
    known = {name: data[name] for name in WordLists.__struct_fields__ if isinstance(data.get(name), (list, dict))}
    lists = msgspec.convert(known, WordLists)
    for name in ("greetings", "asking", "closers", "endings", "refers"):
        getattr(lists, name).sort(key=lambda phrase: (-len(phrase), phrase))
    return lists


@cache
def words(language: str, name: str) -> frozenset[str]:
    """A list of words of a language's file."""
    return frozenset(word.replace("_", " ") for word in str(raw(language).get(name, "")).split())


@cache
def alternatives(language: str, name: str) -> str:
    """A list of phrases of a language's file as a group of a pattern, longest first."""
    phrases = raw(language)[name]
    assert isinstance(phrases, list)
    return "(?:" + "|".join(re.escape(str(each)) for each in sorted(phrases, key=lambda each: -len(str(each)))) + ")"


@cache
def pointing_back(language: str) -> re.Pattern[str]:
    """Phrases by which people name what they spoke of before, with the time they put behind them."""
    lists = word_lists(language)
    when = "|".join(re.escape(word) for word in sorted(lists.refers_when, key=lambda word: -len(word)))
    edge = "" if language == "ja" else r"\b"
    behind = f"(?: (?:{when}){edge})?" if when and language != "ja" else ""
    also = str(raw(language).get("refers_also", "(?!)")).replace("| ", "|")
    return re.compile(f"{edge}(?:{alternatives(language, 'refers')}|{also}){edge}{behind}", re.IGNORECASE)


@cache
def raw(language: str) -> dict[str, object]:
    """A language's file as it is."""
    path = _FOLDER / f"{language}.yaml"
    data: dict[str, object] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    return data
