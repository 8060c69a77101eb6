"""The request with which the books compare, where retrieval put passages into it.

Without hapenny an application that answers from documents searches them by itself and sends what it finds. Compared
with the bare question, our passages would be a cost that the application does not have less without us; not compared at
all, they would hide what they cost one that never sent any. So all states up to retrieval are priced with the passages
that the application would have sent (`core.passages.BASELINE_PASSAGES`), and what retrieval sends instead is its own
saving, or cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Request
from hapenny.core.notes import Note
from hapenny.core.passages import BASELINE_PASSAGES, beside

_RETRIEVAL = "retrieval"
_ADDED: Note[dict[int, tuple[Request, Request]]] = Note("books.passages")
"""Requests, and the same with the passages, by the identity of the former: one that is priced again is the same."""


class State(NamedTuple):
    """A request as it stood behind a technique, where it went then, and whether nothing was left to pay."""

    technique: str
    request: Request
    target: Target
    free: bool


def with_passages(exchange: Exchange, states: Sequence[State]) -> list[State]:
    """`states` (the baseline's, and one a step of the exchange) with the application's passages up to retrieval."""
    passages = exchange.stage_notes[BASELINE_PASSAGES]
    before = len(states) - len(exchange.steps) + passages.after
    earlier, later = list(states[:before]), list(states[before:])
    if not later or later[0].technique != _RETRIEVAL:  # it put nothing in
        later.insert(0, earlier[-1]._replace(technique=_RETRIEVAL))
    added = exchange.stage_notes.setdefault(_ADDED, {})
    for index, state in enumerate(earlier):
        request = state.request
        if passages.sent and index == before - 1:
            changed = later[0].request  # the very one that retrieval passed on
        else:
            if id(request) not in added:
                added[id(request)] = (request, beside(request, passages.text))
            changed = added[id(request)][1]
        earlier[index] = state._replace(request=changed)
    return [*earlier, *later]


def added_passages(exchange: Exchange) -> Iterable[Request]:
    """The requests that `with_passages` made."""
    return [changed for _, changed in (exchange.stage_notes.get(_ADDED) or {}).values()]
