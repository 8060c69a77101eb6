"""Makes the ledger's row of a finished exchange."""

from __future__ import annotations

from collections.abc import Callable

from hapenny.core.events import Tokens
from hapenny.core.exchange import Call, Exchange
from hapenny.core.latency import BUDGET
from hapenny.core.money import Walk
from hapenny.telemetry.leave_one_out import ALONE, Alone
from hapenny.telemetry.outline import Outline
from hapenny.telemetry.pricing import Prices
from hapenny.telemetry.rows import CallRow, Row, RowOutcome
from hapenny.telemetry.would_save import counterfactuals

REFUSALS = frozenset({"refusal", "guardrail", "content_filtered"})
"""Stop reasons of answers that count as refused: they have no baseline."""

_NONE = Alone({}, "")


def make_row(
    exchange: Exchange,
    money: Walk,
    adopted: Call | None,
    prices: Prices,
    outline: Outline,
    fingerprint: Callable[[str], bytes],
    *,
    untouched: bool,
) -> Row:
    """The row of an exchange whose calls are settled and priced; of one that was served as it came, the provider's
    counts are its own."""
    unpriced = money.actual is None or money.baseline is None
    context, arrived = exchange.context, exchange.arrived
    calls: tuple[CallRow, ...] = ()
    reported = True
    for call in exchange.calls:
        calls += (_call_row(call, arrived, call is adopted),)
        reported = reported and call.provenance == "reported"
    cache = exchange.cache
    decide: dict[str, float] = {}
    scores: dict[str, float] = {}
    watched = False
    for taken in exchange.decisions:
        decide[taken.stage] = decide.get(taken.stage, 0.0) + taken.seconds
        decision = taken.decision
        if decision is None:
            continue
        watched = watched or taken.mode == "shadow"
        if decision.score is not None:
            scores[taken.stage] = float(decision.score)
        if taken.mode == "on" and decision.freed:
            scores["answer_freed"] = float(decision.freed)
    would_save = counterfactuals(exchange, adopted, prices) if watched else {}
    by_itself = _NONE if unpriced else exchange.stage_notes.get(ALONE) or _NONE
    promise = exchange.answer.certificate
    parts: dict[str, int] = {}
    output = 0
    if untouched and adopted is not None and adopted.tokens is not None:
        tokens = adopted.tokens
        parts, output = outline.parts(tokens.prompt), max(0, tokens.output - tokens.reasoning)
    elif not exchange.background:
        place = prices.place(exchange.baseline)
        parts = outline.parts(place.prompt(prices.layout(exchange.original)))
        output = place.output(exchange.output)
    budget = exchange.stage_notes.get(BUDGET)
    return Row(
        id=exchange.id,
        wall=exchange.wall,
        tenant=context.tenant,
        key_id=context.key_id,
        user=fingerprint(context.user) if context.user else None,
        session=fingerprint(context.session) if context.session else None,
        fingerprint=outline.question,
        feature=context.feature or "",
        tags=context.tags,
        route=exchange.route,
        intent=exchange.intent,
        protocol=exchange.original.protocol,
        stream=exchange.original.stream,
        background=exchange.background,
        holdout=exchange.holdout,
        model_asked=exchange.original.model,
        model_baseline=exchange.baseline.model,
        model_served=adopted.target.model if adopted is not None else exchange.answer.model,
        outcome=_outcome(exchange),
        stopped=exchange.stopped,
        failure=exchange.failure.kind if exchange.failure is not None else None,
        cache_layer=cache.layer if cache is not None else None,
        cache_hit=cache is not None and cache.hit,
        cache_age=cache.age if cache is not None else None,
        ttft=exchange.first_out - arrived if exchange.first_out is not None else None,
        e2e=exchange.finished - arrived if exchange.finished is not None else None,
        queued=calls[0].started if calls else None,
        decide=decide,
        would_save=would_save,
        arms=exchange.arms,
        scores=scores,
        notes=[*exchange.notes, f"certificate={promise}"] if promise else exchange.notes,
        parts=parts,
        output_tokens=output,
        tokens=adopted.tokens if adopted is not None else None,
        baseline=money.baseline,
        savings=money.savings,
        alone=by_itself.saved,
        freed=by_itself.freed,
        deadline=budget.seconds if budget is not None else None,
        steps=budget.used(exchange) if budget is not None else {},
        reactions=budget.reactions if budget is not None else (),
        estimate_error=money.estimate_error,
        actual=money.actual,
        unpriced=unpriced,
        reported=reported,
        calls=calls,
    )


def _outcome(exchange: Exchange) -> RowOutcome:
    if exchange.background:
        return "background"
    if exchange.failure is not None:
        return "failed"
    if exchange.stopped in REFUSALS:
        return "refused"
    if exchange.delivered and exchange.stopped is not None:
        return "delivered"
    return "left"


def _call_row(call: Call, arrived: float, adopted: bool) -> CallRow:
    tokens, target = call.tokens or Tokens(), call.target
    return CallRow(
        call.purpose, call.technique, target.model, target.backend,
        f"geo:{target.geo}" if target.geo else target.region, target.service_tier,
        tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, tokens.cache_write_1h, tokens.reasoning,
        call.cost, call.outcome, call.provenance, call.failure.kind if call.failure is not None else None,
        call.started - arrived,
        call.began - arrived if call.began is not None else None,
        call.ended - arrived if call.ended is not None else None,
        adopted,
        tokens.units, call.opened,
    )  # fmt: skip
