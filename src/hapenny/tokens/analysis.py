"""Terms of a text for lexical scoring: stemmed English words, Vietnamese syllables with their pairs, CJK bigrams."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable

from hapenny.core.patterns import pattern

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0e7f"
_TOKEN = pattern(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_IS_CJK = pattern(rf"[{_CJK}]")
_VIETNAMESE = pattern("[\u1ea0-\u1ef9ăđơưĂĐƠƯ]")
_HIRAGANA = pattern("^[\u3041-\u309f]+$")

_STOP_WORDS = """
    a an and are as at be been but by can could did do does for from had has have he her him his how i if in into is
    it its me my no not of on or our she so some such than that the their them then there these they this those to was
    we were what when where which who whom whose why will with would you your s t 's also about during after before
    ai là và của có những các được trong với cho này đã một không như khi nào gì bao nhiêu đâu ở tại bởi từ để người
    nó vào ra đến về thì mà"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


class _Stems(dict[str, str]):
    """A light stemmer (Harman's S stemmer, 1991, with -ed, -ing and -ly), computed once a word; bounded."""

    def __missing__(self, word: str) -> str:
        if len(self) > 200_000:
            self.clear()
        stem = self[word] = _stem(word)
        return stem


def _stem(word: str) -> str:
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif (word.endswith("es") and word[-3] in "sxz") or word.endswith(("shes", "ches")):
        word = word[:-2]
    elif word.endswith("s") and word[-2] not in "us":
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and re.search("[aeiouy]", word[: -len(ending)]):
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    if word.endswith("ly") and len(word) > 5:
        word = word[:-2]
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


_STEMS = _Stems()


def is_vietnamese(text: str) -> bool:
    """Whether a text carries letters that only Vietnamese uses."""
    return _VIETNAMESE.search(text) is not None


def terms(text: str, *, pairs: bool = False) -> list[str]:
    """The terms of a text in order; `pairs` adds neighbouring syllables (Vietnamese words are mostly two)."""
    if text.isascii():
        return [_STEMS[word] for word in _TOKEN.findall(text.lower())]
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())
    terms_of: list[str] = []
    for token in tokens:
        if _IS_CJK.match(token):
            if len(token) == 1:
                terms_of.append(token)
            terms_of += [token[i : i + 2] for i in range(len(token) - 1)]
        else:
            terms_of.append(_STEMS[token])
    if pairs:
        terms_of += [f"{a} {b}" for a, b in itertools.pairwise(tokens)]
    return terms_of


def query_weights(words: Iterable[str]) -> dict[str, float]:
    """The distinct terms of a query with their prior weight: content 1, pairs of syllables 1, function words little."""
    weights: dict[str, float] = {}
    for word in words:
        if word in STOP_WORDS:
            weights[word] = 0.05
        elif _HIRAGANA.match(word):
            weights[word] = 0.3
        elif " " in word:
            first, second = word.split(" ", 1)
            weights[word] = 1.5 * (0.2 ** ((first in STOP_WORDS) + (second in STOP_WORDS)))
        else:
            weights[word] = 1.0
    return weights
