"""Analysers: text to index terms, for English, Vietnamese and Japanese (and any script by word or bigram).

Every leg and store that counts terms takes them from here, so that tantivy, PostgreSQL and the learned ranker see
the same words. English: lower case, folded accents, stop words out, Porter2 stems. Vietnamese: syllables plus
pairs of neighbouring syllables (words are mostly two syllables, and blanks separate syllables). Japanese and
Chinese: character bigrams. Unknown scripts: words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

Language = Literal["en", "vi", "ja", "other"]

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
_RUNS = re.compile(f"[{_CJK}]+|[^\\W_{_CJK}]+")
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
_KANA = re.compile("[\u3040-\u30ff\uff66-\uff9f]")
_VIETNAMESE = re.compile("[ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)
_VIETNAMESE_WORDS = re.compile(r"\b(?:gì|thì sao|bao nhiêu|thế nào|của nó)\b", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
_LONGEST = 64


def detect(texts: Iterable[str]) -> Language:
    """The language of a collection, by the share of letters that only one of the known languages uses."""
    sample = " ".join(texts)[:200_000]
    letters = len(_LETTER.findall(sample)) or 1
    if len(_CJK_CHARACTER.findall(sample)) / letters > 0.3:
        return "ja"
    if len(_VIETNAMESE.findall(sample)) / letters > 0.04:
        return "vi"
    ascii_letters = sum(1 for character in sample if character.isascii() and character.isalpha())
    return "en" if ascii_letters / letters > 0.9 else "other"


def spoken(text: str) -> Language:
    """The language of one question, by letters that only one of the known languages uses; `en` if there are none."""
    if _KANA.search(text):
        return "ja"
    return "vi" if _VIETNAMESE.search(text) or _VIETNAMESE_WORDS.search(text) else "en"


class Analyser:
    """Splits text into terms. `stems` are for recall, `words` for exact matches (titles want both)."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._stemmed, self._plain = _tantivy_analysers(language)

    def stems(self, text: str) -> list[str]:
        """Index terms of `text`, in order, with repetitions."""
        if self.language == "ja":
            return _bigrams(text, self._stemmed)
        if self.language == "vi":
            return _pairs(_words(text))
        return _with_cjk(text, self._stemmed)

    def words(self, text: str) -> list[str]:
        """Unstemmed terms of `text`, stop words included."""
        if self.language == "ja":
            return _bigrams(text, self._plain)
        if self.language == "vi":
            return _words(text)
        return _with_cjk(text, self._plain)


@lru_cache(maxsize=8)
def analyser(language: Language) -> Analyser:
    """The shared analyser of a language."""
    return Analyser(language)


def _tantivy_analysers(language: Language) -> tuple[Any, Any]:
    import tantivy

    builder = tantivy.TextAnalyzerBuilder
    folded = (tantivy.Filter.remove_long(_LONGEST), tantivy.Filter.lowercase(), tantivy.Filter.ascii_fold())
    plain = builder(tantivy.Tokenizer.simple())
    stemmed = builder(tantivy.Tokenizer.simple())
    for each in folded:
        plain, stemmed = plain.filter(each), stemmed.filter(each)
    if language in ("en", "ja"):
        stemmed = stemmed.filter(tantivy.Filter.stopword("english")).filter(tantivy.Filter.stemmer("english"))
    return stemmed.build(), plain.build()


def _words(text: str) -> list[str]:
    return [run for run in _RUNS.findall(unicodedata.normalize("NFC", text).lower()) if len(run) <= _LONGEST]


def _pairs(words: list[str]) -> list[str]:
    return words + [f"{left}_{right}" for left, right in pairwise(words)]


def _with_cjk(text: str, words: Any) -> list[str]:
    if _CJK_CHARACTER.search(text):
        return _bigrams(text, words)
    return list(words.analyze(text))


def _bigrams(text: str, words: Any) -> list[str]:
    terms: list[str] = []
    for run in _RUNS.findall(unicodedata.normalize("NFKC", text)):
        if not _CJK_CHARACTER.match(run):
            terms.extend(words.analyze(run))
        elif len(run) == 1:
            terms.append(run)
        else:
            terms.extend(run[i : i + 2] for i in range(len(run) - 1))
    return terms
