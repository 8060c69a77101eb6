"""Splits a compound question into sub-queries that can be searched in parallel, by rule.

Comparisons become one sub-query a side, coordinated clauses one a clause, two sides of one thing or one side of two
things one each, and English yes-or-no questions about several things one a thing, because each fact usually stands in
another document. A question about one thing stays whole. Marks and conjunctions are looked up from left to right, so
the work is linear in the question's length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hapenny.retrieval.analysis import spoken
from hapenny.retrieval.query import decompose_ja, decompose_vi
from hapenny.retrieval.query.noun_phrases import AUXILIARY, QUESTION, phrases
from hapenny.retrieval.query.sentence_ends import SENTENCE

MAX_PARTS = 4

_BEGINS = "|".join(sorted(QUESTION | AUXILIARY | {"explain", "show", "tell"}))
_CLAUSE = re.compile(rf",?\s(?:and|or|then)\s(?:then\s)?(?=(?:{_BEGINS})\b)", re.IGNORECASE)
_ONE_AND_TWO = re.compile(r"\s(?:and also|and|or|versus|vs\.?|with|to|over|than)\s", re.IGNORECASE)
_BETWEEN = re.compile(r"\bbetween\s", re.IGNORECASE)
_SIDES_WORD = re.compile(
    r"\b(?:differences?|similarit(?:y|ies)|comparison|relationship|compare|contrast)\b", re.IGNORECASE
)
_COMPARE = re.compile(r"^(?:please )?(?:compare and contrast|compare|contrast)\s", re.IGNORECASE)
_FIND = re.compile(r"^(?:please )?(?:find|show(?: me)?|list|search(?: for)?|give me|tell me about)\s", re.IGNORECASE)
_VERSUS = re.compile(r"\s(?:vs\.?|versus)\s", re.IGNORECASE)
_CHOICE = re.compile(
    r"^(?:and )?(?:which (?:one )?(?:is|are|has|have|of)|what is better|should i (?:choose|take|buy|get|use|pick)"
    r"|does|do|is|are)\b",
    re.IGNORECASE,
)
_HOW_COMPARE = re.compile(
    r"^how (?:does|do|is|are)\s(?P<one>.+?)\s(?:compare(?:d)?|differ(?:ent)?)\s(?:to|with|from)\s", re.IGNORECASE
)
_THAN = re.compile(
    r"^(?:is|are|does|do)\s(?P<one>.+?)\s(?:\S+er|more \S+|less \S+|better|worse)\sthan\s", re.IGNORECASE
)
_UP_TO_THREE = r"[\w-]+(?: [\w-]+){0,2}"
_TRAITS = re.compile(
    r"^(?:what(?:'s| is| are)|tell me|explain|describe|list|show me|give me)?\s?(?:the )?"
    rf"(?P<one>{_UP_TO_THREE}) and (?:the )?(?P<two>{_UP_TO_THREE}) of (?P<of>.+)$",
    re.IGNORECASE,
)
_TRAIT_OF_TWO = re.compile(
    rf"^(?:what(?:'s| is| are)|tell me|explain|describe)\s(?:the )?(?P<side>{_UP_TO_THREE}) of (?P<rest>.+)$",
    re.IGNORECASE,
)
_OWN_SIDE = re.compile(rf"^the (?P<side>{_UP_TO_THREE}) of (?P<of>.+)$", re.IGNORECASE)
_WHICH_HAS = re.compile(
    r"^which (?:one )?(?:has|have|offers|got) (?:the |a )?(?:better|best|more|most|less|fewer|\w{2,}er|\w{2,}est)\s"
    rf"(?P<side>{_UP_TO_THREE})[,:]\s(?P<rest>.+)$",
    re.IGNORECASE,
)
_HAVE_BETTER = re.compile(
    r"\s(?:have|has|with)\s(?:the |a )?(?:better|best|longer|shorter|higher|lower|more|most)\s(?P<side>.+)$",
    re.IGNORECASE,
)


def decompose(query: str, limit: int = MAX_PARTS) -> list[str]:
    """Sub-queries of `query`, at most `limit`; `[query]` when it is about one thing."""
    text = query.strip()
    language = spoken(text)
    if language == "ja":
        made = decompose_ja.split(text)
    elif language == "vi":
        made = decompose_vi.split(text)
    else:
        made = _english(text, limit)
    parts = [part.strip(" ,、") for part in made if part.strip(" ,、")]
    return parts[:limit] if parts else [text]


def _english(text: str, limit: int) -> list[str]:
    bare = text.rstrip("?!. ")
    clauses = [part for sentence in SENTENCE.split(text) for part in _CLAUSE.split(sentence) if part.strip()]
    if len(clauses) > 1:
        return clauses
    between = _BETWEEN.search(bare)
    if between and _SIDES_WORD.search(bare, 0, between.start()):
        return _two(bare[between.end() :]) or [text]
    for opening in (_COMPARE, _FIND):
        match = opening.match(bare)
        if match:
            sides = _traits(bare[match.end() :]) or _two(bare[match.end() :])
            return sides or [text]
    versus = _VERSUS.search(bare)
    if versus:
        return [bare[: versus.start()], bare[versus.end() :]]
    for pattern in (_HOW_COMPARE, _THAN):
        match = pattern.match(bare)
        if match:
            return [match["one"], bare[match.end() :]]
    sides = _traits(bare)
    if sides:
        return sides
    match = _TRAIT_OF_TWO.match(bare)
    if match:
        two = _two(match["rest"], only=("and",))
        return [_side(match["side"], each) for each in two] if two else [text]
    match = _WHICH_HAS.match(bare)
    if match:
        two = _two(match["rest"], only=("or", "and"))
        if two:
            return [f"{match['side']} of {each}" for each in two]
    if _CHOICE.match(bare) and (" or " in bare or " over " in bare):
        return _choice(bare) or [text]
    first = bare.split(" ", 1)[0].lower()
    if first in AUXILIARY:
        things = _things(bare.split(" ", 1)[1] if " " in bare else "")
        if len(things) > 1:
            return [f"What is {thing}?" for thing in things[:limit]]
    return [text]


def _side(side: str, thing: str) -> str:
    """A side of a thing; where the thing brings a side of its own ("and the toll of B"), that one."""
    own = _OWN_SIDE.match(thing)
    return f"{own['side']} of {own['of']}" if own else f"{side} of {thing}"


def _traits(bare: str) -> list[str]:
    match = _TRAITS.match(bare)
    return [f"{match['one']} of {match['of']}", f"{match['two']} of {match['of']}"] if match else []


def _choice(bare: str) -> list[str]:
    """The two things of "which is better, A or B?" and "does A or B have the better warranty?"."""
    mark = " or " if " or " in bare else " over "
    at = bare.find(mark)
    one, two = bare[:at], bare[at + len(mark) :]
    one = re.split("[,:]", one)[-1] if "," in one or ": " in one else _CHOICE.sub("", one, count=1)
    trait = _HAVE_BETTER.search(two)
    if trait:
        return [f"{trait['side']} of {one.strip()}", f"{trait['side']} of {two[: trait.start()].strip()}"]
    return [one, two]


def _two(text: str, only: Sequence[str] = ()) -> list[str]:
    """Both sides of the first conjunction; [] if there is none."""
    for match in _ONE_AND_TWO.finditer(text):
        if not only or match.group().strip().lower() in only:
            return [text[: match.start()], text[match.end() :]]
    return []


def _things(text: str) -> list[str]:
    """Noun phrases of a yes-or-no question; a side of something ("capital of France") stays with that something."""
    things: list[str] = []
    for phrase in phrases(text):
        if phrase.opened == "of" and things:
            things[-1] = f"{things[-1]} of {phrase.text}"
        else:
            things.append(phrase.text)
    return list(dict.fromkeys(things))
