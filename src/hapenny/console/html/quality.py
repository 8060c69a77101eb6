"""What is known of quality beside a saving, in words: the loss budget of each route, the holdout against the rest."""

from __future__ import annotations

from collections.abc import Sequence

from hapenny.console.html.charts import money, shown
from hapenny.telemetry.figures import Holdout, Side, Spent, Underway

NOTHING = (
    "No answer was audited and no held-out answer was scored: what this saving did to answers is not known. "
    "`routes.NAME.holdout` and `audit_share` measure it."
)


def budget_lines(budgets: Sequence[Spent]) -> list[tuple[str, str, str, str, str, str, str]]:
    """A row for each technique of each route: who it is, its state, what it may lose, what it loses at most and as
    seen (shares of the route's answers, in points), pairs, and the share of requests on which it may act."""
    several = len({each.route for each in budgets}) > 1
    rows = []
    for each in budgets:
        name = f"{each.route}/{shown(each.technique)}" if several else shown(each.technique)
        state = each.state if not each.why else f"{each.state}: {each.why}"
        known = each.pairs > 0
        rows.append(
            (
                name, state, points(each.limit), points(each.bound) if each.state == "open" else "\u2013",
                f"{100 * each.loss:+.2f}" if known and each.state == "open" else "\u2013", f"{each.pairs:,}",
                f"{each.share:.0%}",
            )
        )  # fmt: skip
    return rows


def underway(way: Underway, *, several: bool = False) -> str:
    """How far the evidence of a technique is that is on, what it brings, and when it is looked at next."""
    name = f"{way.route}/{shown(way.name)}" if several else shown(way.name)
    why = f" ({way.why})" if way.why else ""
    told = f"{name} is {way.state}{why} and acts on {way.share:.0%} of the requests, by {way.pairs:,} pairs of answers"
    if way.after:
        days = f", {way.days:.1f} days of this traffic" if way.days else ""
        told += f"; the next look is after about {way.after:,} more requests{days}"
        if way.likely > way.share:
            told += f" (then {way.likely:.0%}, if pairs turn out as so far)"
    if way.gain > 0:
        told += f"; in as much traffic again it is likely to save {money(way.gain)} more"
    if way.most > way.gain:
        told += f", and up to {money(way.most)} if it acted everywhere"
    return told


def points(share: float) -> str:
    """A share as points of a hundred."""
    return f"{100 * share:.2f}"


_DRAWN = "sessions, users or questions"


def holdout_lines(holdout: Holdout | None, units: str = _DRAWN) -> list[str]:
    """The holdout against the rest; `units`: what the rest's interval is over."""
    if holdout is None:
        return []
    out, rest = holdout.held_out, holdout.rest
    lines = [f"holdout: {_side(out, _DRAWN)}", f"the rest: {_side(rest, units)}"]
    if holdout.shared_hits:
        lines.append(
            f"carried over: {holdout.shared_hits:,} first questions of a session were answered from stores that other"
            " sessions had filled. The holdout neither fills nor reads them, so the saving it proves includes them."
        )
    return lines


def _side(side: Side, units: str) -> str:
    told = f"{side.requests:,} requests of {side.units:,} {units}"
    if side.units >= 2 and side.baseline:
        told += f"; saved {side.saved:.1%} [{side.saved_low:.1%} to {side.saved_high:.1%}]"
    if side.quality is None or side.quality_low is None or side.quality_high is None:
        return told + "; quality not measured (no person or judge scored its answers)"
    interval = f"{side.quality_low:.1%} to {side.quality_high:.1%}"
    return told + f"; quality {side.quality:.1%} [{interval}] of {side.judged:,} scored answers"


def known(holdout: Holdout | None, audits: int) -> bool:
    """Whether anything is known of quality."""
    return audits > 0 or (holdout is not None and holdout.rest.quality is not None)
