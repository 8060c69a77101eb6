"""What a technique may act on after so many more requests, if further pairs come as often and turn out as so far.

Theory of operation. Pairs grow with traffic, so the next looks can be dated in requests. At each the opening is asked
what it would decide with its own pairs, each counted as often as there will be more of them: the same rule, its bounds
narrower by what more pairs narrow them. Where that bears less than is open already, what is open is taken to stay: the
same pairs counted twice make a choice look as sure as it is not. Nothing is opened by it; reports and advice read it.
"""

from __future__ import annotations

import msgspec

from hapenny.evidence.opening import GROWTH, Kept, Opening
from hapenny.evidence.pairs import Pairs
from hapenny.telemetry.figures import Ahead

LOOKS = 4
"""Looks that are foreseen."""


def outlook(opening: Opening, limit: float, hidden: float = 0.0) -> list[Ahead]:
    """What is, first, and what the next looks may bring.

    Args:
        opening: which is only read.
        limit: what the technique may lose.
        hidden: share of losses that verdicts hide.
    """
    kept = opening.kept()
    acting = opening.standing(limit).share if kept.state == "open" else 0.0
    ahead = [Ahead(0, acting, _spares(kept))]
    known = Pairs(kept.options, kept.cells)
    pairs, asked = known.certifying, known.asked
    if not pairs or kept.state == "suspended":
        return ahead
    for step in range(LOOKS):
        wanted = kept.due * GROWTH**step
        later = Opening(opening.technique, opening.options, opening.delta)
        later.keep(_grown(kept, max(1.0, wanted / pairs)))
        later.look(limit, hidden)
        share = later.standing(limit).share if later.state == "open" else 0.0
        requests, last = max(1, round((wanted - pairs) / pairs * asked)), ahead[-1]
        if share > last.share:
            ahead.append(Ahead(requests, share, _spares(later.kept())))
        else:
            ahead.append(Ahead(requests, last.share, last.spares))
    return ahead


def _grown(kept: Kept, times: float) -> Kept:
    """The same evidence, each pair counted `times` times."""
    cells = {
        name: msgspec.structs.replace(
            cell,
            options={
                option: msgspec.structs.replace(
                    tried, proposing=tried.proposing.times(times), certifying=tried.certifying.times(times)
                )
                for option, tried in cell.options.items()
            },
        )
        for name, cell in kept.cells.items()
    }
    return msgspec.structs.replace(kept, cells=cells, due=0.0, state="closed", policy={}, part=0.0)


def _spares(kept: Kept) -> float:
    worth = spared = 0.0
    for name, option in kept.policy.items():
        cell = kept.cells[name]
        tried = cell.options.get(option)
        if tried is not None and tried.seen:
            worth += cell.worth
            spared += cell.worth - cell.asked * tried.cost / tried.seen
    return spared / worth if worth > 0 else 0.0
