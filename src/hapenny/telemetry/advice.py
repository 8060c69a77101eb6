"""What to switch on next, from what stages in shadow wrote into the ledger: a gain with an interval for each step.

Theory of operation. Each row holds what each watching stage would have saved on it (`would_save`). A step's gain is
their sum; its interval is that of a sum of so many independent rows (1.96 standard errors), so that a few requests do
not promise much. Gains do not add up: a question that a cache answers leaves nothing for a cheaper model to save. The
gain of all steps together is therefore taken row by row: what a cache spares counts whole and alone, and the others
each take their share of what the ones before them left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct

from hapenny.telemetry.figures import Advice, AdviceTotal

SPARING = ("consent", "semantic", "semantic:consent", "templates")
"""Steps that leave no call to be made."""
_Z = 1.96


class _Step(NamedTuple):
    what: str
    change: dict[str, object]
    evidence: str
    missing: str
    lossy: bool = False
    """Whether it can change answers, and has to be audited."""


AUDITED = 0.01
"""Share of requests whose answers are compared with the baseline's once a step that can change answers is on."""
_AUDIT = (
    f"whether its answers are as good is not measured in shadow: `audit_share: {AUDITED}` compares them with the "
    "baseline's (its cost is taken off the gain) and switches it off again beyond max_quality_loss"
)
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
        "a look at its texts: `hapenny tokens templates`",
    ),
    "tiers": _Step(
        "the cheapest tier a question allows: stages: {tiers: on}",
        {"stages": {"tiers": "on"}, "audit_share": AUDITED},
        "the cold-start score of each question",
        _AUDIT,
        lossy=True,
    ),
    "tiers:auto": _Step(
        "the same for clients that name a model today: let them ask for `auto`, and stages: {tiers: on}",
        {"model": "auto", "stages": {"tiers": "on"}, "audit_share": AUDITED},
        "the cold-start score of each question",
        f"model: auto in your clients, or treat_as on the route; {_AUDIT}",
        lossy=True,
    ),
    "prune": _Step(
        "passages cut to what the question needs: stages: {prune: on}",
        {"stages": {"prune": "on"}, "audit_share": AUDITED},
        "the tokens it would have left out",
        _AUDIT,
        lossy=True,
    ),
    "window": _Step(
        "old turns of long conversations left out: stages: {window: on}",
        {"stages": {"window": "on"}, "audit_share": AUDITED},
        "the tokens it would have left out",
        _AUDIT,
        lossy=True,
    ),
    "structure": _Step(
        "tool results in their smallest form: stages: {structure: on}",
        {"stages": {"structure": "on"}},
        "the tokens it would have left out",
        "nothing: it is lossless",
    ),
}


class Watched(NamedTuple):
    """A row: what it cost (nano-dollars), and what each watching stage would have saved."""

    actual: int
    would_save: Mapping[str, int]


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


def advise(rows: Iterable[Watched], paid: int) -> tuple[list[Advice], AdviceTotal]:
    """Steps with a gain, the largest first; and all of them together.

    Args:
        rows: of requests with a known price, on which a stage watched.
        paid: what all requests of that time cost, nano-dollars.
    """
    sums: dict[str, _Sum] = {}
    together = _Sum()
    for row in rows:
        for name, nano in row.would_save.items():
            sums.setdefault(name, _Sum()).add(nano)
        together.add(_together(row))
    steps = []
    for name, found in sums.items():
        step = _STEPS.get(name)
        if step is None:
            continue
        gain = found.total - (AUDITED * paid if step.lossy else 0.0)
        if gain <= 0:
            continue
        steps.append(
            Advice(
                name=name,
                what=step.what,
                change=step.change,
                saves=round(gain),
                low=round(gain - found.half),
                high=round(gain + found.half),
                share=gain / paid if paid else 0.0,
                requests=found.rows,
                evidence=f"{step.evidence}, on {found.rows:,} requests",
                missing=step.missing,
            )
        )
    steps.sort(key=lambda step: -step.saves)
    audits = AUDITED * paid if any(_STEPS[step.name].lossy for step in steps) else 0.0
    gain = max(0.0, together.total - audits)
    total = AdviceTotal(
        saves=round(gain),
        low=round(gain - together.half),
        high=round(gain + together.half),
        share=gain / paid if paid else 0.0,
    )
    return steps, total


def _together(row: Watched) -> float:
    spared = max((row.would_save.get(name, 0) for name in SPARING), default=0)
    if spared > 0:
        return spared
    left = 1.0
    for name, nano in row.would_save.items():
        if name in _STEPS and name not in SPARING and row.actual > 0:
            left *= 1.0 - min(1.0, nano / row.actual)
    return row.actual * (1.0 - left)
