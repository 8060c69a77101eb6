"""The whole study, without a limit of time: what `hapenny proof` runs.

Both cards over draws of the hidden world; the steps in the seed's order and backwards, and all but one; the frontier
and the policy in hindsight; mixes changed by half and further until the claim breaks; the latency budget by the wall
clock; the quotas that a peak needs. Money and quality stand in one row, and what is not reached is said.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.workload.mix import Mix, load
from mangaassist_proof.draws import (
    CHANGES,
    LIMITS,
    QUICK,
    STEPS,
    Size,
    burst,
    draw,
    in_real_time,
    sensitivity,
    steps,
    tiers,
    world_of,
)
from mangaassist_proof.frontier import by_tier, frontier
from mangaassist_proof.page import page
from mangaassist_proof.report import (
    SEED_PIE,
    SEED_TABLE,
    SEED_USD,
    figures,
    latency,
    not_reached,
    rush,
    short,
    stepped,
)

CARDS = ("manga-2024", "current-2026")
WANTED = 0.785


def prove(
    *, mix: str | None, draws: int, messages: int, workers: int, quick: bool, html: Path | None, json: bool
) -> str:
    """What `hapenny proof` prints; `html`: where a page with plots goes. Raises `MixError`."""
    size, small = Size(messages=messages), Size(messages=1_000, tested=1_500, lived=500)
    names: Sequence[str] = (*CHANGES, *LIMITS)
    if quick:
        draws, names = min(draws, 2), ("harder", "easier", "no_repeats")
        size, small = QUICK, Size(messages=150, tested=1_500, lived=50)
    report = study(load(mix), draws, size, small, workers, names)
    if html is not None:
        html.write_text(page(report), encoding="utf-8")
    return msgspec.json.encode(report).decode() if json else text(report)


def study(mix: Mix, draws: int, size: Size, small: Size, workers: int, names: Sequence[str]) -> dict[str, Any]:
    """All figures; `names`: of the changed mixes."""
    a_day = mix.traffic.messages_per_day
    backwards = tuple(reversed(STEPS))

    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:

        def go(job: Callable[..., Any], *arguments: Any) -> Future[Any]:
            return pool.submit(job, *arguments)

        runs: dict[str, dict[str, Any]] = {
            card: {
                "orders": go(steps, card, mix, 1, size, (tuple(STEPS), backwards)),
                "draws": [go(draw, card, world_of(number), mix, number, size) for number in range(1, draws + 1)],
                "tiers": [go(tiers, card, mix, number, size) for number in range(1, min(draws, 5) + 1)],
                "burst": go(burst, card, mix, 1),
            }
            for card in CARDS
        }  # fmt: skip
        changed = {name: go(sensitivity, CARDS[0], mix, 1, small, name) for name in names}
        report: dict[str, Any] = {"mix": {"name": mix.name, "digest": mix.digest(), "assumed": round(mix.assumed(), 3)}}
        cards: dict[str, Any] = {}
        for card, each in runs.items():
            found = figures([one.result() for one in each["draws"]], a_day)
            forth, back = each["orders"].result()
            found |= stepped(forth, a_day)
            found["backwards"] = stepped(back, a_day, backwards)["by_step"]
            by = [one.result() for one in each["tiers"]]
            found["frontier"], found["by_tier"] = frontier(by), by_tier(by)
            best = max((row["saved"] for row in found["frontier"] if row["loss"] <= 0.01), default=0.0)
            found["hindsight"] = {"loss": 0.01, "saved": best}
            found["captured"] = round(found["saved_share"] / best, 4) if best else 0.0
            found["burst"] = rush(each["burst"].result())
            found["card"] = {"name": card, "digest": LINEUPS[card].digest()}
            found["quotas"] = quotas(card, mix, [one.result() for one in each["draws"]])
            found["not_reached"] = not_reached(found)
            cards[card] = found
        report["sensitivity"] = {name: short(figures([each.result()], a_day)) for name, each in changed.items()}
    report["cards"] = cards
    report["claim_breaks"] = [
        f"{name}: saved {row['saved_share']:.1%}, quality {row['quality_diff']:+.4f} {row['quality_diff_ci95']}"
        for name, row in report["sensitivity"].items()
        if row["saved_share"] < WANTED or not row["noninferior_1pt"]
    ]
    report["latency_budget"] = latency(in_real_time(CARDS[0], mix, 1))
    report["seed"] = {"table": SEED_TABLE, "usd_month": SEED_USD, "pie": SEED_PIE}
    report["disagreement"] = disagreement()
    return report


def quotas(card: str, mix: Mix, draws: Sequence[Any]) -> dict[str, Any]:
    """Calls a minute that the busiest hour and a release in it need, off and on, beside the card's own quotas."""
    traffic = mix.traffic
    mean = traffic.messages_per_day / 1440
    peak = max(traffic.day_profile) / (sum(traffic.day_profile) / 24)
    rush_ = max((release.factor for release in traffic.releases), default=1.0)
    messages = sum(len(each.off.records) for each in draws)
    rows: dict[str, Any] = {}
    for name in ("off", "on"):
        calls: dict[str, int] = {}
        for each in draws:
            for record in getattr(each, name).records:
                for model in record.models:
                    if model:
                        calls[model] = calls.get(model, 0) + 1
        rows[name] = {
            model: {
                "peak_rpm": round(count / messages * mean * peak),
                "release_rpm": round(count / messages * mean * peak * rush_),
            }
            for model, count in sorted(calls.items())
        }
    rows["card_rpm"] = {model.id: model.rpm for model in LINEUPS[card].models}
    return rows


def disagreement() -> str:
    """The seed's table against its pie, in words."""
    left, shares = 1.0, []
    for share in SEED_TABLE.values():
        shares.append(left * share)
        left -= left * share
    table = ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in zip(SEED_TABLE, shares, strict=True))
    pie = ", ".join(f"{name} {share:.0%}" for name, share in SEED_PIE.items())
    return (
        f"The seed's table is sequential: of the whole bill its steps take {table}, {left:.1%} are left. Its pie says "
        f"{pie}. Both cannot be measured at once: what a step is worth depends on what stands before it. The target is "
        "the table; both orders and each technique left out are given."
    )


def text(report: Mapping[str, Any]) -> str:
    """The study for a terminal."""
    lines = [f"MangaAssist on the mix {report['mix']['name']} ({report['mix']['digest']})", ""]
    for card, found in report["cards"].items():
        quality = found["quality"]
        verdict = "shown" if quality["noninferior_1pt"] else "NOT shown"
        lines += [
            f"{card}: {found['baseline_usd_month']:,.0f} $ a month -> {found['actual_usd_month']:,.0f} $, "
            f"{found['saved_share']:.1%} saved over {found['draws']} draws",
            f"  right answers {quality['actual']:.2%}, everything off {quality['baseline']:.2%}: "
            f"{quality['diff'] * 100:+.2f} points [{quality['diff_ci95'][0] * 100:+.2f}, "
            f"{quality['diff_ci95'][1] * 100:+.2f}]; at most one point lost: {verdict}",
            f"  whole answer p95 {found['p95_ms']:.0f} ms, within 3 s {found['under_3s_share']:.2%} (latency budget); "
            f"first sentence p95 {found['at_card_rates']['ttft_p95_ms']:.0f} ms, whole "
            f"{found['at_card_rates']['p95_ms']:.0f} ms (card)",
            f"  best policy in hindsight at 1 % loss {found['hindsight']['saved']:.1%}, "
            f"captured {found['captured']:.1%}",
        ]
        for title, rows in (("in the seed's order", found["by_step"]), ("backwards", found["backwards"])):
            lines.append(f"  {title}:")
            lines += [
                f"    {name:18}{row['before']:>12,.0f} $ -> {row['after']:>10,.0f} $ {row['share']:>7.1%}"
                f"   seed {row['seed_share']:.0%}   quality {row['quality_diff'] * 100:+.1f}"
                for name, row in rows.items()
            ]
        lines.append("  without one:")
        lines += [
            f"    {name:18}{row['saved_without']:.1%} saved, {row['lost'] * 100:.1f} points less"
            for name, row in found["leave_one_out"].items()
        ]
        lines += [f"  not reached: {line}" for line in found["not_reached"]] + [""]
    lines.append("changed mixes (manga-2024):")
    lines += [
        f"  {name:14} saved {row['saved_share']:.1%}, quality {row['quality_diff'] * 100:+.2f} points"
        for name, row in report["sensitivity"].items()
    ]
    lines += [f"  the claim breaks at {line}" for line in report["claim_breaks"]]
    lines += ["", "latency budget (p95 ms, real time):"]
    lines += [
        f"  {name:20}{row['p95_ms']:>8.1f} of {row['limit_ms']:g}"
        for name, row in report["latency_budget"]["steps"].items()
    ]
    budget = report["latency_budget"]
    lines += [f"  {'whole answer':20}{budget['whole_p95_ms']:>8.1f} of {budget['limit_ms']:g}", ""]
    return "\n".join([*lines, report["disagreement"]])
