"""What the reference rules of every language share: the state of a conversation, and the verdict on a question."""

from __future__ import annotations

import re

import msgspec


class Standalone(msgspec.Struct, frozen=True):
    """A question that needs no history. `unsure`: it looks incomplete, and no rule applied with confidence."""

    text: str
    changed: bool
    unsure: bool = False


class State(msgspec.Struct):
    """What is being talked about. `asked`: the last question as it stood alone."""

    focus: str = ""
    asked: str = ""


def observe(state: State, turn: Standalone, subject: str) -> None:
    """Lets a turn that brought its own subject set the focus."""
    if subject and not turn.changed:
        state.focus = subject[:LONGEST_FOCUS]
    if turn.text:
        state.asked = turn.text


LONGEST_FOCUS = 200
"""Characters of what a conversation is taken to be about; what is longer is a text, not a topic."""


def referred(text: str, pattern: re.Pattern[str], focus: str) -> str:
    """`text` with phrases that point back ("what I said before"; `word_lists.pointing_back`) made the focus."""
    return pattern.sub(lambda _: focus, text)


def instead(state: State, thing: str) -> str:
    """The last question about `thing` instead; empty when it did not name what it was about."""
    if not state.asked or not state.focus or state.focus.lower() not in state.asked.lower():
        return ""
    return re.sub(re.escape(state.focus), lambda _: thing, state.asked, count=1, flags=re.IGNORECASE)
