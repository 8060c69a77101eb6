"""Makes a conversational question stand alone, by rule: pronouns and left-out topics come from the history.

A conversation has a focus: the thing the latest self-contained turn asked about. Pronouns take the focus; a bare
relational noun ("What are the symptoms?") gets "of" the focus; everything else stays as it came, because a wrong
addition costs more than a missing one. `unsure` tells the caller when a small model would help. Vietnamese and
Japanese have rules of their own; what is written here is for English.

The task: Dalton, Xiong and Callan, "TREC CAsT 2019: The Conversational Assistance Track Overview" (2020).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from hapenny.retrieval.analysis import spoken
from hapenny.retrieval.query import references_ja, references_vi
from hapenny.retrieval.query.conversation_state import LONGEST_FOCUS, Standalone, State, instead, observe, referred
from hapenny.retrieval.query.noun_phrases import (
    AUXILIARY,
    CLOSED,
    POSSESSIVES,
    PREPOSITIONS,
    SUBJECTS,
    Phrase,
    phrases,
)
from hapenny.retrieval.query.word_lists import pointing_back

_INTRODUCES = re.compile(
    r"^(?:tell (?:me )?(?:more )?about|describe|explain|what (?:is|are|was|were|about)|what['’]s|how about"
    r"|who (?:is|are|was|were)|define|discuss)\s+(.*)$",
    re.IGNORECASE,
)
_ABOUT = re.compile(r"^(?:what|how) about\b", re.IGNORECASE)
_WHAT_OF = re.compile(r"^(?:and |so )?(?:what|how) about (?P<thing>.+)$", re.IGNORECASE)


_TURNS = 12
_SOCIAL_TURNS = 4
"""Earlier turns that may be greetings and thanks among the last ones."""
_LONGEST_TURN = 600
"""Characters of an earlier turn that are read."""
_SOCIAL = re.compile(
    r"^(?:(?:hi|hello|hey|thanks|thank you|thx|ok|okay|yes|no|yeah|sure|great|bye|good (?:morning|afternoon|evening)"
    r"|there|so much|a lot|xin chào|chào|cảm ơn|vâng|dạ|こんにちは|ありがとう(?:ございます)?|はい|いいえ)"
    r"[\s,.!。、]*)+$",
    re.IGNORECASE,
)
"""Turns that are about nothing."""
_REFERS = re.compile(rf"\b(?:{'|'.join(sorted(SUBJECTS | POSSESSIVES))})\b", re.IGNORECASE)
_STILL = frozenset(
    {"still", "true", "safe", "legal", "common", "correct", "available", "normal", "new", "free", "real"}
)
"""What "is this …" asks of the thing spoken of; before other words "this" opens a name."""
_Rules: TypeAlias = "tuple[Callable[[str, State], Standalone], Callable[[str], str]]"


class _English(State):
    known: str = ""
    """The first thing that was only spoken of as known ("the bridge"): it stands in while nothing better was named."""


def standalone(query: str, history: Sequence[str], answer: str = "") -> Standalone:
    """Resolves `query` against earlier user turns (oldest first) and, failing those, the last answer.

    Only the last turns are read, and of each its beginning.
    """
    recent = (" ".join(turn[:_LONGEST_TURN].split()) for turn in history[-_TURNS - _SOCIAL_TURNS :])
    history = [turn for turn in recent if not _SOCIAL.match(turn)]
    answer = " ".join(answer[:_LONGEST_TURN].split())
    answer = "" if _SOCIAL.match(answer) else answer
    rules = _other(query, history)
    if rules is not None:
        return _elsewhere(rules, query, history, answer)
    state = _English()
    for turn in history[-_TURNS:]:
        _observe(state, _resolve(turn.strip(), state))
    if not state.focus and answer:
        state.focus = _subject(answer.split(".")[0])[:LONGEST_FOCUS]
    return _resolve(query.strip(), state)


def social(text: str) -> bool:
    """Whether a text is greetings and thanks alone."""
    return _SOCIAL.match(text[:_LONGEST_TURN]) is not None


def _other(query: str, history: Sequence[str]) -> _Rules | None:
    """The rules of the conversation's language, None for those of this file."""
    for text in (query, *reversed(history[-_TURNS:])):
        language = spoken(text)
        if language == "ja":
            return references_ja.resolve, references_ja.subject
        if language == "vi":
            return references_vi.resolve, references_vi.subject
    return None


def _elsewhere(rules: _Rules, query: str, history: Sequence[str], answer: str) -> Standalone:
    resolve, subject = rules
    state = State()
    for turn in history[-_TURNS:]:
        text = turn.strip()
        observe(state, resolve(text, state), subject(text))
    if not state.focus and answer:
        state.focus = subject(re.split(r"[.。]", answer, maxsplit=1)[0])
    return resolve(query.strip(), state)


def _resolve(query: str, state: _English) -> Standalone:
    named = referred(query, pointing_back("en"), state.focus or state.known or "\0")
    if named != query:
        return Standalone(query, False, unsure=True) if "\0" in named else Standalone(named, True)
    if not state.focus:
        replaced = _pronouns(query, state.known) if state.known else query
        if replaced != query:
            return Standalone(replaced, True)
        return Standalone(query, False, unsure=bool(_REFERS.search(query)))
    replaced = _definite(_pronouns(query, state.focus), state.focus)
    if replaced != query:
        return Standalone(replaced, True)
    phrase = _subject(query)
    about = _WHAT_OF.match(query)
    if about and phrase and not _opened(query):
        swapped = instead(state, about["thing"].rstrip("?.! "))
        if swapped:
            return Standalone(swapped, True)
    if phrase and not (_ABOUT.match(query) and _opened(query)):
        return Standalone(query, False)
    if phrases(query):
        return Standalone(_append(query, state.focus), True)
    return Standalone(query, False, unsure=True)


def _opened(query: str) -> bool:
    """Whether "what about" goes on with a preposition: the thing itself was left out."""
    rest = _ABOUT.sub("", query).split()
    return bool(rest) and rest[0].lower() in PREPOSITIONS


def _definite(query: str, focus: str) -> str:
    """`query` with "the experiment" made "the Stanford Experiment" when that is the focus."""
    words = focus.split()
    if len(words) < 2 or any(word.lower() in query.lower().split() for word in words[:-1]):
        return query
    head = words[-1]
    return re.sub(
        rf"\b(the|this|that) {re.escape(head)}\b", lambda m: f"{m.group(1)} {focus}", query, flags=re.IGNORECASE
    )


def _pronouns(query: str, focus: str) -> str:
    """`query` with its first references replaced by the focus."""
    tokens = query.split(" ")
    out: list[str] = []
    done = False
    for i, token in enumerate(tokens):
        word, tail = _split(token)
        low = word.lower()
        following = _split(tokens[i + 1])[0].lower() if i + 1 < len(tokens) else ""
        before = _split(tokens[i - 1])[0].lower() if i else ""
        if low in SUBJECTS and not (low == "it" and _pleonastic(before, following)):
            out.append(focus + tail)
            done = True
        elif (low in POSSESSIVES or (low == "her" and following and following not in CLOSED)) and not done:
            out.append(_possessive(focus) + tail)
            done = True
        elif not done and word != "One" and _stands_for(low, before, following, i):
            out.append(focus + tail)
            done = True
        else:
            out.append(token)
    return " ".join(out)


def _stands_for(word: str, before: str, following: str, position: int) -> bool:
    """Whether `word` is a "one" or a closing "this" that stands for the focus."""
    if word in ("one", "ones"):
        return position > 0 and before not in ("which", "what", "no", "any") and not _compared(before)
    if word in ("this", "that") and before in ("is", "was", "does", "did", "has"):
        return following in _STILL
    return word in ("this", "that") and not following and before != "like"


def _compared(before: str) -> bool:
    """Whether "one" is another thing of the kind ("a cheaper one than that")."""
    return len(before) > 4 and before.endswith("er") and before not in ("other", "former", "latter")


def _pleonastic(before: str, following: str) -> bool:
    """Whether an `it` only fills the place of a subject ("is it possible to", "how long does it take")."""
    return following in ("possible", "take", "takes", "necessary", "mean", "like") and before in AUXILIARY


def _split(token: str) -> tuple[str, str]:
    word = token.rstrip("?,.!;:")
    return word, token[len(word) :]


def _possessive(phrase: str) -> str:
    return phrase + ("'" if phrase.endswith("s") else "'s")


def _observe(state: _English, turn: Standalone) -> None:
    """Lets a turn that brought its own subject set the focus."""
    state.asked = turn.text or state.asked
    if turn.changed:
        return
    state.focus = (_subject(turn.text) or state.focus)[:LONGEST_FOCUS]
    if not state.known:
        things = (each.text for each in phrases(turn.text) if each.opened == "the" and not each.relational)
        state.known = next((f"the {thing}" for thing in things), "")


def _subject(turn: str) -> str:
    """The thing a self-contained turn is about: its main noun phrase without question words."""
    text = turn.strip().rstrip("?.! ")
    match = _INTRODUCES.match(text)
    body = match.group(1) if match else text
    return next((each.text for each in phrases(body) if _brings(each)), "")


def _brings(phrase: Phrase) -> bool:
    """Whether a phrase names something new, rather than a side of, or a reference to, what is being talked about."""
    return phrase.opened == "of" or (not phrase.relational and phrase.opened != "the")


def _append(query: str, focus: str) -> str:
    text = query.rstrip()
    tail = text[len(text.rstrip("?.! ")) :]
    return f"{text.rstrip('?.! ')} of {focus}{tail}"
