"""Figures of the draws: money and quality in one row, times in both worlds, the seed's table beside ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hapenny.responsive.budget import RESERVE_MS
from hapenny.responsive.budget import STEPS as BUDGET
from hapenny.studies.paired import compare
from hapenny.studies.player import Record
from mangaassist_proof.drawings import slices
from mangaassist_proof.draws import STEPS, Draw, learnt
from mangaassist_proof.play import Played

MARGIN = 0.01
LIMIT_S = 3.0
_MONTH = 30
SEED_TABLE = {"token_efficiency": 0.40, "tiering": 0.40, "batching": 0.15, "caching": 0.30}
SEED_USD = {"off": 315_000, "token_efficiency": 189_000, "tiering": 113_400, "batching": 96_390, "caching": 67_473}
SEED_PIE = {
    "caching": 0.20,
    "templates": 0.15,
    "tiering": 0.18,
    "compression": 0.12,
    "batching": 0.08,
    "remaining": 0.27,
}
_BUSY = ("rate_limited", "overloaded", "timeout", "unavailable", "budget")


def figures(draws: Sequence[Draw], a_day: int) -> dict[str, Any]:
    """One card's figures over all draws."""
    off, on = sum(each.off.bill for each in draws), sum(each.on.bill for each in draws)
    messages = sum(len(each.off.records) for each in draws)
    quality = compare(pair for each in draws for pair in pairs(each.on.records, each.off.records))
    gantt = [each for each in draws if each.world == "gantt"] or draws
    card = [each for each in draws if each.world == "card"] or draws
    differences = [difference(each) for each in draws]
    techniques = by_technique(draws, off)
    return {
        "baseline_usd_month": month(off, messages, a_day),
        "actual_usd_month": month(on, messages, a_day),
        "saved_share": round(1 - on / off, 4),
        "saved_by_draw": [round(1 - each.on.bill / each.off.bill, 4) for each in draws],
        "quality": {
            "baseline": round(quality.baseline, 5),
            "actual": round(quality.ours, 5),
            "diff": round(quality.difference, 5),
            "diff_ci95": [round(quality.low, 5), round(quality.high, 5)],
            "noninferior_1pt": quality.noninferior(MARGIN),
            "worst_draw_diff": round(min(differences), 5),
            "diff_by_draw": [round(each, 5) for each in differences],
            "distinct": quality.distinct,
            "messages": quality.messages,
            "by_intent": by_intent(draws),
            "not_measured": "tone, style and length of answers; questions in words that the workload does not have",
        },
        **times([record for each in gantt for record in each.on.records]),
        "world": "gantt: provider at 330 ms to the first token and 650 ms of streaming, both at p95",
        "baseline_times": times([record for each in gantt for record in each.off.records]),
        "at_card_rates": {
            **times([record for each in card for record in each.on.records]),
            "baseline_times": times([record for each in card for record in each.off.records]),
            "no_slower": no_slower(card),
        },
        "degraded_share": round(sum(each.on.degraded for each in draws) / messages, 5),
        "errors": sum(bool(record.failure) for each in draws for record in each.on.records),
        "lost_messages": sum(_lost(each.on) for each in draws),
        "identity_violations": sum(each.on.identity_violations + each.off.identity_violations for each in draws),
        "templates": templates(draws),
        "by_technique": techniques,
        "pie": slices(techniques, 1 - on / off),
        "background_share": round(
            1 - sum(record.actual or 0 for each in draws for record in each.on.records) / max(1, on), 4
        ),
        "learning": learnt(draws),
        "adopted": sorted({f"{model} -> {by}" for each in draws for model, by in each.beaten.items()}),
        "draws": len(draws),
    }


def pairs(ours: Sequence[Record], baseline: Sequence[Record]) -> list[tuple[str, bool, bool]]:
    """(question, right with ours, right with the baseline)."""
    return [(one.question, one.right, other.right) for one, other in zip(ours, baseline, strict=True)]


def month(nano: int, messages: int, a_day: int) -> float:
    """Dollars of 30 days at the mix's own volume."""
    return round(nano / messages * a_day * _MONTH / 1e9, 2)


def difference(draw: Draw) -> float:
    """Share of right answers, on minus off."""
    ours = sum(record.right for record in draw.on.records)
    return (ours - sum(record.right for record in draw.off.records)) / len(draw.off.records)


def _lost(played: Played) -> int:
    """Messages without an answer and without a failure that says why."""
    return sum(record.requests == 0 and not record.failure for record in played.records)


def times(records: Sequence[Record]) -> dict[str, Any]:
    """What customers wait. A rejected request counts as late and wrong."""
    whole = [record.whole_s for record in records]
    answered = [each for each in whole if each is not None]
    first = [record.first_s for record in records if record.first_s is not None]
    return {
        "p50_ms": quantile(answered, 0.5),
        "p95_ms": quantile(answered, 0.95),
        "p999_ms": quantile(answered, 0.999),
        "ttft_p95_ms": quantile(first, 0.95),
        "under_3s_share": round(sum(each is not None and each <= LIMIT_S for each in whole) / len(whole), 5),
        "useful_under_3s_share": round(
            sum(r.right and r.whole_s is not None and r.whole_s <= LIMIT_S for r in records) / len(records), 5
        ),
        "rejected_share": round(sum(record.failure in _BUSY for record in records) / len(records), 5),
    }


def no_slower(draws: Sequence[Draw]) -> dict[str, Any]:
    """What the saving would be if no answer ended later than with everything off: one that did is counted as asked
    of the strong model, at that model's time and price (what the choice of tier saved on it, by the books, is lost).
    The price of speed, in hindsight."""
    whole: list[float] = []
    paid = off = moved = count = 0
    for each in draws:
        paid += each.on.bill - sum(record.actual or 0 for record in each.on.records)
        off += each.off.bill
        for one, other in zip(each.on.records, each.off.records, strict=True):
            count += 1
            tiers = one.savings.get("tiers", 0)
            later = one.whole_s is not None and other.whole_s is not None and one.whole_s > other.whole_s and tiers > 0
            moved += later
            paid += (one.actual or 0) + (tiers if later else 0)
            time = other.whole_s if later else one.whole_s
            if time is not None:
                whole.append(time)
    return {
        "saved_share": round(1 - paid / off, 4),
        "p95_ms": quantile(whole, 0.95),
        "messages_moved_share": round(moved / count, 4),
    }


def quantile(values: Iterable[float], share: float) -> float:
    """Milliseconds."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 1) if ordered else 0.0


def templates(draws: Sequence[Draw]) -> dict[str, Any]:
    """Answers by template: how many, how many of them wrong, and their part of the money beside the pie's."""
    count = wrong = saved = messages = off = 0
    for each in draws:
        off += each.off.bill
        for record, templated, before in zip(each.on.records, each.on.templated, each.off.records, strict=True):
            messages += 1
            if templated:
                count += 1
                wrong += not record.right
                saved += (before.actual or 0) - (record.actual or 0)
    return {
        "share_of_messages": round(count / messages, 4),
        "share_of_bill": round(saved / off, 4),
        "seed_pie": SEED_PIE["templates"],
        "wrong": wrong,
    }


def latency(played: Played) -> dict[str, Any]:
    """The latency budget beside what was measured by the wall clock, milliseconds at the 95th percentile. A share of
    the requests need no model: the provider's steps are of those that did."""
    rows = {}
    for step in BUDGET:
        seconds = played.steps.get(step.name, [])
        rows[step.name] = {
            "limit_ms": step.limit_ms, "p95_ms": quantile(seconds, 0.95), "requests": len(seconds),
        }  # fmt: skip
    whole = [record.whole_s for record in played.records if record.whole_s is not None]
    return {
        "steps": rows,
        "whole_p95_ms": quantile(whole, 0.95),
        "limit_ms": sum(step.limit_ms for step in BUDGET) + RESERVE_MS,
        "how": "real time, one process; TLS, network and the page are not part of it",
    }


def by_intent(draws: Sequence[Draw]) -> dict[str, dict[str, float]]:
    """Where money and right answers go."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0])
    for each in draws:
        for one, other in zip(each.on.records, each.off.records, strict=True):
            entry = sums[one.intent]
            entry[0] += 1
            entry[1] += one.right - other.right
            entry[2] += one.actual or 0
            entry[3] += other.actual or 0
    return {
        name: {"messages": int(n), "diff": round(gap / n, 5), "saved": round(1 - paid / full, 4) if full else 0.0}
        for name, (n, gap, paid, full) in sorted(sums.items(), key=lambda item: -item[1][0])
    }


def by_technique(draws: Sequence[Draw], off: int) -> dict[str, float]:
    """What each technique saved by the gateway's own books, as a share of the bill with everything off. Sized passages
    never reach the gateway: they are the difference."""
    sums: dict[str, int] = defaultdict(int)
    for each in draws:
        for record in each.on.records:
            for name, nano in record.savings.items():
                sums[name] += nano
    return {name: round(nano / off, 4) for name, nano in sorted(sums.items(), key=lambda item: -item[1])}


def stepped(played: Mapping[str, Played], a_day: int, order: Sequence[str] = tuple(STEPS)) -> dict[str, Any]:
    """The steps in an order beside the seed's table, and what is lost without each."""
    messages = len(played["off"].records)
    right = {name: sum(record.right for record in each.records) / messages for name, each in played.items()}
    rows: dict[str, Any] = {}
    before = "off"
    for name in order:
        rows[name] = {
            "before": month(played[before].bill, messages, a_day),
            "after": month(played[name].bill, messages, a_day),
            "share": round(1 - played[name].bill / played[before].bill, 4),
            "seed_share": SEED_TABLE[name],
            "seed_after": SEED_USD[name],
            "quality_diff": round(right[name] - right["off"], 5),
        }
        rows[name]["reached"] = rows[name]["share"] >= SEED_TABLE[name]
        before = name
    whole = 1 - played["all"].bill / played["off"].bill
    without = {
        name: {
            "saved_without": round(1 - played[f"-{name}"].bill / played["off"].bill, 4),
            "lost": round(whole - (1 - played[f"-{name}"].bill / played["off"].bill), 4),
            "quality_diff": round(right[f"-{name}"] - right["off"], 5),
        }
        for name in STEPS
    }
    return {"by_step": rows, "leave_one_out": without}


def not_reached(report: Mapping[str, Any]) -> list[str]:
    """What the seed claims and this does not show, in words."""
    lines = [
        f"{name}: the seed's {row['seed_share']:.0%} of what was left, here {row['share']:.1%}"
        for name, row in report.get("by_step", {}).items()
        if not row["reached"]
    ]
    if report["saved_share"] < 0.785:
        lines.append(f"saved_share: {report['saved_share']:.3f}, the seed's table .786")
    if not report["quality"]["noninferior_1pt"]:
        lines.append("quality: that at most one point is lost is not shown")
    if report["p95_ms"] > 1500:
        lines.append(f"whole answer p95: {report['p95_ms']:.0f} ms at the latency budget's provider, 1,500 wanted")
    if report["at_card_rates"]["ttft_p95_ms"] > 1500:
        lines.append(f"first useful sentence p95: {report['at_card_rates']['ttft_p95_ms']:.0f} ms at the card's rates")
    card = report["at_card_rates"]
    if "baseline_times" in card and card["p95_ms"] > card["baseline_times"]["p95_ms"]:
        lines.append(
            f"whole answers at the card's rates: p95 {card['p95_ms']:.0f} ms, everything off "
            f"{card['baseline_times']['p95_ms']:.0f} ms: the adopted model writes slower. If none were slower, "
            f"{card['no_slower']['saved_share']:.1%} would be saved"
        )
    if report["under_3s_share"] < 0.999:
        lines.append(f"within 3 s: {report['under_3s_share']:.4f} of the answers, .999 wanted")
    return lines


def rush(played: Mapping[str, Played]) -> dict[str, Any]:
    """A rush, off and on."""
    return {
        name: {
            **times(each.records),
            "messages": len(each.records),
            "right": round(sum(record.right for record in each.records) / len(each.records), 4),
            "degraded_share": round(each.degraded / len(each.records), 5),
            "lost_messages": _lost(each),
            "identity_violations": each.identity_violations,
        }
        for name, each in played.items()
    }


def short(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Money and quality alone."""
    quality = whole["quality"]
    return {
        "saved_share": whole["saved_share"],
        "quality_diff": quality["diff"],
        "quality_diff_ci95": quality["diff_ci95"],
        "noninferior_1pt": quality["noninferior_1pt"],
    }
