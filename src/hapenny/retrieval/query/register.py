"""Brings a question into the register of the collection: its words for the same things, its spelling, its accents.

Theory of operation: a word that the collection holds is never touched. For another one the first of these that leads
to words it does hold is taken: what chat writing stands for ("pls", "ko"), a word of one meaning ("fridge" for
"refrigerator", スマホ for スマートフォン), another spelling ("color"), and an abbreviation that the documents explain
("central processing unit (CPU)"). A Vietnamese question without any accent gets the accents under which its syllables
stand beside one another in the collection (Viterbi over the collection's pairs of syllables).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import msgspec

from hapenny.retrieval.query.word_lists import WordLists, word_lists

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_MARKED = re.compile("[àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ]", re.IGNORECASE)
_ABBREVIATION = re.compile(r"\(([A-Z][A-Z0-9]{1,6})\)")
_MOST_WORDS = 40_000
_CANDIDATES = 6
_LONGEST_PHRASE = 4

Frequency = Callable[[str], int]
"""Documents that hold a word or phrase as it is written; 0 if none."""


class Vocabulary(msgspec.Struct, frozen=True):
    """Words of a collection as documents write them, with in how many of a sample they stand; explained
    abbreviations; for Vietnamese also pairs of syllables."""

    words: dict[str, int] = {}
    abbreviations: dict[str, str] = {}


def read_vocabulary(texts: Iterable[str], language: str) -> Vocabulary:
    """The vocabulary of a sample of documents; bounded, the most frequent words stay."""
    words: Counter[str] = Counter()
    abbreviations: dict[str, str] = {}
    for text in texts:
        low = [word.lower() for word in _WORD.findall(unicodedata.normalize("NFC", text))]
        words.update(set(low))
        if language == "vi":
            words.update({f"{one} {two}" for one, two in pairwise(low)})
        for match in _ABBREVIATION.finditer(text):
            long = _explained(text[max(0, match.start() - 120) : match.start()], match[1])
            if long:
                abbreviations[match[1].lower()] = long
    return Vocabulary(dict(words.most_common(_MOST_WORDS)), abbreviations)


class Lexicon:
    """Rewrites questions for one collection. `holds`: whether its index has every term of a text."""

    def __init__(self, language: str, holds: Callable[[str], bool], vocabulary: Vocabulary | None = None) -> None:
        self._language = language
        self._holds = holds
        self._lists: WordLists = word_lists(language)
        self._words = vocabulary.words if vocabulary is not None else {}
        self._short = vocabulary.abbreviations if vocabulary is not None else {}
        self._long = {long: short for short, long in self._short.items()}
        self._groups: dict[str, list[str]] = {}
        for group in self._lists.synonyms:
            for word in group:
                self._groups.setdefault(word.lower(), []).extend(each for each in group if each != word)
        self._folded: dict[str, list[str]] = {}
        if language == "vi":
            for word in self._words:
                if " " not in word:
                    self._folded.setdefault(folded(word), []).append(word)
            for options in self._folded.values():
                options.sort(key=lambda word: -self._words[word])

    def styled(self, text: str) -> str:
        """`text` in the collection's words."""
        if self._language == "vi" and self._words:
            text = "".join(self._accented(part) if plain else part for part, plain in self._unaccented(text))
        if self._language == "ja":
            return self._japanese(unicodedata.normalize("NFKC", text))
        matches = list(_WORD.finditer(text))
        out: list[str] = []
        at = number = 0
        while number < len(matches):
            length, instead = self._instead([match.group().lower() for match in matches[number : number + 4]])
            if instead is not None:
                out += [text[at : matches[number].start()], instead]
                at = matches[number + length - 1].end()
            number += length
        return "".join([*out, text[at:]])

    def _instead(self, words: list[str]) -> tuple[int, str | None]:
        """How many of the words are one, and what the collection says for it; None: as it is."""
        for length in range(len(words), 0, -1):
            phrase = " ".join(words[:length])
            known = self._groups.get(phrase) or self._groups.get(phrase.removesuffix("s"))
            if known or phrase in self._long or phrase in self._short:
                if length == 1 and self._said(phrase):
                    return 1, None
                options = [*(known or ()), *filter(None, (self._short.get(phrase), self._long.get(phrase)))]
                better = next((option for option in options if self._said(option)), None)
                if better is not None and not self._said(phrase):
                    return length, better
        word = words[0]
        if self._said(word):
            return 1, None
        plain = self._lists.chat.get(word)
        if plain is not None:
            further = next((option for option in self._groups.get(plain, ()) if self._said(option)), "")
            return 1, further if further and not self._said(plain) else plain
        return 1, next((spelt for spelt in self._spellings(word) if self._said(spelt)), None)

    def _spellings(self, word: str) -> Iterable[str]:
        for one, other in self._lists.pairs.items():
            if word == one:
                yield other
            elif word == other:
                yield one
        for short, long in self._lists.spellings.items():
            if long in word:
                yield word.replace(long, short)
            if short in word:
                yield word.replace(short, long)

    def _said(self, phrase: str) -> bool:
        """Whether the collection holds the words as they are, or in another form of them."""
        if self._words and phrase in self._words:
            return True
        return self._holds(phrase)

    def _japanese(self, text: str) -> str:
        for word in sorted((each for each in self._groups if each in text.lower()), key=len, reverse=True):
            if self._holds(word):
                continue
            held = [option for option in self._groups[word] if self._holds(option)]
            better = max(held, key=len, default=None)
            at = text.lower().find(word)
            if better is not None and at >= 0 and better not in text:
                return text[:at] + better + text[at + len(word) :]
        return text

    def _unaccented(self, text: str) -> Iterator[tuple[str, bool]]:
        """The text in parts, each with whether it is a run of syllables that lost their accents: all of a text without
        any accent, else two or more neighbours of which the collection does not know one."""
        if not _MARKED.search(text):
            yield text, True
            return
        run: list[re.Match[str]] = []
        at = 0
        for match in [*_WORD.finditer(text), None]:
            if match is not None and match.group().isascii() and not match.group()[0].isupper():
                run.append(match)
                continue
            if len(run) > 1 and any(each.group().lower() not in self._words for each in run):
                yield text[at : run[0].start()], False
                yield text[run[0].start() : run[-1].end()], True
                at = run[-1].end()
            run = []
        yield text[at:], False

    def _accented(self, text: str) -> str:
        """The likeliest accents of an unaccented text, syllable by syllable."""
        matches = list(_WORD.finditer(text))
        options = [
            list(dict.fromkeys([*self._folded.get(match.group().lower(), [])[:_CANDIDATES], match.group().lower()]))
            for match in matches
        ]
        best: list[dict[str, tuple[float, str]]] = []
        for number, choices in enumerate(options):
            scores: dict[str, tuple[float, str]] = {}
            for word in choices:
                own = math.log1p(self._words.get(word, 0)) - (0.5 if word not in self._words else 0.0)
                if not number:
                    scores[word] = own, ""
                    continue
                scores[word] = max(
                    (score + own + 2.0 * math.log1p(self._words.get(f"{before} {word}", 0)), before)
                    for before, (score, _) in best[-1].items()
                )
            best.append(scores)
        chosen: list[str] = []
        word = max(best[-1], key=lambda each: best[-1][each][0]) if best else ""
        for scores in reversed(best):
            chosen.append(word)
            word = scores[word][1]
        out: list[str] = []
        at = 0
        for match, word in zip(matches, reversed(chosen), strict=True):
            kept = match.group() if folded(match.group().lower()) == word else word
            out += [text[at : match.start()], kept]
            at = match.end()
        return "".join([*out, text[at:]])


def folded(word: str) -> str:
    """A word without accents."""
    return "".join(
        letter
        for letter in unicodedata.normalize("NFD", word.lower().replace("đ", "d"))
        if not unicodedata.combining(letter)
    )


def _explained(before: str, short: str) -> str:
    """The words just before an abbreviation whose first letters spell it, "" if they do not."""
    words = _WORD.findall(before)[-len(short) :]
    if len(words) == len(short) and "".join(word[0] for word in words).upper() == short:
        return " ".join(words).lower()
    return ""
