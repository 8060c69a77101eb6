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


class ServiceQuota(NamedTuple):
    """One quota: `scope` on-demand, cross-region or global cross-region; `field` of `QuotaSpec`; the model's name."""

    scope: str
    field: str
    model: str
    value: float
    adjustable: bool
    code: str


def parse(quotas: Iterable[dict[str, Any]]) -> list[ServiceQuota]:
    """Those of ListServiceQuotas' entries that limit inference, by model."""
    listed = []
    for quota in quotas:
        name = _NAME.search(quota.get("QuotaName", ""))
        if name is None or quota.get("Value") is None:
            continue
        span = "day" if name["span"].lower() == "day" else "minute"
        listed.append(
            ServiceQuota(
                name["scope"].lower(),
                f"{name['unit'].lower()}_per_{span}",
                name["model"].strip(),
                float(quota["Value"]),
                bool(quota.get("Adjustable")),
                str(quota.get("QuotaCode", "")),
            )
        )
    return listed


def read(client: Any) -> list[ServiceQuota]:
    """All inference quotas, through boto3's `service-quotas` client (blocking)."""
    pages = client.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock")
    return parse(quota for page in pages for quota in page.get("Quotas", ()))


_PREFIXES = {"us-gov-": "us-gov.", "us-": "us.", "eu-": "eu.", "ap-": "apac."}
_DATE = re.compile(r"20\d{6}")


def fragment(listed: Iterable[ServiceQuota], ids: Iterable[str], region: str) -> tuple[dict[str, Any], list[str]]:
    """Quotas as a part of the configuration, and the names of models that are none of the catalog's `ids`.

    Cross-region quotas are those of the geography's inference profile, called from `region`. Batch quotas limit jobs,
    not calls, and are left out; so is a name that more than one id could mean.
    """
    by_words: dict[tuple[str, ...], list[str]] = {}
    for id in sorted(ids, key=lambda id: "@" in id):  # another cloud's spelling counts only where it is alone
        meant = by_words.setdefault(_words(id.partition(":")[0]), [])
        if "@" not in id or not meant:
            meant.append(id)
    geography = next((prefix for start, prefix in _PREFIXES.items() if region.startswith(start)), "")
    prefixes = {"on-demand": "", "cross-region": geography, "global cross-region": "global."}
    models: dict[str, Any] = {}
    unknown: set[str] = set()
    for quota in sorted(listed):
        if quota.scope not in prefixes or (quota.scope == "cross-region" and not geography) or quota.value <= 0:
            continue
        meant = by_words.get(_words(quota.model), [])
        if len(meant) != 1:
            unknown.add(quota.model)
            continue
        quotas = models.setdefault(prefixes[quota.scope] + meant[0], {"quota": {}})["quota"]
        quotas[quota.field] = quota.value
    return {"stages": {"throughput": {"models": models}}}, sorted(unknown)


def _words(name: str) -> tuple[str, ...]:
    """The words of a model's name or id, in any order, without its date and its first version."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return tuple(sorted(w for w in words if w and w != "v1" and not _DATE.fullmatch(w)))
