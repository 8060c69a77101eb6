"""What to switch on next, from what stages in shadow wrote into the ledger: a gain with an interval for each step.

Theory of operation. Each row holds what each watching stage would have saved on it (`would_save`). A step's gain is
their sum; its interval is that of a sum of so many independent rows (1.96 standard errors), so that a few requests do
not promise much. Gains do not add up: a question that a cache answers leaves nothing for a cheaper model to save. The
gain of all steps together is therefore taken row by row: what a cache spares counts whole and alone, and the others
each take their share of what the ones before them left.

A step that can change answers does not act when it is switched on: evidence opens it, which takes requests and money
(`after`, `costs`). Once it is on, its opening says what it may act on now and after the next looks; what that brings
stands under `underway`, and it is advised no more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from hapenny.telemetry.figures import Advice, AdviceTotal, Spent, Underway

SPARING = ("consent", "semantic", "semantic:consent", "templates")
"""Steps that leave no call to be made."""
_Z = 1.96


class _Step(NamedTuple):
    what: str
    change: dict[str, object]
    evidence: str
    missing: str
    lossy: bool = False
    """Whether it can change answers, and evidence opens it."""


EVIDENCE_SHARE = 0.03
"""What evidence for steps that can change answers may cost, of what a route pays: `audit_budget_share` as it comes;
twice that while there is little of it."""
_PAIRS = 0.12
"""Pairs of answers that this buys for each request while evidence is thin, at half a request's price for each."""
_FIRST = 60 / 0.8 / _PAIRS
"""Requests until the evidence is first looked at, at that pace; a fifth of the pairs only proposes."""
_DAY = 86_400.0
_AUDIT = (
    "evidence, which it gathers once it is on: it changes no answer until pairs of answers bear it within "
    "max_quality_loss, and opens as far as they do"
)


def _shorter(stage: str, what: str, *, lossless: bool = False) -> _Step:
    """A stage that sends fewer tokens; evidence opens it where it can change answers."""
    return _Step(
        f"{what}: stages: {{{stage}: on}}", {"stages": {stage: "on"}}, "the tokens it would have left out",
        "nothing: it is lossless" if lossless else _AUDIT, lossy=not lossless,
    )  # fmt: skip


_STEPS: dict[str, _Step] = {
    "consent": _Step(
        "let equal questions have equal answers: cache_any_temperature: true",
        {"cache_any_temperature": True},
        "the same question in the same scope within the cache's lifetime",
        "your consent: clients that send no temperature, or one above 0, get a stored answer again",
    ),
    "semantic": _Step(
        "the semantic cache: stages: {semantic: on}",
        {"stages": {"semantic": "on"}},
        "paraphrases whose stored answers were verified, within max_error",
        "verified answers: `hapenny cache stats` says how many requests are left; a judge (stages.semantic.judge) "
        "finds more of them",
    ),
    "semantic:consent": _Step(
        "the semantic cache, with cache_any_temperature: true",
        {"cache_any_temperature": True, "stages": {"semantic": "on"}},
        "paraphrases whose stored answers were verified, within max_error",
        "your consent, and verified answers: `hapenny cache stats` says how many requests are left",
    ),
    "templates": _Step(
        "templates for greetings and thanks: stages: {templates: on}",
        {"stages": {"templates": "on"}},
        "turns that a shipped template fits",
        f"a look at its texts (`hapenny tokens templates`), and {_AUDIT}",
        lossy=True,
    ),
    "tiers": _Step(
        "the cheapest tier a question allows: stages: {tiers: on}",
        {"stages": {"tiers": "on"}},
        "the cold-start score of each question",
        _AUDIT,
        lossy=True,
    ),
    "tiers:auto": _Step(
        "the same for clients that name a model today: let them ask for `auto`, and stages: {tiers: on}",
        {"model": "auto", "stages": {"tiers": "on"}},
        "the cold-start score of each question",
        f"model: auto in your clients, or treat_as on the route; and {_AUDIT}",
        lossy=True,
    ),
    "prune": _shorter("prune", "passages cut to what the question needs"),
    "window": _shorter("window", "old turns of long conversations left out"),
    "prose": _shorter("prose", "instructions, examples and earlier answers that say each thing once"),
    "structure": _shorter("structure", "tool results in their smallest form", lossless=True),
}


class Watched(NamedTuple):
    """A row: what it cost (nano-dollars), and what each watching stage would have saved."""

    actual: int
    would_save: Mapping[str, int]
    route: str = "default"


class Acted(NamedTuple):
    """Requests of a route that a model was called for, and on how many of them a technique acted; baseline and price of
    all, and of the ones it did not act on, nano-dollars."""

    requests: int
    acted: int
    baseline: int
    baseline_left: int
    actual_left: int


class Advised(NamedTuple):
    """What to switch on, all of it together, and what is on and waits for evidence."""

    steps: list[Advice]
    total: AdviceTotal
    underway: list[Underway]


class _Sum(Struct):
    rows: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.rows += 1
        self.total += value
        self.squares += value * value

    @property
    def half(self) -> float:
        """Half of the interval of the sum."""
        if self.rows < 2:
            return abs(self.total)
        variance = max(0.0, self.squares - self.total * self.total / self.rows) / (self.rows - 1)
        return _Z * math.sqrt(variance * self.rows)


def advise(
    rows: Iterable[Watched],
    paid: int,
    *,
    requests: int = 0,
    seconds: float = 0.0,
    budgets: Sequence[Spent] = (),
    acted: Mapping[tuple[str, str], Acted] | None = None,
) -> Advised:
    """Steps with a gain, the largest first; all of them together; and what is under way.

    Args:
        rows: of requests with a known price, on which a stage watched.
        paid: what all requests of that time cost, nano-dollars.
        requests, seconds: how many clients' requests there were, and in how long: what is missing is said in both.
        budgets: where each technique that is on stands with its evidence.
        acted: by route and technique that is on.
    """
    on = {(each.route, each.technique): each for each in budgets}
    sums: dict[tuple[str, str], _Sum] = {}
    together, at_once = _Sum(), 0.0
    for row in rows:
        open_to = {}
        for name, nano in row.would_save.items():
            sums.setdefault((row.route, name), _Sum()).add(nano)
            if (row.route, name.partition(":")[0]) not in on:
                open_to[name] = nano
        together.add(_together(row.actual, open_to))
        at_once += _together(row.actual, {name: nano for name, nano in open_to.items() if not _lossy(name)})
    several = len({route for route, _ in sums}) > 1
    days = seconds / _DAY / requests if requests else 0.0
    steps = []
    for (route, name), sums_of in sums.items():
        step = _STEPS.get(name)
        if step is None or (route, name.partition(":")[0]) in on:
            continue
        gain = sums_of.total - (EVIDENCE_SHARE * paid if step.lossy else 0.0)
        if gain <= 0:
            continue
        after = round(_FIRST) if step.lossy else 0
        costs = round(2 * EVIDENCE_SHARE * paid) if step.lossy else 0
        steps.append(
            Advice(
                name=name,
                what=f"{route}: {step.what}" if several else step.what,
                change=step.change,
                saves=round(gain),
                low=round(gain - sums_of.half),
                high=round(gain + sums_of.half),
                share=gain / paid if paid else 0.0,
                requests=sums_of.rows,
                evidence=f"{step.evidence}, on {sums_of.rows:,} requests",
                missing=f"{step.missing}; {_wait(after, after * days)}, {_cost()}" if after else step.missing,
                route=route,
                after=after,
                days=after * days,
                costs=costs,
            )
        )
    steps.sort(key=lambda step: -step.saves)
    audits = EVIDENCE_SHARE * paid if any(step.after for step in steps) else 0.0
    gain = max(0.0, together.total - audits)
    total = AdviceTotal(
        saves=round(gain),
        low=round(gain - together.half),
        high=round(gain + together.half),
        share=gain / paid if paid else 0.0,
        at_once=round(min(gain, at_once)),
    )
    underway = [
        _underway(each, sums.get((each.route, each.technique)), (acted or {}).get((each.route, each.technique)), days)
        for each in budgets
        if each.ahead and (each.pairs or (each.route, each.technique) in sums)
    ]
    return Advised(steps, total, underway)


def _underway(each: Spent, watched: _Sum | None, acted: Acted | None, days: float) -> Underway:
    """What a technique that is on brings, and will."""
    seen = acted if acted is not None else Acted(0, 0, 0, 0, 0)
    now = each.ahead[0]
    before = seen.acted / seen.requests if seen.requests else 0.0
    if watched is not None and before < 1:
        most = watched.total
        gain = most * (now.share - before) / (1 - before)
    else:
        left = seen.actual_left / seen.baseline_left if seen.baseline_left else 1.0
        hoped = max((step.spares for step in each.ahead), default=0.0)
        most = seen.baseline_left * max(0.0, hoped - (1 - left))
        gain = seen.baseline * (now.share - before) * max(0.0, now.spares - (1 - left))
    following = each.ahead[1] if len(each.ahead) > 1 else None
    after, likely = (following.requests, following.share) if following is not None else (0, now.share)
    return Underway(
        name=each.technique, route=each.route, state=each.state, why=each.why, pairs=each.pairs, share=each.share,
        after=after, days=after * days, likely=likely, gain=round(gain), most=round(most),
    )  # fmt: skip


def _wait(requests: int, days: float) -> str:
    told = f"the first look at it after about {requests:,} requests"
    return f"{told} ({days:.1f} days of this traffic)" if days else told


def _cost() -> str:
    return (
        f"until then it costs up to {2 * EVIDENCE_SHARE:.0%} of what the route pays, later {EVIDENCE_SHARE:.0%}"
        " (`audit_budget_share`)"
    )


def _lossy(name: str) -> bool:
    step = _STEPS.get(name)
    return step is not None and step.lossy


def _together(actual: int, would_save: Mapping[str, int]) -> float:
    spared = max((would_save.get(name, 0) for name in SPARING), default=0)
    if spared > 0:
        return spared
    left = 1.0
    for name, nano in would_save.items():
        if name in _STEPS and name not in SPARING and actual > 0:
            left *= 1.0 - min(1.0, nano / actual)
    return actual * (1.0 - left)
