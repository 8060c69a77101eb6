"""The ledger as a table for others: one row a request, or one a day with the columns of FOCUS for chargeback.

FOCUS 1.0 (FinOps Open Cost and Usage Specification) columns: `BilledCost` is what was paid, `ListCost` what the same
answers would have cost without hapenny, the difference is what was saved; `x_` columns are ours. Rows of a day are
calls by tenant, key, feature, route, model, region, service tier and purpose; answers that no model gave are rows of
hapenny's own. `ListCost` stands on the row of the call that delivered.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hapenny.telemetry.conditions import condition
from hapenny.telemetry.figures import Scope

_TEN = ", ".join(map(str, range(1, 11)))
NANO = Decimal(1_000_000_000)
REQUEST = (
    "id", "time", "tenant", "key_id", "route", "feature", "intent", "background", "outcome", "failure", "model_asked",
    "model_baseline", "model_served", "cache_layer", "cache_hit", "holdout", "ttft_s", "e2e_s", "prompt_tokens",
    "output_tokens", "baseline_usd", "saved_usd", "estimate_error_usd", "paid_usd", "reported",
)  # fmt: skip
FOCUS = (
    "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "BillingCurrency", "BilledCost",
    "EffectiveCost", "ListCost", "ContractedCost", "ChargeCategory", "ChargeFrequency", "ChargeDescription",
    "ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "InvoiceIssuerName", "ServiceCategory", "ServiceName", "RegionId", "ResourceId", "ResourceType", "SkuId",
    "SubAccountId", "SubAccountName", "Tags", "x_Requests", "x_Saved", "x_InputTokens", "x_OutputTokens",
    "x_CacheReadTokens", "x_CacheWriteTokens", "x_Purpose",
)  # fmt: skip


def requests(connection: sqlite3.Connection, scope: Scope) -> Iterator[tuple[Any, ...]]:
    """One row a request, oldest first: the columns of `REQUEST`. Money in dollars, None where a price is unknown."""
    where, values = condition(scope)
    for row in connection.execute(
        "SELECT id, wall, tenant, key_id, route, feature, intent, background, outcome, failure, model_asked,"
        " model_baseline, model_served, cache_layer, cache_hit, holdout, ttft, e2e, prompt_tokens, output_tokens,"
        f" baseline, saved, estimate_error, actual, reported FROM requests WHERE {where} ORDER BY seq",
        values,
    ):
        yield (
            row[0], _moment(row[1]), *row[2:14], bool(row[14]), bool(row[15]), *row[16:20],
            *(None if nano is None else float(_usd(nano)) for nano in row[20:24]), bool(row[24]),
        )  # fmt: skip


def focus(connection: sqlite3.Connection, scope: Scope) -> Iterator[tuple[Any, ...]]:
    """One row a day and kind of use: the columns of `FOCUS`. Costs add up to what the ledger says was paid."""
    where, values = condition(scope, "r.")
    labels = "r.tenant, r.key_id, r.feature, r.route"
    day = "CAST(r.wall / 86400 AS INTEGER) * 86400"
    for row in connection.execute(
        f"SELECT {day}, {labels}, c.model, c.backend, c.region, c.service_tier, c.purpose, count(*),"
        " coalesce(sum(c.cost), 0), coalesce(sum(CASE WHEN c.adopted THEN r.baseline END), 0),"
        " coalesce(sum(CASE WHEN c.adopted THEN r.saved END), 0), sum(c.input), sum(c.output), sum(c.cache_read),"
        " sum(c.cache_write + c.cache_write_1h) FROM requests r JOIN calls c ON c.request = r.seq"
        f" WHERE {where} AND NOT r.unpriced GROUP BY {_TEN} ORDER BY {_TEN}",
        values,
    ):
        yield _charge(row)
    for row in connection.execute(
        f"SELECT {day}, {labels}, CASE WHEN r.cache_hit THEN 'cache ' || r.cache_layer ELSE 'no model' END, 'hapenny',"
        " '', '', 'serve', count(*), 0, coalesce(sum(r.baseline), 0), coalesce(sum(r.saved), 0), 0, 0, 0, 0"
        f" FROM requests r WHERE {where} AND NOT r.unpriced AND r.background = '' AND r.baseline > 0"
        " AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.request = r.seq AND c.adopted)"
        " GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6",
        values,
    ):
        yield _charge(row)
    if scope.whole:
        yield from _capacity(connection, scope)


def _capacity(connection: sqlite3.Connection, scope: Scope) -> Iterator[tuple[Any, ...]]:
    for row in connection.execute(
        "SELECT CAST(wall / 86400 AS INTEGER) * 86400, '', '', '', '', model, '', '', technique, 'capacity', count(*),"
        " sum(actual), 0, sum(saved), 0, 0, 0, 0 FROM entries WHERE kind = 'capacity' AND wall >= ? AND wall < ?"
        " GROUP BY 1, 6, 9 ORDER BY 1, 6",
        (scope.since or 0.0, scope.until or 1e12),
    ):
        yield _charge(row)


def _charge(row: tuple[Any, ...]) -> tuple[Any, ...]:
    (
        day, tenant, key, feature, route, model, backend, region, tier, purpose, count, cost, baseline, saved, taken,
        given, read, written,
    ) = row  # fmt: skip
    start = datetime.fromtimestamp(day, UTC)
    month = start.replace(day=1)
    after = (month + timedelta(days=32)).replace(day=1)
    paid, tokens = float(_usd(cost)), taken + given + read + written
    own = backend == "hapenny"
    what = f"{purpose}: {model}" + (f", {tier}" if tier else "")
    quantity, unit = (count, "Requests") if own or not tokens else (tokens, "Tokens")
    tags = {name: value for name, value in (("feature", feature), ("route", route), ("key", key)) if value}
    return (
        _moment(month.timestamp()), _moment(after.timestamp()), _moment(day), _moment(day + 86_400), "USD", paid, paid,
        float(_usd(baseline)), paid, "Usage", "Usage-Based" if purpose != "capacity" else "Recurring", what, quantity,
        unit, quantity, unit, backend or "capacity", backend or "capacity", backend or "capacity",
        "AI and Machine Learning", "hapenny" if own else "model inference", region, model, "model",
        f"{model}/{tier or 'standard'}", tenant, tenant, json.dumps(tags, ensure_ascii=False), count,
        float(_usd(saved)), taken, given, read, written, purpose,
    )  # fmt: skip


def _usd(nano: int) -> Decimal:
    return Decimal(nano) / NANO


def _moment(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
