"""Removes what the collection cannot answer: greetings, politeness, sentences in which people tell about themselves,
and statements beside a question of which the collection knows no word.

Every phrase is compared where the text stands, from a list; the text is read forward and backward once, so the work
is linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from hapenny.retrieval.query.word_lists import WordLists, words

_SENTENCE = re.compile(r"(?<=[.!?。！？])\s*(?=\S)|\n")
_MOST_SENTENCES = 40
"""Sentences that are looked at one by one; what follows is one more."""
_AFTER = " ,.!:;、。！-~…"
_ASKS = "?？"
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff]")

Knows: TypeAlias = Callable[[str], bool]
"""Whether the collection holds anything of a sentence."""


def relevant(text: str, language: str, lists: WordLists, knows: Knows | None = None) -> str:
    """`text` without what surrounds the question; as it came if nothing would be left."""
    sentences = [part.strip() for part in _SENTENCE.split(text, _MOST_SENTENCES) if part.strip()]
    stripped = [_stripped(part, language, lists) for part in sentences]
    pairs = [(whole, part) for whole, part in zip(sentences, stripped, strict=True) if _content(part)]
    kept = [part for _, part in pairs]
    # What it was asked with may be gone ("please tell me …", …を教えてください): the whole sentence still asks.
    asking = [part for whole, part in pairs if _asks(part, language, lists) or _asks(whole, language, lists)]
    if asking and len(asking) < len(kept):
        kept = [part for part in kept if part in asking or not _aside(part, language, lists, knows)]
    whole = (" " if language != "ja" else "").join(kept)
    return whole if len(_content(whole)) > 1 else text


def _stripped(sentence: str, language: str, lists: WordLists) -> str:
    start, lead = _start(sentence, lists)
    end = _end(sentence, start, lists, language)
    core = sentence[start:end].strip()
    # A mark of the sentence survives what stood before it.
    mark = sentence.rstrip()[-1:] if sentence.rstrip()[-1:] in _ASKS + ".。" else ""
    if mark and core and core[-1] not in ".?!。？！":
        core += mark if core != lead else ""
    return f"{lead} {core}".strip() if lead else core


def _start(sentence: str, lists: WordLists) -> tuple[int, str]:
    """Where the question begins, and what of the asking phrase stays."""
    low = sentence.lower()
    at, lead = 0, ""
    while at < len(low):
        for phrase in (*lists.asking, *lists.greetings):
            end = at + len(phrase)
            if low.startswith(phrase, at) and (end == len(low) or low[end] in _AFTER or _wide(phrase)):
                keep = lists.asking_keeps.get(phrase, "")
                lead = keep or lead
                at = end
                break
        else:
            break
        while at < len(low) and low[at] in _AFTER:
            at += 1
    # What would leave a lone word has been the question itself.
    return (at, lead) if _content(sentence[at:]) or at >= len(low) else (0, "")


def _end(sentence: str, start: int, lists: WordLists, language: str) -> int:
    low = sentence.lower()
    end = len(low)
    while end > start:
        bare = end
        while bare > start and low[bare - 1] in _AFTER + _ASKS:
            bare -= 1
        if any(low.endswith(phrase, start, bare) for phrase in lists.closers_keep):
            return end
        for phrase in (*lists.closers, *lists.endings):
            begin = bare - len(phrase)
            # Endings are what was asked with, so something must stand before them.
            if begin < start or not low.startswith(phrase, begin):
                continue
            if begin == start and phrase in lists.endings:
                continue
            if begin == start or low[begin - 1] in _AFTER + _ASKS or _wide(phrase):
                end = begin
                break
        else:
            return end
    return end


def _asks(sentence: str, language: str, lists: WordLists) -> bool:
    bare = sentence.rstrip(" .!。！")
    if bare.endswith(tuple(_ASKS)):
        return True
    if language == "en":
        first = bare.split(" ", 1)[0].lower()
        return first in words("en", "question_words") | words("en", "auxiliaries") | words("en", "commands") | {"the"}
    if language == "ja":
        return bare.endswith("か") or any(word in bare for word in lists.question_words if word != "か")
    spaced = f" {bare.lower()} "
    return any(f" {word} " in spaced for word in lists.question_words)


def _aside(sentence: str, language: str, lists: WordLists, knows: Knows | None) -> bool:
    """Whether a statement tells about the asker, or about nothing that the collection knows."""
    low = sentence.lower()
    if any(phrase in low for phrase in lists.asides) if language == "ja" else low.startswith(tuple(lists.asides)):
        return True
    return knows is not None and not knows(sentence)


def _content(text: str) -> str:
    return text.strip(_AFTER + _ASKS)


def _wide(phrase: str) -> bool:
    return _WIDE.search(phrase) is not None
