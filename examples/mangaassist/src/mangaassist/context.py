"""Retrieval sized to the question: of what the retriever found, what this question can need.

A shop's passages are of two kinds, records of volumes and pages of rules. A question that names titles needs their
records and at most the three pages that share most with it; one that asks for something to read needs records; any
other needs pages. Nothing is rewritten: passages stay as they are and in their order, so that citations and caches
hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache

from mangaassist.recognise import Titles, fold, lexicon

_SKU = re.compile(r"\(kb-\d+\)")
_WORDS = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]+|[^\W_\u3040-\u30ff\u4e00-\u9fff]+")
_PAGES = 3
"""Pages that go with the records of a title that is asked about."""


def sized(passages: Sequence[str], question: str, titles: Titles, before: Sequence[str] = ()) -> list[str]:
    """The passages that a question can need, in their order.

    Args:
        passages: what the retriever found, the best first.
        question: as asked.
        titles: of the shop.
        before: titles (series ids) that the session spoke of, for a question that names none.
    """
    asked = fold(question)
    named = titles.named(question).series
    advice = wants_advice(asked) or (not named and names_genre(asked))
    records = [passage for passage in passages if is_record(passage)]
    pages = [passage for passage in passages if not is_record(passage)]
    if advice and not named:
        kept = set(records)
    elif named or before:
        wanted = named or tuple(before)
        kept = {passage for passage in records if titles.in_head(_head(passage)) in wanted}
        if not kept:
            return list(passages)  # the retriever found none of them: the model must see what there is
        kept |= set(best(asked, pages, _PAGES) if named else pages)  # without a title it may ask something else
    elif pages:
        kept = set(pages)
    else:
        return list(passages)
    return [passage for passage in passages if passage in kept]


def wants_advice(asked: str) -> bool:
    """Whether a folded question asks what to read."""
    return any(word in asked for words in _words("advice") for word in words)


def names_genre(asked: str) -> bool:
    """Whether a folded question names a genre."""
    return any(word in asked for words in _words("genres") for word in words)


def is_record(passage: str) -> bool:
    """Whether a passage is a volume's record."""
    return _SKU.search(fold(_head(passage))) is not None


def _head(passage: str) -> str:
    return passage.partition("\n")[0]


def best(asked: str, pages: Sequence[str], count: int) -> list[str]:
    """The pages that share most with a question, rare words first; those that share nothing are none."""
    terms = _terms(asked)
    shared = [terms & _terms(fold(page)) for page in pages]
    often = Counter(term for each in shared for term in each)
    scores = [(sum(1 / often[term] for term in each), -place) for place, each in enumerate(shared)]
    return [pages[-place] for score, place in sorted(scores, reverse=True)[:count] if score > 0]


@lru_cache(maxsize=4096)
def _terms(text: str) -> frozenset[str]:
    """Words, of East Asian text pairs of signs."""
    terms: set[str] = set()
    for run in _WORDS.findall(text):
        if run[0] >= "\u3040" and run[0] <= "\u9fff":
            terms.update(run[at : at + 2] for at in range(len(run) - 1))
        elif run not in _stop():
            terms.add(run[:-1] if len(run) > 3 and run.endswith("s") and run.isascii() else run)
    return frozenset(terms)


@cache
def _words(part: str) -> list[list[str]]:
    return [[fold(word) for word in entry[part]] for entry in lexicon().values()]


@cache
def _stop() -> frozenset[str]:
    return frozenset(word for words in _words("stop") for word in words)
