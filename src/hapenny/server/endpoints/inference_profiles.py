"""Bedrock's inference profiles over the names of the gateway: lists, and one by its id or ARN.

What a client may call is what it is shown: system-defined profiles of the models it may ask for. The account's
application profiles are the operator's; those that the configuration names are shown under their names.
"""

from __future__ import annotations

from typing import Any

from hapenny.catalog.naming import PROFILE, public_name
from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.server.call import Call
from hapenny.server.endpoints.passthrough import forward
from hapenny.server.replies import as_json, whole_number
from hapenny.server.transport.messages import Response

_SYSTEM, _APPLICATION = "SYSTEM_DEFINED", "APPLICATION"


async def listed(call: Call) -> Response:
    """ListInferenceProfiles."""
    query = call.request.query
    most = whole_number(query.get("maxResults", "1000"), "maxResults", 1, 1000)
    wanted = query.get("typeEquals") or query.get("type") or _SYSTEM
    shown = {}
    for name in call.gateway.names.names():
        target = call.gateway.names.resolve(name).target
        if target is None or not call.identity.may_ask(name) or not _profile(target):
            continue
        summary = _summary(call, name, target)
        if summary["type"] == wanted:
            shown[summary["inferenceProfileId"]] = summary
    return as_json({"inferenceProfileSummaries": list(shown.values())[:most]})


async def one(call: Call) -> Response:
    """GetInferenceProfile; what is no profile of a model we know passes through. Raises `Failure`."""
    name = call.params["profile"]
    target = call.gateway.names.resolve(name).target
    if target is None or not _profile(target) or not public_name(target.model).model:
        return await forward(call)
    if not call.identity.may_ask(name):
        raise Failure("not_found", f"the inference profile {name[:200]!r} is not known here", field="model")
    return as_json(_summary(call, name, target))


def _profile(target: Target) -> bool:
    """Whether a target is called by an inference profile."""
    return PROFILE.match(target.model) is not None or ":inference-profile/" in target.model or _own(target)


def _own(target: Target) -> bool:
    return ":application-inference-profile/" in target.model


def _summary(call: Call, name: str, target: Target) -> dict[str, Any]:
    id = target.model.rpartition("/")[2]
    options = call.gateway.config.backends.get(target.backend)
    region = target.region or (options.region if options is not None else "us-east-1")
    card = call.gateway.catalog.resolve(target.model)
    models = [{"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{card.id}"}] if card is not None else []
    arn = target.model if target.model.startswith("arn:") else f"arn:aws:bedrock:{region}::inference-profile/{id}"
    return {
        "inferenceProfileName": name,
        "inferenceProfileArn": arn,
        "inferenceProfileId": id,
        "models": models,
        "status": "ACTIVE",
        "type": _APPLICATION if _own(target) else _SYSTEM,
    }
