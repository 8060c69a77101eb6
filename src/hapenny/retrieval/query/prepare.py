"""One pass of rules over a question, well under a millisecond.

Normalise -> drop what the collection cannot answer (`irrelevant`) -> resolve references -> the collection's register
(`Lexicon`) -> split. The embedder sees the prepared sentence; noise words go from the lexical leg alone
(`Retriever.terms`). Where the rules are unsure the caller may ask a small model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import msgspec

from hapenny.retrieval.analysis import spoken
from hapenny.retrieval.query.decompose import decompose
from hapenny.retrieval.query.irrelevant import Knows, relevant
from hapenny.retrieval.query.references import social, standalone
from hapenny.retrieval.query.register import Lexicon
from hapenny.retrieval.query.word_lists import word_lists

MAX_CHARACTERS = 4000

_SPACE = re.compile(r"\s+")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A prepared query. `parts` are searched side by side and include `text` first; `steps` say what was changed.
    `unsure`: a model may know better: what it refers to, or what the collection calls it."""

    text: str
    parts: tuple[str, ...]
    steps: tuple[str, ...] = ()
    unsure: bool = False


def prepare(
    question: str,
    history: Sequence[str] = (),
    answer: str = "",
    *,
    split: bool = True,
    knows: Knows | None = None,
    lexicon: Lexicon | None = None,
) -> Query:
    """Prepares a question against earlier user turns and the last answer.

    Args:
        question: as it was written; beyond 4,000 characters it is cut.
        history: earlier user turns, oldest first.
        answer: the last answer.
        split: whether compound questions become parts.
        knows: whether the collection holds anything of a sentence.
        lexicon: the words of the collection.
    """
    steps: list[str] = []
    text = normalise(question)
    cleaned = relevant(text, spoken(text), word_lists(spoken(text)), knows)
    if cleaned != text:
        steps.append("irrelevant")
    resolved = standalone(cleaned, history, answer)
    if resolved.changed:
        steps.append("references")
    asked = resolved.text[:MAX_CHARACTERS]
    styled = lexicon.styled(asked) if lexicon is not None else asked
    if styled != asked:
        steps.append("style")
    parts = decompose(styled) if split else [styled]
    if len(parts) > 1:
        steps.append("decomposed")
    searched = [styled, *(part for part in parts if part != styled)]
    # A question without a word of the collection may say the same in other words: no list of rules has them all.
    strange = knows is not None and not social(text) and not knows(styled)
    return Query(text=styled, parts=tuple(searched), steps=tuple(steps), unsure=resolved.unsure or strange)


def normalise(text: str) -> str:
    """NFC, single blanks, bounded length."""
    return _SPACE.sub(" ", unicodedata.normalize("NFC", text[:MAX_CHARACTERS])).strip()
