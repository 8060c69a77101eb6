"""The ledger against what AWS says: tokens by model as CloudWatch counted them, dollars as Cost Explorer billed them.

CloudWatch's `InputTokenCount` leaves cached tokens out, as the ledger's `input` does. Cost Explorer is settled a day
late, so that whole days are compared and today is left out. Attribution: costs that carry a cost allocation tag (of
application inference profiles) are compared by tenant where the tag names it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from hapenny.telemetry.rows import Entry

DAY = 86_400
TOLERANCE = 0.02
"""How far the two may be apart, as a share of theirs."""
METRICS = {
    "InputTokenCount": "input", "OutputTokenCount": "output", "CacheReadInputTokens": "cache_read",
    "CacheWriteInputTokens": "cache_write",
}  # fmt: skip
NAMESPACE = "AWS/Bedrock"


class Compared(Struct, kw_only=True):
    """One figure of both books. `unit`: `tokens` or `usd`."""

    source: str
    what: str
    ours: float
    theirs: float
    unit: str

    @property
    def apart(self) -> float:
        """How far they are apart, as a share of theirs."""
        if self.theirs:
            return abs(self.ours - self.theirs) / self.theirs
        return 0.0 if not self.ours else 1.0

    @property
    def agrees(self) -> bool:
        """Whether that is within what rounding and the edges of days explain."""
        return self.apart <= TOLERANCE


def window(wall: float, days: int) -> tuple[float, float]:
    """The last whole days before today (UTC), as epoch seconds."""
    until = wall // DAY * DAY
    return until - days * DAY, until


def our_tokens(
    connection: sqlite3.Connection, backends: Sequence[str], since: float, until: float, name: Callable[[str], str]
) -> dict[str, dict[str, int]]:
    """Tokens that calls to `backends` are booked with, by model under its one `name`."""
    by_model: dict[str, dict[str, int]] = {}
    for row in connection.execute(
        "SELECT c.model, sum(c.input), sum(c.output), sum(c.cache_read), sum(c.cache_write + c.cache_write_1h)"
        " FROM requests r JOIN calls c ON c.request = r.seq"
        f" WHERE r.wall >= ? AND r.wall < ? AND c.backend IN ({_places(backends)}) GROUP BY 1",
        (since, until, *backends),
    ):
        known = by_model.setdefault(name(row[0]), dict.fromkeys(METRICS.values(), 0))
        for kind, count in zip(METRICS.values(), row[1:], strict=True):
            known[kind] += count
    return by_model


def our_cost(connection: sqlite3.Connection, backends: Sequence[str], since: float, until: float) -> dict[str, int]:
    """Nano-dollars that calls to `backends` are booked with, by tenant."""
    rows = connection.execute(
        "SELECT r.tenant, coalesce(sum(c.cost), 0) FROM requests r JOIN calls c ON c.request = r.seq"
        f" WHERE r.wall >= ? AND r.wall < ? AND c.backend IN ({_places(backends)}) GROUP BY 1",
        (since, until, *backends),
    ).fetchall()
    return {tenant: int(cost) for tenant, cost in rows}


def _places(names: Sequence[str]) -> str:
    return ", ".join("?" * len(names)) or "NULL"


def their_tokens(cloudwatch: Any, since: float, until: float, name: Callable[[str], str]) -> dict[str, dict[str, int]]:
    """The same by CloudWatch (boto3's client); service tiers of a model (`id+priority`) are added up."""
    by_model: dict[str, dict[str, int]] = {}
    queries: list[dict[str, Any]] = []
    asked: dict[str, tuple[str, str]] = {}
    for metric, kind in METRICS.items():
        pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=NAMESPACE, MetricName=metric)
        for each in (each for page in pages for each in page.get("Metrics", ())):
            dimensions = {one["Name"]: one["Value"] for one in each.get("Dimensions", ())}
            if set(dimensions) != {"ModelId"}:
                continue
            id = f"m{len(queries)}"
            asked[id] = (name(dimensions["ModelId"].partition("+")[0]), kind)
            stat = {"Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": each["Dimensions"]},
                    "Period": DAY, "Stat": "Sum"}  # fmt: skip
            queries.append({"Id": id, "MetricStat": stat, "ReturnData": True})
    for start in range(0, len(queries), 500):
        more: dict[str, Any] = {}
        while True:
            told = cloudwatch.get_metric_data(
                MetricDataQueries=queries[start : start + 500], StartTime=_moment(since), EndTime=_moment(until), **more
            )
            for each in told.get("MetricDataResults", ()):
                model, kind = asked[each["Id"]]
                known = by_model.setdefault(model, dict.fromkeys(METRICS.values(), 0))
                known[kind] += round(sum(each.get("Values", ())))
            if not told.get("NextToken"):
                break
            more = {"NextToken": told["NextToken"]}
    return by_model


def their_cost(explorer: Any, since: float, until: float, tag: str = "") -> dict[str, float]:
    """Dollars of Bedrock by Cost Explorer (boto3's client `ce`), by service, or by the values of a cost allocation tag
    ("" is what carries none)."""
    group = {"Type": "TAG", "Key": tag} if tag else {"Type": "DIMENSION", "Key": "SERVICE"}
    services = _services(explorer, since, until)
    by_tag: dict[str, float] = {}
    if not services:
        return by_tag
    more: dict[str, str] = {}
    while True:
        told = explorer.get_cost_and_usage(
            TimePeriod=_period(since, until), Granularity="DAILY", Metrics=["UnblendedCost"],
            Filter={"Dimensions": {"Key": "SERVICE", "Values": services}}, GroupBy=[group], **more,
        )  # fmt: skip
        for each in (each for day in told.get("ResultsByTime", ()) for each in day.get("Groups", ())):
            name = each["Keys"][0].partition("$")[2] if tag else each["Keys"][0]
            by_tag[name] = by_tag.get(name, 0.0) + float(each["Metrics"]["UnblendedCost"]["Amount"])
        if not told.get("NextPageToken"):
            return by_tag
        more = {"NextPageToken": told["NextPageToken"]}


def _services(explorer: Any, since: float, until: float) -> list[str]:
    """Services that are Bedrock's: it bills models of others as "MODEL (Amazon Bedrock Edition)"."""
    told = explorer.get_dimension_values(TimePeriod=_period(since, until), Dimension="SERVICE")
    return [each["Value"] for each in told.get("DimensionValues", ()) if "bedrock" in each["Value"].lower()]


def tokens_compared(ours: Mapping[str, Mapping[str, int]], theirs: Mapping[str, Mapping[str, int]]) -> list[Compared]:
    """Every model and kind of tokens that either of the books has, the largest first."""
    compared = []
    for model in {*ours, *theirs}:
        for kind in METRICS.values():
            mine, other = ours.get(model, {}).get(kind, 0), theirs.get(model, {}).get(kind, 0)
            if mine or other:
                compared.append(
                    Compared(source="CloudWatch", what=f"{model}: {kind}", ours=mine, theirs=other, unit="tokens")
                )
    return sorted(compared, key=lambda each: (-max(each.ours, each.theirs), each.what))


def cost_compared(ours: Mapping[str, int], theirs: Mapping[str, float], tag: str) -> list[Compared]:
    """The bill in sum; with a tag by its values, where the ledger's tenants have the same names."""
    source = "Cost Explorer"
    whole = Compared(
        source=source, what="the bill", ours=sum(ours.values()) / 1e9, theirs=sum(theirs.values()), unit="usd"
    )
    if not tag:
        return [whole]
    named = [
        Compared(source=source, what=f"{tag} {name}", ours=ours.get(name, 0) / 1e9, theirs=usd, unit="usd")
        for name, usd in sorted(theirs.items(), key=lambda item: -item[1])
        if name
    ]
    return [whole, *named]


def entries(compared: Iterable[Compared], since: float, until: float, wall: float) -> list[Entry]:
    """For the ledger, so that the console shows them beside the savings."""
    period = f"{_moment(since):%d %b} – {_moment(until - 1):%d %b %Y}"
    return [
        Entry(
            kind="invoice", wall=wall, technique="", actual=0,
            detail={
                "source": each.source, "period": period, "note": each.what, "ours": _told(each.ours, each.unit),
                "theirs": _told(each.theirs, each.unit), "apart": each.apart, "agrees": int(each.agrees),
            },
        )
        for each in compared
    ]  # fmt: skip


def _told(value: float, unit: str) -> str:
    return f"${value:,.4f}" if unit == "usd" else f"{value:,.0f}"


def _moment(wall: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=wall)


def _period(since: float, until: float) -> dict[str, str]:
    return {"Start": f"{_moment(since):%Y-%m-%d}", "End": f"{_moment(until):%Y-%m-%d}"}
