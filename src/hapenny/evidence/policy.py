"""Which policy the evidence bears (what may act in which cells), and where more evidence would open most for its price.

Theory of operation. A policy names an option for some cells; what it loses on the route's traffic is the sum over its
cells of their share times their mean loss. Policies that may be chosen stand in short rows, whose order tells nothing
of losses: an option on the cells whose requests are worth most, one cell more at a time; and a dearer option
everywhere, that a cheaper one replaces from the most worthy cell on. Cells that proposing pairs speak against are left
out. So there is little to choose by luck, and the bound need not pay for hundreds of possible choices.

The upper bound of a policy's loss is the stratified mean of its certifying pairs plus a normal quantile of its standard
error and the correction that a sum of rare, weighted events needs, as a Poisson count does (Cornish and Fisher's first
term). Cells with too few pairs for their share of the traffic are taken together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from hapenny.evidence.pairs import Pairs, Sums

Policy: TypeAlias = dict[str, str]
"""The option that may act, by cell."""

_LEAST = 20
"""Certifying pairs of an option under which nothing is said of it."""
_ALONE = 8
"""Certifying pairs of a cell under which it is taken together with other thin ones."""
_THIN = 1.6
"""A cell is thin where each of its pairs stands for more traffic than that many usual ones."""
_POOLED = 5.0
"""Pairs' worth of the option's usual scatter that each cell's own is mixed with."""
_SHRUNK = 10.0
"""Proposing pairs that a cell's own mean loss must outweigh."""
_AGAINST = 1.5
"""Standard errors by which proposing pairs of a cell must lie above the option's mean to speak against it."""
_HORIZON = 4.0
"""How far ahead it is asked what more evidence would open: that many times what has been spent so far."""


class Borne(NamedTuple):
    """A policy, the upper bound of its loss, and the share of the route's bill it is promised to save within a
    limit."""

    policy: Policy
    upper: float
    saved: float


def best(pairs: Pairs, allowed: float, z: float) -> Borne:
    """The policy that saves most within `allowed`, acting on the share of its requests that this limit bears."""
    chosen = Borne({}, 0.0, 0.0)
    whole = max(1e-9, pairs.worth)
    ratios = {option: pairs.ratio(option) for option in pairs.options}
    prices = by_cell(pairs, ratios)
    for policy in candidates(pairs, ratios, prices):
        bound = upper(pairs, policy, z)
        if math.isinf(bound):
            continue
        share = min(1.0, allowed / bound) if bound > 0 else 1.0
        saved = (
            share * sum(pairs.cells[name].worth * (1 - prices[name, option]) for name, option in policy.items()) / whole
        )
        if saved > chosen.saved:
            chosen = Borne(policy, bound, saved)
    return chosen


def by_cell(pairs: Pairs, ratios: dict[str, float]) -> dict[tuple[str, str], float]:
    """What each option costs in each cell for each dollar that everything-off would."""
    return {(name, option): pairs.ratio_in(name, option, ratios[option]) for name in pairs.cells for option in ratios}


def candidates(pairs: Pairs, ratios: dict[str, float], prices: dict[tuple[str, str], float]) -> Iterator[Policy]:
    """The policies that may be chosen. Where an option costs no less than everything-off it is left out, whatever it
    loses there."""
    cells, against = pairs.by_worth(), doubted(pairs)
    against |= {key for key, price in prices.items() if price >= 1}
    options = sorted((option for option in pairs.options if ratios[option] < 1), key=lambda option: ratios[option])
    for option in options:
        policy: Policy = {}
        for name in cells:
            if (name, option) not in against:
                policy = policy | {name: option}
                yield policy
    for place, dear in enumerate(options):
        for cheap in options[:place]:
            policy = {name: dear for name in cells if (name, dear) not in against}
            for name in cells:
                if (name, cheap) not in against:
                    policy = policy | {name: cheap}
                    yield policy


def doubted(pairs: Pairs) -> set[tuple[str, str]]:
    """Cells and options that proposing pairs speak against."""
    against = set()
    for option in pairs.options:
        usual = pairs.all_of(option)
        scatter = (usual.square + 1) / (usual.n + 1)
        for name, cell in pairs.cells.items():
            tried = cell.options.get(option)
            if tried is None or tried.proposing.n < 4:
                continue
            mine = tried.proposing
            mean = (mine.loss + _SHRUNK * usual.mean) / (mine.n + _SHRUNK)
            error = math.sqrt((mine.square + scatter) / ((mine.n + 1) * mine.n))
            if mean - usual.mean > _AGAINST * error:
                against.add((name, option))
    return against


def upper(pairs: Pairs, policy: Policy, z: float) -> float:
    """Upper bound of what a policy loses, as a share of the route's questions; infinite where too little is known."""
    mean = variance = third = widest = 0.0
    for option in dict.fromkeys(policy.values()):
        strata = _strata(pairs, [name for name, each in policy.items() if each == option], option)
        count = sum(sums.n for _, sums in strata)
        if count < _LEAST:
            return math.inf
        usual = (sum(sums.square for _, sums in strata) + 1) / (count + 1)
        for weight, sums in _together(strata, count):
            n = max(sums.n, 1e-9)
            part = weight * weight * (sums.square + _POOLED * usual) / (n + _POOLED) / n
            mean += weight * sums.loss / n
            variance += part
            third += part * weight / n
            widest = max(widest, weight / n)
    if not variance:
        return math.inf
    return mean + z * math.sqrt(variance + widest**2) + (z * z + 2) / 3 * third / variance


_Stratum: TypeAlias = tuple[float, Sums]
"""Weight in the traffic, certifying pairs."""


def _strata(pairs: Pairs, cells: list[str], option: str) -> list[_Stratum]:
    tried = [(name, pairs.cells[name].options.get(option)) for name in cells]
    return [(pairs.weight(name), each.certifying if each is not None else Sums()) for name, each in tried]


def _together(strata: list[_Stratum], count: float) -> list[_Stratum]:
    """Thin cells as one, so that no pair stands for much more of the traffic than the others do."""
    fair = _THIN * sum(weight for weight, _ in strata) / count
    ordered = sorted(strata, key=lambda each: each[1].n / each[0] if each[0] else math.inf)
    pooled, pool = 0.0, Sums()
    for place, (weight, sums) in enumerate(ordered):
        thin = sums.n < _ALONE or weight > fair * sums.n or pooled > fair * pool.n
        if not thin:
            return [*ordered[place:], (pooled, pool)] if pooled else ordered[place:]
        pooled += weight
        pool.join(sums)
    return [(pooled, pool)]


def aim(pairs: Pairs, allowed: float, z: float) -> Policy:
    """Where further pairs are worth most: the policy that would be open to the largest saving if the next pairs were
    all spent on its cells and options. Every option is taken to lose in each cell what it loses on the whole: what
    single cells show so far is mostly chance. Empty while too little is known of any option."""
    usual = {option: pairs.all_of(option) for option in pairs.options}
    known = {option: sums for option, sums in usual.items() if sums.n >= _LEAST}
    ratios = {option: pairs.ratio(option) if option in known else 1.0 for option in pairs.options}
    judging = {
        option: sum(each.judging for each in pairs.tried(option)) / sums.n for option, sums in known.items()
    }  # fmt: skip
    prices = by_cell(pairs, ratios)
    means = _HORIZON * pairs.spent
    chosen: Policy = {}
    most = 0.0
    for policy in candidates(pairs, ratios, prices):
        asked = cost = saving = 0.0
        parts: dict[str, list[float]] = {}
        for name, option in policy.items():
            cell = pairs.cells[name]
            tried = cell.options.get(option)
            part = parts.setdefault(option, [0.0, 0.0, 0.0])
            part[0] += pairs.weight(name)
            part[1] += tried.seen if tried is not None else 0.0
            part[2] += cell.asked
            asked += cell.asked
            cost += cell.worth * ratios[option] + judging[option] * cell.asked
            saving += cell.worth * (1 - prices[name, option])
        more = means / max(cost, 1e-9)  # further pairs for each request
        mean = variance = third = 0.0
        for option, (weight, seen, requests) in parts.items():
            sums = known[option]
            each = weight / max(1.0, seen + more * requests)
            piece = weight * each * (sums.square + 1) / (sums.n + 1)
            mean += weight * sums.mean
            variance += piece
            third += piece * each
        bound = mean + z * math.sqrt(variance) + (z * z + 2) / 3 * third / max(variance, 1e-12)
        promised = saving * (min(1.0, allowed / bound) if bound > 0 else 1.0)
        if promised > most:
            most, chosen = promised, policy
    return chosen
