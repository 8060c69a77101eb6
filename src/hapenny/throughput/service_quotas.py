"""Bedrock's quotas as the account has them, read from Service Quotas when there are credentials."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

_NAME = re.compile(
    r"(?P<scope>On-demand|Cross-region|Global cross-region|Batch)\s+(?:model inference|InvokeModel|inference)\s+"
    r"(?P<unit>tokens|requests) per (?P<span>minute|day) for (?P<model>.+)",
    re.IGNORECASE,
)


class Found(NamedTuple):
    """One quota: `scope` on-demand, cross-region or global cross-region; `field` of `QuotaSpec`; the model's name."""

    scope: str
    field: str
    model: str
    value: float
    adjustable: bool
    code: str


def parse(quotas: Iterable[dict[str, Any]]) -> list[Found]:
    """Those of ListServiceQuotas' entries that limit inference, by model."""
    found = []
    for quota in quotas:
        name = _NAME.search(quota.get("QuotaName", ""))
        if name is None or quota.get("Value") is None:
            continue
        span = "day" if name["span"].lower() == "day" else "minute"
        found.append(
            Found(
                name["scope"].lower(),
                f"{name['unit'].lower()}_per_{span}",
                name["model"].strip(),
                float(quota["Value"]),
                bool(quota.get("Adjustable")),
                str(quota.get("QuotaCode", "")),
            )
        )
    return found


def read(client: Any) -> list[Found]:
    """All inference quotas, through boto3's `service-quotas` client (blocking)."""
    pages = client.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock")
    return parse(quota for page in pages for quota in page.get("Quotas", ()))
