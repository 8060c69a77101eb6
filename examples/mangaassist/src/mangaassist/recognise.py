"""Recognises what the shop can answer without a model, in three languages; anything else it leaves to the model.

Theory of operation. Titles, volumes and order numbers are cut out of the message first. What is left must consist of
known words alone (`lexicon.yaml`), with each group of an intent's key words touched, and of all intents exactly one may
fit. So "Where is H-482193?" is recognised and "Where is H-482193, and may I still cancel it?" is not: `cancel` is no
word of that intent. Japanese has no spaces: what is left is taken apart into known pieces, by dynamic programming over
the text, never by backtracking. All work is linear in the message, which is cut at `LONGEST` characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

LONGEST = 300
"""Characters: a longer message asks more than one thing."""
LANGUAGES = ("en", "ja", "vi")
_HEADS = 20_000
"""First lines of records that are remembered."""
_ORDER = re.compile(r"h-\d{6}(?!\d)")
_VOLUME = re.compile(r"第?\s?(\d{1,3})\s?巻|(?<![\w.,-])(\d{1,3})(?:st|nd|rd|th)?(?![\w-]|[.,]\d)")
_WORDS = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_MARKS = re.compile(r"[\s、。！？!?.,:;()「」『』・…~〜]+")
_KANA = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_TONES = re.compile(r"[ăâđêôơưàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ]", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2}")
VOLUMES = ("stock", "price", "release_date")
"""Intents about one volume: a message after one of them may name another volume alone."""
RULES = (
    "hours-week", "hours-saturday", "hours-sunday", "returns-window", "returns-label", "returns-refund",
    "returns-signed", "returns-digital",
)  # fmt: skip
TALK = ("greeting", "thanks")


class Asked(NamedTuple):
    """What a message asks: the intent, and of what."""

    intent: str
    language: str
    series: str = ""
    volume: int = 0
    order: str = ""


class Named(NamedTuple):
    """What a message names, and the text without it."""

    series: tuple[str, ...]
    volumes: tuple[int, ...]
    orders: tuple[str, ...]
    rest: str


def fold(text: str) -> str:
    """Case, width and composition do not count."""
    return unicodedata.normalize("NFKC", text).casefold()


def language_of(text: str, before: str = "en") -> str:
    """The language of a message; one without signs of any stays in the session's."""
    if _KANA.search(text):
        return "ja"
    if not _WORD.search(text):  # a number alone
        return before
    if _TONES.search(text):
        return "vi"
    return "en" if before != "vi" or len(text.split()) > 3 else before


def toneless(text: str) -> str:
    """A folded text as Vietnamese is typed in haste: without marks."""
    apart = unicodedata.normalize("NFD", text.replace("đ", "d"))
    return "".join(sign for sign in apart if not unicodedata.combining(sign))


class Titles:
    """Finds titles in a message.

    Args:
        names: (title in any language, series id).
    """

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        self._names = sorted(((fold(name), id) for name, id in names), key=lambda pair: -len(pair[0]))
        self._by_first: dict[str, list[tuple[str, str]]] = {}
        for name, id in self._names:
            self._by_first.setdefault(name[:1], []).append((name, id))
        self._heads: dict[str, str] = {}
        self._last: tuple[str, Named] | None = None

    def named(self, text: str) -> Named:
        """What `text` names. Of titles within each other the longer one counts."""
        if self._last is None or self._last[0] != text:  # a message is asked about several times
            self._last = text, self._look(text)
        return self._last[1]

    def _look(self, text: str) -> Named:
        rest = fold(text)
        series: list[str] = []
        for name, id in self._names:
            if name in rest:
                rest = rest.replace(name, " ")
                if id not in series:
                    series.append(id)
        orders = tuple(dict.fromkeys(match.upper() for match in _ORDER.findall(rest)))
        rest = _ORDER.sub(" ", rest)
        volumes = tuple(dict.fromkeys(int(one or other) for one, other in _VOLUME.findall(rest)))
        rest = _VOLUME.sub(" ", rest)
        return Named(tuple(series), volumes, orders, rest)

    def in_head(self, head: str) -> str:
        """The series that a record is about, by its first line; "" for none."""
        known = self._heads.get(head)
        if known is None:
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            folded = fold(head)
            same = self._by_first.get(folded[:1], ())
            known = self._heads[head] = next((id for name, id in same if folded.startswith(name)), "")
        return known

    def find(self, name: str) -> str | None:
        """The series of a title as somebody writes it."""
        wanted = fold(name).strip()
        return next((id for title, id in self._names if title == wanted), None)


class Recogniser:
    """Says what a message asks, or None: the model's business."""

    def __init__(self, titles: Titles) -> None:
        self._titles = titles
        self._languages = {language: _Language(language, entry) for language, entry in lexicon().items()}
        self._hasty = _Language("vi", lexicon()["vi"], toneless)

    def recognise(self, text: str, language: str, before: Asked | None = None) -> Asked | None:
        """What a message asks.

        Args:
            text: the message.
            language: it is in.
            before: what the message just before it in the session asked, if that was recognised.
        """
        if len(text) > LONGEST:
            return None
        named = self._titles.named(text)
        known = self._hasty if language == "vi" and not _TONES.search(text) else self._languages[language]
        counts = {"title": len(named.series), "volume": len(named.volumes), "order": len(named.orders)}
        if max(counts.values()) > 1:
            return None
        if before is not None and before.intent in VOLUMES and counts == {"title": 0, "volume": 1, "order": 0}:
            if known.follows(named.rest):
                return Asked(before.intent, language, before.series, named.volumes[0])
            return None
        if before is not None and before.intent == "order_number" and counts == {"title": 0, "volume": 0, "order": 1}:
            if known.knows(named.rest, "order_status"):
                return Asked("order_status", language, order=named.orders[0])
            return None
        fitting = known.fitting(named.rest, counts)
        if len(fitting) != 1:
            return None
        return Asked(
            fitting[0], language, next(iter(named.series), ""), next(iter(named.volumes), 0),
            next(iter(named.orders), ""),
        )  # fmt: skip


class _Intent(NamedTuple):
    slots: Mapping[str, int]
    keys: Sequence[Sequence[str]]
    words: frozenset[str]


class _Language:
    """One language's part of the lexicon."""

    def __init__(
        self, language: str, entry: Mapping[str, Any], typed: Callable[[str], str] = lambda word: word
    ) -> None:
        self._pieces = language == "ja"
        self._typed = typed
        self._common = frozenset(map(typed, _listed(entry["common"])))
        self._intents = {name: self._intent(each) for name, each in entry["intents"].items()}
        self._follow = self._intent(entry["follow"])

    def _intent(self, entry: Mapping[str, Any]) -> _Intent:
        keys = [[self._typed(str(key)) for key in group] for group in entry["keys"]]
        words = self._common | set(map(self._typed, _listed(entry["words"])))
        if not self._pieces:
            words |= {key for group in keys for key in group}
        wanted = entry.get("slots", [])
        return _Intent({slot: int(slot in wanted) for slot in ("title", "volume", "order")}, keys, words)

    def fitting(self, rest: str, counts: Mapping[str, int]) -> list[str]:
        """Intents that the text fits once its names are cut out."""
        return [name for name, intent in self._intents.items() if intent.slots == counts and self._fits(rest, intent)]

    def follows(self, rest: str) -> bool:
        """Whether the text only asks for the same of another volume."""
        return self._fits(rest, self._follow)

    def knows(self, rest: str, name: str) -> bool:
        """Whether the text consists of an intent's words, whichever."""
        return self._fits(rest, self._intents[name]._replace(keys=()))

    def _fits(self, rest: str, intent: _Intent) -> bool:
        if self._pieces:
            plain = _MARKS.sub("", rest)
            touched = all(not group or any(key in plain for key in group) for group in intent.keys)
            return touched and _made_of(plain, intent.words)
        words = _WORDS.findall(rest)
        if not intent.words.issuperset(words):
            return False
        return all(not set(group).isdisjoint(words) for group in intent.keys)


def _made_of(text: str, pieces: frozenset[str]) -> bool:
    """Whether a text is a chain of pieces."""
    longest = max(map(len, pieces))
    reached = [True] + [False] * len(text)
    for end in range(1, len(text) + 1):
        reached[end] = any(reached[start] and text[start:end] in pieces for start in range(max(0, end - longest), end))
    return reached[-1]


def _listed(value: str | Sequence[str]) -> list[str]:
    return [fold(each) for each in (value.split() if isinstance(value, str) else value)]


@cache
def lexicon() -> dict[str, Any]:
    """The words the application knows, by language."""
    entry: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("lexicon.yaml").read_text(encoding="utf-8"))
    return entry
