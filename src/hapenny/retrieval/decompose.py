"""Splits a compound question into sub-queries that can be searched in parallel, by rule.

Comparisons become one sub-query a side, coordinated clauses one a clause, and yes-or-no questions about several
things one a thing, because each fact usually stands in another document. A question about one thing stays whole.
"""

from __future__ import annotations

import re

from hapenny.retrieval.phrases import AUXILIARY, QUESTION, phrases

MAX_PARTS = 4

_SENTENCE = re.compile(r"(?<=[?!.;])\s+(?=\w)")
_CLAUSE = re.compile(
    r",?\s+(?:and|or|và|hoặc|rồi)\s+(?=(?:" + "|".join(sorted(QUESTION | AUXILIARY)) + r")\b)", re.IGNORECASE
)
_BETWEEN = re.compile(
    r"^(?P<head>.*?\b(?:differences?|similarities|comparison|relationship|sự khác (?:nhau|biệt))\b.*?)"
    r"\s(?:between|giữa)\s(?P<one>.+?)\s(?:and|và)\s(?P<two>.+)$",
    re.IGNORECASE,
)
_COMPARE = re.compile(
    r"^(?:please )?(?:compare|contrast|compare and contrast|so sánh)\s(?P<one>.+?)"
    r"\s(?:and|with|to|versus|vs\.?|và|với)\s(?P<two>.+)$",
    re.IGNORECASE,
)
_VERSUS = re.compile(r"^(?P<one>.+?)\s(?:vs\.?|versus)\s(?P<two>.+)$", re.IGNORECASE)
_FIND_BOTH = re.compile(
    r"^(?P<head>(?:please )?(?:find|show(?: me)?|list|search(?: for)?|tìm|cho tôi xem|liệt kê))"
    r"\s(?P<one>.+?)\s(?:and|và)\s(?P<two>.+)$",
    re.IGNORECASE,
)


def decompose(query: str, limit: int = MAX_PARTS) -> list[str]:
    """Sub-queries of `query`, at most `limit`; `[query]` when it is about one thing."""
    text = query.strip()
    bare = text.rstrip("?!. ")
    for pattern in (_BETWEEN, _COMPARE, _VERSUS, _FIND_BOTH):
        match = pattern.match(bare)
        if match:
            return [match["one"].strip(), match["two"].strip()]
    clauses = [part for sentence in _SENTENCE.split(text) for part in _CLAUSE.split(sentence) if part.strip()]
    if len(clauses) > 1:
        return clauses[:limit]
    first = bare.split(" ", 1)[0].lower()
    if first in AUXILIARY:
        things = _things(bare.split(" ", 1)[1] if " " in bare else "")
        if len(things) > 1:
            return [f"What is {thing}?" for thing in things[:limit]]
    return [text]


def _things(text: str) -> list[str]:
    """Noun phrases of a yes-or-no question; a side of something ("capital of France") stays with that something."""
    found: list[str] = []
    glue = False
    for phrase in phrases(text):
        if glue or (phrase.opened == "of" and found):
            found[-1] = f"{found[-1]} of {phrase.text}" if phrase.opened == "of" else f"{found[-1]} {phrase.text}"
        else:
            found.append(phrase.text)
        glue = False
    return list(dict.fromkeys(found))
