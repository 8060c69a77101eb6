"""Service Quotas of a simulated account: what `ListServiceQuotas` says of the simulated models' limits."""

from __future__ import annotations

import re
from typing import Any

from hapenny.server.endpoints.models import shown
from hapenny.server.transport import messages as web
from hapenny.simulation.provider import SimulatedProvider

_TARGET = "ServiceQuotasV20190624.ListServiceQuotas"
_WORDS = re.compile(r"[^a-zA-Z0-9]+")


def quotas(provider: SimulatedProvider, request: web.BaseRequest, path: str) -> web.Response | None:
    """The answer to ListServiceQuotas; None for any other request."""
    if path != "/" or request.headers.get("X-Amz-Target") != _TARGET:
        return None
    found: list[dict[str, Any]] = []
    for model in provider.deck.models:
        name = " ".join(word.capitalize() for word in _WORDS.split(model.id.partition(":")[0]))
        quota = provider.quota(model.id)
        for scope in ("On-demand", "Cross-region", "Global cross-region"):
            for unit, value in (("requests", quota.rpm), ("tokens", quota.tpm)):
                if value is not None:
                    found.append(
                        {
                            "ServiceCode": "bedrock",
                            "QuotaCode": f"L-{len(found):08d}",
                            "QuotaName": f"{scope} model inference {unit} per minute for {name}",
                            "Value": float(value),
                            "Adjustable": True,
                        }
                    )
    answer = shown({"Quotas": found})
    answer.headers = {"Content-Type": "application/x-amz-json-1.1"}
    return answer
