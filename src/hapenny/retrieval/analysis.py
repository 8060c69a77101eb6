"""Analysers: text to index terms, for English, Vietnamese and Japanese (and any script by word or bigram).

Every leg and store that counts terms takes them from here, so that tantivy, PostgreSQL and the learned ranker see
the same words. English: lower case, folded accents, stop words out, Porter2 stems. Vietnamese: syllables plus
pairs of neighbouring syllables (words are mostly two syllables, and blanks separate syllables). Japanese, Chinese and
Korean: character pairs, and single characters of documents, which a question asks for where it has one alone (one
kanji between kana, one syllable). Unknown scripts: words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

Language = Literal["en", "vi", "ja", "other"]

_CJK = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3"
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
_KANJI = "\u3005\u3400-\u9fff\uf900-\ufaff"
_LONE_KANJI = re.compile(f"(?<![{_KANJI}])[{_KANJI}](?![{_KANJI}])")
VERSION = 2
"""Of what is indexed of a text: 1 knew no Korean and no single characters."""
_KANA = re.compile("[\u3040-\u30ff\uff66-\uff9f]")
_VIETNAMESE = re.compile("[ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)
_VIETNAMESE_WORDS = re.compile(r"\b(?:gì|thì sao|bao nhiêu|thế nào|của|tìm|và|không|tôi|xin chào)\b", re.IGNORECASE)
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
    """Splits text into terms. `stems` are for recall, `words` for exact matches (titles want both).

    `version`: how a collection was indexed; questions are split in the same way.
    """

    def __init__(self, language: Language, version: int = VERSION) -> None:
        self.language = language
        self.version = version
        self._stemmed, self._plain = _tantivy_analysers(language)
        wide = _CJK + (_HANGUL if version > 1 else "")
        self._runs = re.compile(f"[{wide}]+|[^\\W_{wide}]+")
        self._wide = re.compile(f"[{wide}]")

    def stems(self, text: str) -> list[str]:
        """Index terms of a question or title, in order, with repetitions."""
        if self.language == "vi":
            return _pairs(self._words(text))
        return self._terms(text, self._stemmed, asked=True)

    def indexed(self, text: str) -> list[str]:
        """Index terms of a document's text: those of `stems`, and every single character of scripts without blanks."""
        if self.language == "vi":
            return _pairs(self._words(text))
        return self._terms(text, self._stemmed, asked=self.version == 1)

    def words(self, text: str) -> list[str]:
        """Unstemmed terms of `text`, stop words included."""
        if self.language == "vi":
            return self._words(text)
        return self._terms(text, self._plain, asked=True)

    def _words(self, text: str) -> list[str]:
        runs = self._runs.findall(unicodedata.normalize("NFC", text).lower())
        return [run for run in runs if len(run) <= _LONGEST]

    def _terms(self, text: str, words: Any, *, asked: bool) -> list[str]:
        if self.language != "ja" and not self._wide.search(text):
            return list(words.analyze(text))
        terms: list[str] = []
        for run in self._runs.findall(unicodedata.normalize("NFKC", text)):
            if not self._wide.match(run):
                terms.extend(words.analyze(run))
            elif len(run) == 1:
                terms.append(run)
            else:
                terms.extend(run[i : i + 2] for i in range(len(run) - 1))
                if not asked:
                    terms.extend(run)
                elif self.version > 1:
                    terms.extend(_LONE_KANJI.findall(run))
        return terms


@lru_cache(maxsize=8)
def analyser(language: Language, version: int = VERSION) -> Analyser:
    """The shared analyser of a language."""
    return Analyser(language, version)


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


def _pairs(words: list[str]) -> list[str]:
    return words + [f"{left}_{right}" for left, right in pairwise(words)]
