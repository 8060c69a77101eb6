"""The report as one self-contained HTML page: no script, no font, no image from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from hapenny.console.html.charts import course, distribution, money, seconds, share_bar, shown, waterfall
from hapenny.console.html.quality import NOTHING, budget_lines, holdout_lines
from hapenny.console.html.words import words
from hapenny.telemetry.summary import Group, Summary

STYLE = """
:root{color-scheme:light dark;--paper:#faf8f5;--card:#fff;--ink:#1f1d1a;--soft:#6d675f;--line:#e7e1d8;--grid:#efeae2;
--total:#8d95a3;--saved:#2f8460;--saved-soft:#2f846024;--cost:#b8453a;--actual:#b2652b;--actual-soft:#b2652b38;
--error:#a69b8b;--hist:#5577a8;--good:#2f8460;--bad:#b8453a;--s3:#7c63a8;--s4:#4b9aa3;--s5:#c2a23c}
@media(prefers-color-scheme:dark){:root{--paper:#151412;--card:#1d1c19;--ink:#ece8e1;--soft:#9e978c;--line:#34312c;
--grid:#2a2824;--total:#8892a3;--saved:#58b98d;--saved-soft:#58b98d26;--cost:#e07a6d;--actual:#dd9459;
--actual-soft:#dd945940;--error:#7d766b;--hist:#7fa3d6;--good:#58b98d;--bad:#e07a6d;--s3:#a48fd0;--s4:#6fbcc5;
--s5:#d8bd62}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",sans-serif;-webkit-font-smoothing:antialiased}
main{max-width:1080px;margin:0 auto;padding:44px 28px 72px}
header{display:flex;justify-content:space-between;align-items:baseline;flex-wrap:wrap;gap:4px 24px}
h1{font-size:21px;font-weight:650;margin:0;letter-spacing:-.01em}
h1 svg{display:inline-block;width:22px;height:22px;vertical-align:-4px;margin-right:9px}
header p{margin:0;color:var(--soft);font-variant-numeric:tabular-nums}
.hero{display:grid;grid-template-columns:1.7fr 1fr 1fr 1fr;gap:1px;background:var(--line);border:1px solid var(--line);
border-radius:14px;overflow:hidden;margin:26px 0 12px}
.hero div{background:var(--card);padding:20px 22px}
.hero span{display:block;color:var(--soft);font-size:13px}
.hero b{display:block;font-size:27px;line-height:1.25;font-weight:640;letter-spacing:-.02em;
font-variant-numeric:tabular-nums;margin:3px 0 1px;white-space:nowrap}
.hero .first b{font-size:44px;line-height:1.12;color:var(--good)}
.hero .first.loss b{color:var(--bad)}
.hero em{font-style:normal;font-size:13px;color:var(--soft)}
.proof{margin:0 2px 34px;color:var(--soft);font-size:13.5px}
.proof b{color:var(--good);font-weight:600}.proof.broken b{color:var(--bad)}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:22px 24px;margin:18px 0}
h2{font-size:15.5px;font-weight:640;margin:0 0 2px}
h2+p{margin:0 0 14px;color:var(--soft);font-size:13.5px;max-width:76ch}
.two{display:grid;grid-template-columns:1fr 1fr;gap:18px}.two section{margin:0}
.wide{overflow-x:auto}
section svg{display:block;width:100%;height:auto}
svg text{font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--ink);
font-variant-numeric:tabular-nums}
svg .tick{fill:var(--soft);font-size:11.5px}svg .value{font-weight:560}
svg .mark-name,svg .limit-name{font-size:12px;font-weight:600;paint-order:stroke;stroke:var(--card);
stroke-width:4px;stroke-linejoin:round}svg .limit-name{fill:var(--bad)}
.bar.total{fill:var(--total)}.bar.saved{fill:var(--saved)}.bar.cost{fill:var(--cost)}.bar.actual{fill:var(--actual)}
.bar.error{fill:var(--error)}.bar.hist{fill:var(--hist);opacity:.82}
.grid{stroke:var(--grid)}.axis{stroke:var(--line)}.join{stroke:var(--soft);stroke-dasharray:2 3;opacity:.7}
.limit{stroke:var(--bad);stroke-dasharray:4 4;opacity:.75}.mark{stroke:var(--ink);stroke-width:1.2}
.area.saved{fill:var(--saved-soft)}.area.actual{fill:var(--actual-soft)}
.edge{fill:none;stroke-width:1.7;stroke-linejoin:round}.edge.total{stroke:var(--total)}.edge.actual{stroke:var(--actual)}
.hover{fill:transparent}.hover:hover{fill:var(--ink);opacity:.06}
.key{display:flex;gap:18px;margin:0 0 8px;padding:0;list-style:none;color:var(--soft);font-size:13px}
.key i,.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:7px;vertical-align:-1px}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
th{font-weight:500;font-size:12.5px;color:var(--soft);text-align:right;padding:6px 0 6px 18px;white-space:nowrap}
td{text-align:right;padding:7px 0 7px 18px;border-top:1px solid var(--grid);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}
td:first-child{white-space:normal;overflow-wrap:anywhere}td small{display:block;color:var(--soft);font-size:12.5px}
.plus{color:var(--good);font-weight:560}.minus{color:var(--bad);font-weight:560}
.meter{display:inline-block;width:64px;height:6px;border-radius:3px;background:var(--grid);vertical-align:2px;
margin-left:10px;overflow:hidden}.meter i{display:block;height:100%;background:var(--saved)}
.shares{display:flex;gap:2px;height:20px;border-radius:6px;overflow:hidden;margin:6px 0 12px}.shares i{min-width:2px}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;margin:0;padding:0;list-style:none;color:var(--soft);font-size:13px}
.legend b{color:var(--ink);font-weight:560}
.s0{background:var(--hist)}.s1{background:var(--actual)}.s2{background:var(--saved)}.s3{background:var(--s3)}
.s4{background:var(--s4)}.s5{background:var(--s5)}
h3{font-size:13px;font-weight:560;color:var(--soft);margin:18px 0 0}h3:first-of-type{margin-top:8px}
.none{color:var(--soft)}dl{display:grid;grid-template-columns:auto 1fr;gap:5px 18px;margin:8px 0 0}
dt{font-variant-numeric:tabular-nums;text-align:right;font-weight:560}dd{margin:0;color:var(--soft)}
footer{color:var(--soft);font-size:13px;margin:28px 2px 0}
@media(max-width:820px){main{padding:26px 16px 48px}.hero{grid-template-columns:repeat(3,1fr)}
.hero .first{grid-column:1/-1}
.hero div{padding:15px 14px}.hero b{font-size:20px}
.two{grid-template-columns:1fr}section{padding:18px 16px}.wide svg{min-width:680px}}
@media print{body{background:#fff}section{break-inside:avoid}}
"""

COIN = (
    '<svg viewBox="0 0 22 22" aria-hidden="true"><circle cx="11" cy="11" r="10" fill="var(--actual)"/>'
    '<circle cx="11" cy="11" r="7.6" fill="none" stroke="var(--card)" stroke-width="1"/>'
    '<path d="M4.6 14.5c2-5.6 10.8-5.6 12.8 0" fill="none" stroke="var(--card)" stroke-width="1.6"/>'
    '<path d="M4 14.6h14" stroke="var(--card)" stroke-width="1.4"/></svg>'
)


def page(summary: Summary, title: str = "hapenny report") -> str:
    """The whole page."""
    good = summary.saved >= 0
    proof = _proof(summary)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>{COIN}{escape(title)}</h1><p>{escape(period(summary))}</p></header>"
        f'<div class="hero"><div class="first{"" if good else " loss"}"><span>saved</span>'
        f"<b>{summary.saved_share:.1%}</b>"
        f"<em>{money(summary.actual)} paid instead of {money(summary.baseline)}</em></div>"
        f"{_tile('requests', f'{summary.exchange_rows:,}', _failures(summary))}"
        f"{_tile('first content, p95', _time(summary.ttft.p95), f'p50 {_time(summary.ttft.p50)}')}"
        f"{_tile('whole answer, p95', _time(summary.e2e.p95), f'p50 {_time(summary.e2e.p50)}')}</div>"
        f"{proof}{_advice(summary)}"
        "<section><h2>Where the money stayed</h2><p>The same delivered answers, priced after each technique with one "
        "and the same function. What a technique paid for calls of its own is already taken off.</p>"
        f'<div class="wide">{_waterfall(summary)}</div></section>'
        "<section><h2>Cost over time</h2><p></p>"
        '<ul class="key"><li><i style="background:var(--total)"></i>without hapenny</li>'
        '<li><i style="background:var(--actual)"></i>really paid</li>'
        '<li><i style="background:var(--saved-soft);outline:1px solid var(--saved)"></i>saved</li></ul>'
        f'<div class="wide">{course(summary.course, _ticks(summary))}</div></section>'
        '<div class="two"><section><h2>Time to first content</h2><p>From arrival to the first content that left.</p>'
        f"{distribution(summary.ttft, [(1.5, '1.5 s')], 'Time to first content')}</section>"
        "<section><h2>Time to the last token</h2><p>From arrival to the end of the answer.</p>"
        f"{distribution(summary.e2e, [(3.0, '3 s')], 'Time to the last token')}</section></div>"
        f"{_quality(summary)}{_techniques(summary)}{_judging(summary)}"
        f"{_groups('By tenant', 'Whose key asked.', summary.tenants) if len(summary.tenants) > 1 else ''}"
        f"{_groups('By feature', 'The label callers send in x-hapenny-feature.', summary.features)}"
        f"{_groups('By model', 'Who answered. Hits stand for themselves.', summary.models)}"
        f"{_groups('By route', '', summary.routes) if len(summary.routes) > 1 else ''}"
        f"{_tokens(summary)}{_small_print(summary)}"
        "<footer>Made by <b>hapenny report</b> from the ledger, which holds no text of any request.</footer>"
        "</main></body></html>"
    )


def period(summary: Summary) -> str:
    """When the rows are from, in UTC."""
    if summary.first is None or summary.last is None:
        return "no rows yet"
    first, last = (datetime.fromtimestamp(at, UTC) for at in (summary.first, summary.last))
    if first.date() == last.date():
        return f"{first:%d %B %Y, %H:%M} – {last:%H:%M} UTC"
    return f"{first:%d %B %Y, %H:%M} – {last:%d %B %Y, %H:%M} UTC"


def _proof(summary: Summary) -> str:
    if summary.identity_violations:
        return (
            f'<p class="proof broken"><b>✕ {summary.identity_violations:,} rows do not add up.</b> '
            "Baseline − savings − estimate error must equal what was paid.</p>"
        )
    return (
        '<p class="proof"><b>✓ It adds up to the nano-dollar in every row:</b> '
        "baseline − savings − estimate error = paid. "
        f"Estimates were off by {summary.estimate_error_share:.2%} of what was paid.</p>"
    )


def _advice(summary: Summary) -> str:
    """What to switch on next."""
    if not summary.advice:
        return ""
    total = summary.advised
    rows = "".join(
        f"<tr><td>{escape(step.what)}</td><td>{money(step.saves)} ± {money((step.high - step.low) // 2)}</td>"
        f"<td>{step.share:.1%}</td><td>{escape(step.evidence)}</td><td>{escape(step.missing)}</td></tr>"
        for step in summary.advice
    )
    return (
        f"<section><h2>What to switch on next</h2><p>All together would save {money(total.saves)} ± "
        f"{money((total.high - total.low) // 2)} more; they overlap.</p>"
        '<div class="wide"><table><thead><tr><th>step</th><th>would save</th><th>of what was paid</th><th>seen</th>'
        f"<th>missing</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _waterfall(summary: Summary) -> str:
    steps = [(technique.name, technique.saved) for technique in summary.techniques if technique.saved]
    return waterfall(summary.baseline, steps, summary.estimate_error, summary.actual)


def _failures(summary: Summary) -> str:
    parts = [
        f"{count:,} {name}"
        for count, name in ((summary.errors, "failed"), (summary.left, "left midway"), (summary.refused, "refused"))
        if count
    ]
    return ", ".join(parts) or "none failed"


def _tile(name: str, value: str, note: str) -> str:
    return f"<div><span>{name}</span><b>{value}</b><em>{escape(note)}</em></div>"


def _time(value: float | None) -> str:
    return "–" if value is None else seconds(value)


def _techniques(summary: Summary) -> str:
    if not summary.techniques:
        return ""
    top = max(1, *(technique.saved for technique in summary.techniques))
    rows = "".join(
        f"<tr><td>{escape(shown(technique.name))}<small>{escape(words(technique.name))}</small></td>"
        f"<td>{technique.requests:,}</td>"
        f"<td>{money(technique.cost) if technique.cost else '–'}</td><td>{_signed(technique.saved)}"
        f'<span class="meter"><i style="width:{max(0.0, technique.saved / top):.1%}"></i></span></td>'
        f"<td>{technique.saved / summary.baseline if summary.baseline else 0:.1%}</td>"
        f"<td>{'–' if technique.alone is None else _signed(technique.alone)}</td></tr>"
        for technique in summary.techniques
    )
    about = (
        "Techniques save one after another: whoever comes first is booked at the dearer price. “Alone” is by how much "
        "the bill would have been higher without this one technique, the others as they were; these do not add up."
    )
    heads = ("technique", "requests", "own cost", "saved, own cost taken off", "of the bill", "alone")
    return _table("By technique", about, heads, rows)


def _quality(summary: Summary) -> str:
    """The quality beside the saving."""
    lines = holdout_lines(summary.holdout)
    if not lines and not summary.budgets and not summary.audits:
        return f"<section><h2>At what quality</h2><p>{escape(NOTHING)}</p></section>" if summary.saved > 0 else ""
    told = "".join(f"<p>{escape(line)}</p>" for line in lines)
    for each in summary.audits:
        told += (
            f"<p>Audits of {escape(each.route)}: {each.audits:,} answers compared with the baseline's, mean loss "
            f"{each.loss:.4f}.</p>"
        )
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>"
        for row in budget_lines(summary.budgets)
    )
    heads = ("loss budget", "state", "may lose, points", "at most", "seen", "pairs", "acts on")
    about = "Of the answers that everything-off gets right, what each technique may lose, and what evidence shows."
    return _table("At what quality", f"{about}</p>{told}<p>", heads, rows)


def _judging(summary: Summary) -> str:
    if not summary.judging:
        return ""
    rows = "".join(
        f"<tr><td>{escape(shown(each.technique))}</td><td>{each.calls:,}</td><td>{money(each.cost)}</td></tr>"
        for each in summary.judging
    )
    return _table(
        "Evidence", "What was paid to know what a technique does to answers: reference answers and verdicts.",
        ("about", "calls", "cost"), rows,
    )  # fmt: skip


def _groups(title: str, about: str, groups: Sequence[Group]) -> str:
    if not groups:
        return ""
    rows = "".join(
        f"<tr><td>{escape(group.name)}</td><td>{group.requests:,}</td><td>{money(group.baseline)}</td>"
        f"<td>{_signed(group.saved)}</td><td>{money(group.actual)}</td>"
        f"<td>{money(group.background) if group.background else '–'}</td>"
        f"<td>{group.saved / group.baseline if group.baseline else 0:.1%}</td>"
        f"<td>{_time(group.ttft_p95)}</td><td>{_time(group.e2e_p95)}</td></tr>"
        for group in groups[:20]
    )
    if len(groups) > 20:
        rows += f'<tr><td colspan="9">and {len(groups) - 20} more</td></tr>'
    heads = (
        title.removeprefix("By "),
        "requests",
        "without",
        "saved",
        "paid",
        "background",
        "share",
        "first p95",
        "whole p95",
    )
    return _table(title, about, heads, rows)


def _table(title: str, about: str, heads: Sequence[str], rows: str) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        f'<section><h2>{title}</h2><p>{about}</p><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _signed(nano: int) -> str:
    return f'<span class="{"minus" if nano < 0 else "plus"}">{money(nano)}</span>'


def _tokens(summary: Summary) -> str:
    if not summary.tokens:
        return ""
    names = {"cache_read": "read from prompt caches", "cache_write": "written to prompt caches",
             "cache_write_1h": "written for an hour"}  # fmt: skip
    billed = [(names.get(name, name), count) for name, count in summary.tokens.items() if name != "reasoning"]
    total = sum(count for _, count in billed)
    return (
        f"<section><h2>Tokens</h2><p>{total:,} tokens were billed.</p><h3>billed by providers</h3>{share_bar(billed)}"
        f"<h3>prompts as they came, estimated</h3>{share_bar(list(summary.parts.items()))}</section>"
    )


def _small_print(summary: Summary) -> str:
    lines = [
        (f"{summary.background_rows:,}", "rows of background work (audits, refreshes, pre-computation), baseline 0"),
        (f"{summary.unpriced_rows:,}", "rows with an unknown price: in no sum above"),
        (f"{summary.estimated_rows:,}", "rows with a call whose usage nobody reported: booked at an upper bound"),
    ]
    if summary.overflowed_rows:
        lines.append((f"{summary.overflowed_rows:,}", "rows kept as sums only, because the disk did not keep up"))
    if summary.capacity:
        lines.append((money(summary.capacity), "paid by the hour for provisioned or own capacity, included above"))
    for name, nano in summary.would_save.items():
        lines.append((money(nano), f"would have been saved by {name}, which only watched (shadow): in no sum above"))
    items = "".join(f"<dt>{escape(value)}</dt><dd>{escape(text)}</dd>" for value, text in lines)
    return f"<section><h2>Small print</h2><dl>{items}</dl></section>"


def _ticks(summary: Summary) -> list[tuple[float, str]]:
    if summary.first is None or summary.last is None:
        return []
    span = max(summary.last - summary.first, 1e-3)
    form = "%H:%M:%S" if span < 600 else "%H:%M" if span < 2 * 86_400 else "%d %b"
    ticks = [summary.first + span * part / 6 for part in range(7)]
    return [(at, datetime.fromtimestamp(at, UTC).strftime(form)) for at in ticks]
