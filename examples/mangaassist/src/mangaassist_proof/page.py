"""The study as one page: money and quality, steps beside the seed's, frontier, changed mixes, latency budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mangaassist_proof.drawings import gantt, pies
from mangaassist_proof.report import SEED_PIE, SEED_USD

_STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--soft:#5c6675;--line:#d9dee6;--page:#fff;--ours:#1a7f4b;--seed:#b9c2cf;
--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf0;--soft:#9aa5b4;--line:#39424f;--page:#14181f;--ours:#6fd6a0;
--seed:#566274;--bad:#ff8a80}}
body{margin:0 auto;max-width:980px;padding:20px;font:15px/1.5 system-ui,sans-serif;color:var(--ink);
background:var(--page)}
h1{font-size:22px}h2{font-size:17px;margin:28px 0 8px}p{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:4px 8px;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}
.wide{overflow-x:auto}svg{width:100%;height:auto}.wide svg{min-width:620px}
svg text{fill:var(--ink);font-size:12px}svg .soft{fill:var(--soft)}
.ours{fill:var(--ours)}.seed{fill:var(--seed)}.bad{fill:var(--bad)}.line{stroke:var(--line)}
b{color:var(--ours)}b.not{color:var(--bad)}
"""


def page(report: Mapping[str, Any]) -> str:
    """The page, self-contained."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
        f"<title>The proof: MangaAssist</title><style>{_STYLE}</style>",
        "<h1>The proof: MangaAssist</h1>",
        f"<p>Mix {escape(str(report['mix']['name']))} ({report['mix']['digest']}); models and who is right are "
        f"simulated from published outcomes; {report['mix']['assumed']:.0%} of the mix's figures are assumed.</p>",
    ]
    budget = report["latency_budget"]
    for card, found in report["cards"].items():
        parts += _card(card, found)
    parts += ["<h2>Changed mixes</h2>", _changes(report["sensitivity"])]
    breaks = report["claim_breaks"]
    parts.append(
        "<p>The claim breaks at: " + escape("; ".join(breaks)) + "</p>" if breaks else "<p>It breaks at none.</p>"
    )
    parts += [
        "<h2>Latency budget</h2>",
        gantt(budget),
        f"<p>Whole answer p95 {budget['whole_p95_ms']:.0f} ms of {budget['limit_ms']:g}. {escape(budget['how'])}.</p>",
    ]
    parts += [f"<p>{escape(report['disagreement'])}</p>", "</html>"]
    return "".join(parts)


def _card(card: str, found: Mapping[str, Any]) -> list[str]:
    quality = found["quality"]
    low, high = quality["diff_ci95"]
    verdict = "<b>shown</b>" if quality["noninferior_1pt"] else "<b class='not'>not shown</b>"
    rows = [
        [name, f"{row['before']:,.0f}", f"{row['after']:,.0f}", f"{row['share']:.1%}", f"{row['seed_share']:.0%}",
         f"{found['backwards'][name]['share']:.1%}", f"{found['leave_one_out'][name]['lost'] * 100:.1f}",
         f"{row['quality_diff'] * 100:+.1f}"]
        for name, row in found["by_step"].items()
    ]  # fmt: skip
    heads = ["step", "before $", "after $", "share", "seed", "backwards", "lost without, points", "quality, points"]
    return [
        f"<h2>{escape(card)}</h2>",
        f"<p><b>{found['saved_share']:.1%} saved</b>: {found['baseline_usd_month']:,.0f} $ a month become "
        f"{found['actual_usd_month']:,.0f} $. Right answers {quality['actual']:.2%}, with everything off "
        f"{quality['baseline']:.2%}: {quality['diff'] * 100:+.2f} points, 95 % interval {low * 100:+.2f} to "
        f"{high * 100:+.2f}, over {quality['distinct']} distinct questions; that at most one point is lost is "
        f"{verdict}. Best policy in hindsight at 1 % loss: {found['hindsight']['saved']:.1%}.</p>",
        _waterfall(found),
        _table(heads, rows),
        pies(found["pie"], SEED_PIE),
        "<p>" + escape("; ".join(f"not reached: {line}" for line in found["not_reached"])) + "</p>",
        "<h2>Loss against saving</h2>",
        _frontier(found),
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def _waterfall(found: Mapping[str, Any]) -> str:
    """Dollars a month after each step, ours above the seed's."""
    steps = found["by_step"]
    first = next(iter(steps.values()))["before"]
    rows = [
        ("everything off", first, float(SEED_USD["off"])),
        *((name, row["after"], row["seed_after"]) for name, row in steps.items()),
    ]
    most = max(max(ours, seed) for _, ours, seed in rows)
    parts = [f"<svg viewBox='0 0 960 {46 * len(rows) + 10}' role='img' aria-label='Dollars a month after each step'>"]
    for place, (name, ours, seed) in enumerate(rows):
        y = 46 * place + 6
        parts.append(f"<text x='0' y='{y + 18}'>{escape(name.replace('_', ' '))}</text>")
        for offset, kind, value in ((0, "ours", ours), (18, "seed", seed)):
            width = 660 * value / most
            parts.append(f"<rect class='{kind}' x='150' y='{y + offset}' width='{width:.1f}' height='15' rx='3'/>")
            parts.append(f"<text x='{158 + width:.1f}' y='{y + offset + 12}'>{value:,.0f} $</text>")
    return "".join([*parts, "</svg><p>Green: measured. Grey: the seed's table.</p>"])


def _frontier(found: Mapping[str, Any]) -> str:
    points = [(row["loss"], row["saved"]) for row in found["frontier"] if row["saved"] > 0]
    ours = (-found["quality"]["diff"], found["saved_share"])
    tiers = [(-row["quality_diff"], row["saved"], name) for name, row in found["by_tier"].items()]
    xs = [x for x, *_ in (*points, ours, *tiers)]
    low, high = min(xs) - 0.01, max(xs) + 0.01
    floor = min(0.5, *(y for _, y in points), *(y for _, y, _ in tiers), ours[1]) - 0.02

    def at(x: float, y: float) -> tuple[float, float]:
        return 60 + 860 * (x - low) / (high - low), 260 - 230 * (y - floor) / (1 - floor)

    parts = ["<svg viewBox='0 0 960 300' role='img' aria-label='Loss of right answers against saving'>"]
    for share in (0.6, 0.7, 0.8, 0.9, 1.0):
        if share >= floor:
            _, y = at(low, share)
            parts.append(f"<line class='line' x1='60' x2='920' y1='{y:.1f}' y2='{y:.1f}'/>")
            parts.append(f"<text class='soft' x='20' y='{y + 4:.1f}'>{share:.0%}</text>")
    for x_, y_ in points:
        x, y = at(x_, y_)
        parts.append(f"<circle class='seed' cx='{x:.1f}' cy='{y:.1f}' r='4'/>")
    for x_, y_, name in tiers:
        x, y = at(x_, y_)
        parts.append(
            f"<circle class='bad' cx='{x:.1f}' cy='{y:.1f}' r='5'/>"
            f"<text x='{x + 8:.1f}' y='{y + 4:.1f}'>all {name}</text>"
        )
    x, y = at(*ours)
    parts.append(
        f"<circle class='ours' cx='{x:.1f}' cy='{y:.1f}' r='7'/><text x='{x + 10:.1f}' y='{y - 8:.1f}'>ours</text>"
    )
    for loss in (-0.08, -0.06, -0.04, -0.02, 0.0, 0.02):
        if low <= loss <= high:
            x, _ = at(loss, floor)
            parts.append(f"<text class='soft' x='{x - 14:.1f}' y='288'>{loss * 100:+.0f}</text>")
    note = "Points of right answers lost against everything off (left: more are right). Grey: hindsight; red: one tier."
    return "".join([*parts, f"</svg><p>{note}</p>"])


def _changes(rows: Mapping[str, Mapping[str, Any]]) -> str:
    return _table(
        ["mix", "saved", "quality, points", "interval", "at most one point lost"],
        [
            [name, f"{row['saved_share']:.1%}", f"{row['quality_diff'] * 100:+.2f}",
             f"{row['quality_diff_ci95'][0] * 100:+.2f} to {row['quality_diff_ci95'][1] * 100:+.2f}",
             "shown" if row["noninferior_1pt"] else "not shown"]
            for name, row in rows.items()
        ],
    )  # fmt: skip
