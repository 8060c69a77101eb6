"""What people judge, as the inner part of a page. Every text of anybody's is escaped."""

from __future__ import annotations

from html import escape

from hapenny.console.queue import Item


def labelling(item: Item | None, who: str, token: str, done: int, total: int, problem: str = "") -> str:
    """One thing to judge, or who is there to judge."""
    said = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    if not who:
        return (
            f"{said}<section><h3>Who is labelling?</h3><p>Labels of two people on one answer are kept apart and "
            'averaged.</p><form class="say" method="get" action="/labels">'
            '<input name="who" aria-label="your name" placeholder="your name" required maxlength="40" autofocus>'
            "<button>begin</button></form></section>"
        )
    share = 100 * done / total if total else 100
    head = (
        f'{said}<div class="done"><i style="width:{share:.1f}%"></i></div>'
        f'<p class="proof">{done:,} of {total:,} labelled by {escape(who)}</p>'
    )
    if item is None:
        return f"{head}<section><p>Everything is labelled. Thank you.</p></section>"
    turns = "".join(f'<div class="turn"><b>{escape(role)}</b>{escape(text)}</div>' for role, text in item.turns)
    pair = len(item.answers) == 2
    names = ("answer A", "answer B") if pair else ("answer",)
    answers = "".join(
        f'<section><h3>{name}</h3><div class="turn">{escape(text)}</div></section>'
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
    return (
        f"{head}<section><h3>The conversation</h3><p>route {escape(item.route)}</p>{turns}</section>"
        f'<div class="answers{"" if pair else " one"}">{answers}</div><form class="say" method="post" action="/labels">'
        f'<input type="hidden" name="id" value="{escape(item.id)}"><input type="hidden" name="token" value="{token}">'
        f'<input type="hidden" name="who" value="{escape(who)}">{buttons}'
        f'<button class="quiet" name="said" value="skip" accesskey="s">skip <kbd>s</kbd></button></form><p>{asks}</p>'
    )
