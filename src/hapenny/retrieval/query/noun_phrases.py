"""Noun phrases of English questions by closed word classes: enough for references and sub-queries, in microseconds."""

from __future__ import annotations

import re

import msgspec

from hapenny.retrieval.query.word_lists import words

_LONGEST = 400
"""Characters of a text whose noun phrases are looked for: what a question is about stands at its beginning."""
_WORD = re.compile(r"\w+(?:[’'.&/-]+\w+)*|[?,;:!.]")
SUBJECTS = words("en", "subject_pronouns")
POSSESSIVES = words("en", "possessive_pronouns")
ARTICLES = words("en", "articles")
QUESTION = words("en", "question_words")
AUXILIARY = words("en", "auxiliaries")
PREPOSITIONS = words("en", "prepositions")
CONJUNCTIONS = words("en", "conjunctions")
_VERBS = words("en", "verbs")
CLOSED = frozenset().union(
    ARTICLES,
    QUESTION,
    AUXILIARY,
    PREPOSITIONS,
    CONJUNCTIONS,
    SUBJECTS,
    POSSESSIVES,
    _VERBS,
    *(words("en", name) for name in ("pronouns", "commands", "determiners")),
)
_RELATIONAL = words("en", "relational_nouns") | words("en", "relational_more")
"""Nouns that name a side of something else: on their own they leave the something out."""


class Phrase(msgspec.Struct, frozen=True):
    """A noun phrase. `relational`: its head names a side of something else; `opened`: "of", "the" or nothing."""

    text: str
    relational: bool
    opened: str
    position: int


def phrases(body: str) -> list[Phrase]:
    """Noun phrases in order: maximal runs of words outside the closed classes, joined by "of" after a name."""
    out: list[Phrase] = []
    run: list[str] = []
    previous = opened = ""
    start = 0

    def close() -> None:
        while run and run[-1].lower() in CONJUNCTIONS | ARTICLES:
            run.pop()
        if run:
            named = any(_proper(word) for word in run)
            relational = not named and is_relational(run[-1].lower())
            out.append(Phrase(" ".join(run), relational, "" if named and opened != "of" else opened, start))
        run.clear()

    matches = list(_WORD.finditer(body[:_LONGEST]))
    for number, match in enumerate(matches):
        token = match.group()
        low = token.lower()
        proper = _proper(token)
        named = (proper and (run or (match.start() > 0 and low in _VERBS))) or (token.isupper() and len(token) > 1)
        closed = low in CLOSED and not named
        if closed or not token[0].isalnum() or (previous == "how" and not run and not proper):
            joins = low == "of" and run and any(_proper(word) for word in run)
            if joins or (low == "the" and run and run[-1] == "of"):
                run.append(token)
                continue
            close()
            if low == "the":
                previous = previous if previous.endswith(" the") else f"{previous} the"
            elif low == "of" or low not in ARTICLES:
                previous = low
            continue
        following = matches[number + 1].group() if number + 1 < len(matches) else ""
        if run and not proper and _proper(run[-1]) and (_proper(following) or following in ("the", "a", "an")):
            # Between a name and another one stands a verb.
            close()
            previous = low
            continue
        if not run:
            start = match.start()
            opened = "of" if previous.startswith("of") else "the" if previous.endswith("the") else ""
        run.append(token)
        previous = low
    close()
    return out


def _proper(token: str) -> bool:
    return token[:1].isupper()


def is_relational(word: str) -> bool:
    """Whether a noun, singular or plural, names a side of something else ("symptoms")."""
    for ending, put in (("", ""), ("s", ""), ("es", ""), ("ies", "y"), ("es", "is")):
        if word.endswith(ending) and (word[: len(word) - len(ending)] if ending else word) + put in _RELATIONAL:
            return True
    return False
