"""What the token stages would do to one request, piece by piece, with the reason and the money."""

from __future__ import annotations

from typing import Literal

import msgspec

from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Limits, Target
from hapenny.core.messages import Context, Request
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.context import context_turns
from hapenny.tokens.definitions import Definitions, text_of
from hapenny.tokens.money import cache_prices, counter, room, worth
from hapenny.tokens.options import TokenOptions
from hapenny.tokens.pack import Window
from hapenny.tokens.passages import analyse
from hapenny.tokens.prune import prune
from hapenny.tokens.structure_stage import defined, structured
from hapenny.tokens.template_stage import turn_of
from hapenny.tokens.templates import Templates
from hapenny.tokens.unfound import unfound
from hapenny.tokens.window import block_texts, texts_of

Verdict = Literal["kept", "removed", "rewritten", "answered"]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of the request: what becomes of it and why. Tokens are estimates, `saved` what its fate frees,
    `question` what a piece of context was judged by."""

    technique: str
    verdict: Verdict
    text: str
    reason: str
    tokens: int
    saved: int = 0
    instead: str = ""
    question: str = ""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """All pieces in order, and the sums. Money in nano-dollars at the plain input price; None: unknown price."""

    model: str
    lines: list[Line]
    before: int
    after: int
    cost_before: int | None
    cost_after: int | None

    def saved_by(self, technique: str) -> int:
        """Tokens a technique frees."""
        return sum(line.saved for line in self.lines if line.technique == technique)


def explain(
    request: Request,
    target: Target,
    prices: Prices,
    clock: Clock,
    options: TokenOptions | None = None,
    templates: Templates | None = None,
) -> Explanation:
    """Run every technique on a copy of the request, as if all were on; nothing is sent anywhere.

    `templates`: the deployment's; default the shipped ones.
    """
    options = options or TokenOptions()
    now = clock.now()
    exchange = Exchange(
        id="explain", request=request, context=Context(), clock=clock, limits=Limits(now, now), baseline=target
    )
    count = counter(prices, exchange)
    before = prices.prompt(request, target)
    lines = _template(request, before, options, templates or Templates.shipped())
    lines += _structure(request, exchange, prices, options)
    lines += _window(request, exchange, prices, options)
    lines += _context(request, exchange, prices, options)
    saved = before if any(line.verdict == "answered" for line in lines) else sum(line.saved for line in lines)
    if not lines:
        last = request.messages[-1] if request.messages else None
        text = "\n".join(texts_of(last)) if last is not None else ""
        lines = [
            Line(technique="none", verdict="kept", text=text, reason="nothing to leave out", tokens=round(count(text)))
        ]
    after = max(0, before - saved)
    return Explanation(
        model=target.model,
        lines=lines,
        before=before,
        after=after,
        cost_before=worth(prices, exchange, before),
        cost_after=worth(prices, exchange, after),
    )


def _template(request: Request, before: int, options: TokenOptions, templates: Templates) -> list[Line]:
    turn = turn_of(request, with_tools=options.templates.with_tools)
    fired = templates.match(turn) if turn is not None else None
    if turn is None or fired is None or fired.name in options.templates.skip:
        return []
    reason = f"template {fired.name}: the words and the turn before fit"
    return [
        Line(
            technique="templates", verdict="answered", text=turn.user, reason=reason, tokens=before, saved=before,
            instead=fired.text,
        )
    ]  # fmt: skip


def _structure(request: Request, exchange: Exchange, prices: Prices, options: TokenOptions) -> list[Line]:
    count = counter(prices, exchange)
    lines = []
    tools = defined(request.tools, Definitions(), options.structure)
    for came, sent in zip(request.tools, tools, strict=True):
        if came is not sent:
            text, shorter = text_of(came), text_of(sent)
            tokens = round(count(text))
            reason = "layout, repeated titles and empty keywords say nothing"
            lines.append(
                Line(
                    technique="structure", verdict="rewritten", text=text, reason=reason, tokens=tokens,
                    saved=tokens - round(count(shorter)), instead=shorter,
                )
            )  # fmt: skip
    packed, _, _ = structured(request, count, options.structure, options.window)
    for was, now in zip(request.messages, packed, strict=True):
        for old, new in zip(was.content, now.content, strict=True):
            if old is new:
                continue
            text, shorter = "\n".join(block_texts(old)), "\n".join(block_texts(new))
            tokens, left = round(count(text)), round(count(shorter))
            reason = (
                "equal to an earlier result" if shorter.startswith("(the same as") else "lossless: reads back exactly"
            )
            lines.append(
                Line(
                    technique="structure", verdict="rewritten", text=text, reason=reason, tokens=tokens,
                    saved=tokens - left, instead=shorter,
                )
            )  # fmt: skip
    return lines


def _window(request: Request, exchange: Exchange, prices: Prices, options: TokenOptions) -> list[Line]:
    """What would be left out of a conversation whose earlier calls nobody saw: what its room and prices say."""
    settings = options.window
    count = counter(prices, exchange)
    if len(request.messages) <= settings.recent:
        return []
    lead = prices.prompt(request, exchange.target) - sum(count(t) for m in request.messages for t in texts_of(m) if t)
    most = room(prices, exchange)
    packed = Window(settings).pack(
        None,
        request.messages,
        count,
        prices=cache_prices(prices, exchange),
        lead=max(0.0, lead),
        limit=most,
        tools=request.tools,
    )
    if not packed.dropped:
        return []
    packed_texts = {"\n".join(texts_of(message)) for message in packed.messages}
    structured_messages, _, _ = structured(request, count, options.structure, settings)
    bound = min(bound for bound in (settings.limit, most) if bound)
    lines = []
    for message in structured_messages[1:]:
        text = "\n".join(texts_of(message))
        if text not in packed_texts:
            tokens = round(count(text))
            reason = f"an earlier turn; all of it is more than the room of {bound:,} tokens"
            lines.append(
                Line(technique="window", verdict="removed", text=text, reason=reason, tokens=tokens, saved=tokens)
            )
    note = texts_of(packed.messages[0])[-1]
    tokens = round(count(note))
    lines.append(
        Line(technique="window", verdict="kept", text=note, reason="stands for them", tokens=tokens, saved=-tokens)
    )
    return lines


def _context(request: Request, exchange: Exchange, prices: Prices, options: TokenOptions) -> list[Line]:
    count = counter(prices, exchange)
    settings = options.prune
    lines: list[Line] = []
    turns = context_turns(request.messages, settings.tools, request.system)
    for text, reason in unfound(request, turns, settings.tools):
        lines.append(Line(technique="prune", verdict="kept", text=text, reason=reason, tokens=round(count(text))))
    for turn in turns:
        passages = [analyse(piece.title, piece.text, count) for piece in turn.pieces]
        tokens = sum(passage.cost for passage in passages)
        if tokens < settings.floor:
            reason = f"context under the floor of {settings.floor} tokens is not pruned"
            whole = "\n".join(piece.text for piece in turn.pieces)
            lines.append(Line(technique="prune", verdict="kept", text=whole, reason=reason, tokens=round(tokens)))
            continue
        pruned = prune(
            turn.question, passages, budget=max(settings.share * tokens, float(settings.floor)), mass=settings.mass,
            floor=0.5 * settings.floor,
        )  # fmt: skip
        number = 0
        for place, passage in enumerate(passages):
            kept = set(pruned.kept[place])
            for index, unit in enumerate(passage.units):
                stays = index in kept or (unit.pinned and bool(kept))
                reason = f"{100 * pruned.scores[number]:.1f} % of the evidence"
                if place in pruned.duplicates:
                    reason = "repeats another passage"
                lines.append(
                    Line(
                        technique="prune", verdict="kept" if stays else "removed", text=unit.text, reason=reason,
                        tokens=round(unit.cost), saved=0 if stays else round(unit.cost), question=turn.question,
                    )
                )  # fmt: skip
                number += 1
    return lines
