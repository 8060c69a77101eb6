"""One hop: from the units that fit the question best to those that they lead on to.

"Which office did the actress who played X hold?" is answered by one passage that says who played X, and one that bears
her name: the second shares no word with the question. A title is a bridge where it stands whole, word for word, without
what is in brackets behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hapenny.tokens.analysis import STOP_WORDS, terms
from hapenny.tokens.passages import Passage, plain

Floats = npt.NDArray[np.float64]

_HEADS = 4
"""Units whose words may lead on."""
_SHORTEST = 3
"""Letters under which a title is no name."""


def expand(
    question: str, passages: Sequence[Passage], first: Floats, owner: npt.NDArray[np.intp],
    starts: npt.NDArray[np.intp], out: Floats,
) -> None:  # fmt: skip
    """Fills `out`, shape (units, 4): title words in the question; in the best units; the best units' titles here; new
    terms that the best units bring in."""
    asked = set(terms(question))
    title_sets = [frozenset(passage.title_terms) for passage in passages]
    best = np.argsort(-first, kind="stable")[:3]
    heads = [(int(owner[i]), passages[owner[i]].units[i - starts[owner[i]]]) for i in best]
    head_terms = [frozenset(unit.terms) for _, unit in heads]
    linked = np.zeros(len(passages))
    asked_share = np.zeros(len(passages))
    for number, title in enumerate(title_sets):
        if title:
            asked_share[number] = len(title & asked) / len(title)
            shares = [
                len(title & words) / len(title)
                for (home, _), words in zip(heads, head_terms, strict=True)
                if home != number
            ]
            linked[number] = max(shares, default=0.0)
    out[:, 0] = asked_share[owner]
    out[:, 1] = linked[owner]
    new = frozenset(term for words in head_terms for term in words if term not in asked and len(term) > 2)
    names = [(home, title_sets[home]) for home, _ in heads if title_sets[home]]
    row = 0
    for number, passage in enumerate(passages):
        # What does not stand in the passage at all need not be looked for in its units.
        led = [title for home, title in names if home != number and not title.isdisjoint(passage.words)]
        brought = new & passage.words
        for unit in passage.units:
            for title in led:
                out[row, 2] = max(out[row, 2], len(title.intersection(unit.terms)) / len(title))
            if brought:
                out[row, 3] = len(brought.intersection(unit.terms)) / (4 + len(unit.terms))
            row += 1


def bridges(
    question: str,
    passages: Sequence[Passage],
    first: Floats,
    owner: npt.NDArray[np.intp],
    starts: npt.NDArray[np.intp],
    out: Floats,
) -> None:
    """Fills `out`, shape (units, 4): first unit of a passage the question names; how well the unit scored (`first`,
    relative to the best) that names this unit's passage; the same for the passage's first unit; and the same times the
    share of the question's words here that the best unit did not have."""
    if not any(passage.title for passage in passages):
        return
    asked_for = plain(question)
    titles = [passage.name for passage in passages]
    is_name = [len(title) >= _SHORTEST + 2 for title in titles]
    named = [ok and title in asked_for for ok, title in zip(is_name, titles, strict=True)]
    best = np.argsort(-first, kind="stable")[:_HEADS].tolist()
    top = float(first[best[0]]) or 1.0
    reached: dict[int, float] = {}
    for place in best:
        home = int(owner[place])
        text = plain(passages[home].units[place - int(starts[home])].text)
        for number, title in enumerate(titles):
            if is_name[number] and not named[number] and title != titles[home] and title in text:
                reached[number] = max(reached.get(number, 0.0), float(first[place]) / top)
    for number, is_named in enumerate(named):
        if is_named and passages[number].units:
            out[starts[number], 0] = 1.0
    if not reached:
        return
    home = int(owner[best[0]])
    asked = set(terms(question)) - STOP_WORDS
    left = asked.difference(passages[home].units[best[0] - int(starts[home])].terms)
    for number, strength in reached.items():
        for place, unit in enumerate(passages[number].units, int(starts[number])):
            out[place, 1] = strength
            out[place, 3] = strength * len(left.intersection(unit.terms)) / max(1, len(left))
        if passages[number].units:
            out[starts[number], 2] = strength
