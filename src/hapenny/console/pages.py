"""The pages as self-contained HTML: no script, no font, no image from anywhere. Every text of anybody's is escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from hapenny.console.queue import Item
from hapenny.evidence.answers import Agreement
from hapenny.pages.charts import money
from hapenny.pages.quality import budget_lines, holdout_lines
from hapenny.pages.report import COIN, STYLE
from hapenny.telemetry.summary import Summary

_MORE = """
nav a{color:var(--soft);margin-left:18px;text-decoration:none}nav a[aria-current]{color:var(--ink);font-weight:600}
.turn{white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 10px;max-height:34vh;overflow:auto}
.turn b{display:block;color:var(--soft);font-weight:500;font-size:12.5px}
.answers{display:grid;grid-template-columns:1fr 1fr;gap:18px}.answers.one{grid-template-columns:1fr}
.answers section{margin:0}.answers .turn{max-height:46vh}
form.say{display:flex;flex-wrap:wrap;gap:10px;align-items:center;margin:22px 0}
button,input{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:9px;
padding:10px 20px}button{cursor:pointer;font-weight:560}button:hover,button:focus-visible{border-color:var(--saved)}
button.quiet{color:var(--soft);font-weight:400;margin-left:auto}kbd{color:var(--soft);font:inherit;font-size:12px}
.done{height:6px;border-radius:3px;background:var(--grid);overflow:hidden;margin:18px 0 6px}
.done i{display:block;height:100%;background:var(--saved)}.problem{color:var(--bad)}
@media(max-width:820px){.answers{grid-template-columns:1fr}}
"""


def login(problem: str = "") -> str:
    """The page that asks for a key."""
    told = f'<p class="problem">{escape(problem)}</p>' if problem else ""
    return frame(
        "hapenny console",
        f'<section>{told}<form class="say" method="post" action="/login"><input name="key" type="password" '
        'placeholder="key of scope admin" autocomplete="off" autofocus><button>enter</button></form></section>',
        "/login",
    )


def refused() -> str:
    """The page for whoever came under a foreign name."""
    return frame(
        "hapenny console",
        "<section><p>The console answers under names of this machine alone. Others: server.hosts.</p></section>",
        "",
    )


def frame(title: str, body: str, here: str) -> str:
    """A page around `body`."""
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if path == here else ""}>{name}</a>'
        for path, name in (("/", "overview"), ("/labels", "labels"))
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{_MORE}</style></head><body><main>"
        f"<header><h1>{COIN}{escape(title)}</h1><nav>{links}</nav></header>{body}</main></body></html>"
    )


def overview(summary: Summary | None, agreed: Agreement | None, labelled: int) -> str:
    """Certificates, audits and how the judge fares against people."""
    if summary is None:
        return frame("hapenny console", "<section><p>The ledger is empty: serve first.</p></section>", "/")
    promises = "".join(
        f"<tr><td>{escape(one.route)}{'' if one.intent == 'unknown' else escape('/' + one.intent)}</td>"
        f"<td>{escape(one.certificate)}</td><td>{one.requests:,}</td><td>{_day(one.last)}</td></tr>"
        for one in summary.certificates
    )
    audits = "".join(
        f"<tr><td>{escape(one.route)}</td><td>{one.audits:,}</td><td>{one.loss:.4f}</td><td>{money(one.cost)}</td></tr>"
        for one in summary.audits
    )
    said = "Nobody has labelled a pair that the judge judged as well."
    if agreed is not None:
        said = (
            f"On {agreed.pairs:,} pairs that people labelled, the judge of audits agrees with them on "
            f"<b>{agreed.agreed:.0%}</b> (95 % interval {agreed.low:.0%} to {agreed.high:.0%}) and is "
            f"{abs(agreed.bias):.3f} {'stricter' if agreed.bias > 0 else 'milder'} than they are."
        )
    return frame(
        "hapenny console",
        "<section><h2>Certificates</h2><p>Promises under which the cheap model answered.</p>"
        + _table(("route", "promise", "requests", "last"), promises, "No answer was served under a certificate.")
        + "</section><section><h2>Audits</h2><p>Answers compared with the baseline's, off the path.</p>"
        + _table(("route", "audits", "mean loss", "cost"), audits, "Nothing was audited.")
        + "</section><section><h2>Loss budget</h2><p>What techniques may lose, and what evidence shows.</p>"
        + _table(
            ("technique", "state", "may lose, points", "at most", "seen", "pairs", "acts on"),
            "".join(
                "<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>"
                for row in budget_lines(summary.budgets)
            ),
            "No technique that can change an answer is on.",
        )
        + "</section><section><h2>Holdout</h2>"
        + (
            "".join(f"<p>{escape(line)}</p>" for line in holdout_lines(summary.holdout))
            or "<p>Nothing was held out.</p>"
        )
        + f"</section><section><h2>Judge and people</h2><p>{said}</p><p>{labelled:,} answers have a person's label."
        " <code>hapenny labels judge</code> calibrates the judge on them.</p></section>",
        "/",
    )


def labelling(item: Item | None, who: str, token: str, done: int, total: int, problem: str = "") -> str:
    """One thing to judge, or who is there to judge."""
    said = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    if not who:
        return frame(
            "hapenny labels",
            f"{said}<section><h2>Who is labelling?</h2><p>Labels of two people on one answer are kept apart and "
            'averaged.</p><form class="say" method="get" action="/labels">'
            '<input name="who" aria-label="your name" placeholder="your name" required maxlength="40" autofocus>'
            "<button>begin</button></form></section>",
            "/labels",
        )
    share = 100 * done / total if total else 100
    head = (
        f'{said}<div class="done"><i style="width:{share:.1f}%"></i></div>'
        f'<p class="proof">{done:,} of {total:,} labelled by {escape(who)}</p>'
    )
    if item is None:
        return frame("hapenny labels", f"{head}<section><p>Everything is labelled. Thank you.</p></section>", "/labels")
    turns = "".join(f'<div class="turn"><b>{escape(role)}</b>{escape(text)}</div>' for role, text in item.turns)
    pair = len(item.answers) == 2
    names = ("answer A", "answer B") if pair else ("answer",)
    answers = "".join(
        f'<section><h2>{name}</h2><div class="turn">{escape(text)}</div></section>'
        for name, text in zip(names, item.answers, strict=True)
    )
    choices = (
        (("a", "A is better", "a"), ("tie", "as good as each other", "t"), ("b", "B is better", "b"))
        if pair
        else (("right", "right", "r"), ("partly", "partly right", "p"), ("wrong", "wrong", "w"))
    )
    buttons = "".join(
        f'<button name="said" value="{value}" accesskey="{key}">{label} <kbd>{key}</kbd></button>'
        for value, label, key in choices
    )
    asks = (
        "Which answer is right, complete and to the question? Length and style do not count."
        if pair
        else "Is the answer right, complete and to the question?"
    )
    return frame(
        "hapenny labels",
        f"{head}<section><h2>The conversation</h2><p>route {escape(item.route)}</p>{turns}</section>"
        f'<div class="answers{"" if pair else " one"}">{answers}</div><form class="say" method="post" action="/labels">'
        f'<input type="hidden" name="id" value="{escape(item.id)}"><input type="hidden" name="token" value="{token}">'
        f'<input type="hidden" name="who" value="{escape(who)}">{buttons}'
        f'<button class="quiet" name="said" value="skip" accesskey="s">skip <kbd>s</kbd></button></form><p>{asks}</p>',
        "/labels",
    )


def _table(names: tuple[str, ...], rows: str, none: str) -> str:
    if not rows:
        return f'<p class="none">{none}</p>'
    heads = "".join(f"<th>{name}</th>" for name in names)
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%d %B %Y, %H:%M}"
