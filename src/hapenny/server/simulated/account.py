"""Service Quotas of a simulated account: what `ListServiceQuotas` says of the simulated models' limits."""

from __future__ import annotations

import re
from typing import Any

from hapenny.core.errors import Failure
from hapenny.server.call import Call, Endpoint
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response
from hapenny.simulation.provider import SimulatedProvider

_TARGET = "ServiceQuotasV20190624.ListServiceQuotas"
_WORDS = re.compile(r"[^a-zA-Z0-9]+")


def quotas(provider: SimulatedProvider) -> Endpoint:
    """`POST /` with the service's target header."""

    async def answer(call: Call) -> Response:
        if call.request.headers.get("x-amz-target") != _TARGET:
            raise Failure("not_found", "no such operation", fix="ListServiceQuotas is simulated")
        listed: list[dict[str, Any]] = []
        for model in provider.lineup.models:
            name = " ".join(word.capitalize() for word in _WORDS.split(model.id.partition(":")[0]))
            quota = provider.quota(model.id)
            for scope in ("On-demand", "Cross-region", "Global cross-region"):
                for unit, value in (("requests", quota.rpm), ("tokens", quota.tpm)):
                    if value is not None:
                        listed.append(
                            {
                                "ServiceCode": "bedrock",
                                "QuotaCode": f"L-{len(listed):08d}",
                                "QuotaName": f"{scope} model inference {unit} per minute for {name}",
                                "Value": float(value),
                                "Adjustable": True,
                            }
                        )
        response = as_json({"Quotas": listed})
        response.headers["content-type"] = "application/x-amz-json-1.1"
        return response

    return answer
