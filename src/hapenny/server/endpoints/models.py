"""The models a key may ask for, in the asking client's dialect: lists, and one by its name."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import unquote

from msgspec import Struct

from hapenny.catalog import Card
from hapenny.core.errors import Failure
from hapenny.server.call import Call
from hapenny.server.replies import as_json, whole_number
from hapenny.server.transport.messages import Response

_EPOCH = "1970-01-01T00:00:00Z"
"""When a model came out is not in the catalog."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_STATUS = {"active": "ACTIVE", "deprecated": "LEGACY", "retired": "LEGACY"}


class Model(Struct, frozen=True):
    """A name a client may ask for, and what the catalog knows of the model behind it."""

    name: str
    target: str
    """The provider's own id; empty for names that are routed."""
    card: Card | None
    lifecycle: Literal["active", "deprecated", "retired"]
    until: str | None
    """The day on which it retires, or retired."""


async def listed(call: Call) -> Response:
    """`GET /v1/models`."""
    models = [_described(call, name) for name in call.gateway.names.names() if call.identity.may_ask(name)]
    if call.dialect == "anthropic":
        query = call.request.query
        names, limit = [model.name for model in models], whole_number(query.get("limit", "1000"), "limit", 1, 1000)
        start = names.index(after) + 1 if (after := query.get("after_id", "")) in names else 0
        stop = names.index(before) if (before := query.get("before_id", "")) in names else len(names)
        if before in names and not start:
            start = max(0, stop - limit)
        page = models[start : min(stop, start + limit)]
        ends = {"first_id": page[0].name if page else None, "last_id": page[-1].name if page else None}
        more = start > 0 if before in names else start + len(page) < len(names)
        return as_json({"data": [_anthropic(model) for model in page], "has_more": more, **ends})
    return as_json({"object": "list", "data": [_openai(model) for model in models]})


async def one(call: Call) -> Response:
    """`GET /v1/models/{model}`: any name that would be answered. Raises `Failure`, `not_found`."""
    model = _asked(call, unquote(call.params["model"]))
    return as_json(_anthropic(model) if call.dialect == "anthropic" else _openai(model))


async def bedrock_listed(call: Call) -> Response:
    """Bedrock ListFoundationModels, over the names of the gateway; its filters hold."""
    query = call.request.query
    models = [_described(call, name) for name in call.gateway.names.names() if call.identity.may_ask(name)]
    shown = [_bedrock(call, model) for model in models if model.target]
    provider, modality = query.get("byProvider", "").lower(), query.get("byOutputModality", "")
    return as_json(
        {
            "modelSummaries": [
                each
                for each in shown
                if (not provider or each["providerName"].lower() == provider)
                and (not modality or modality in each["outputModalities"])
            ]
        }
    )


async def bedrock_one(call: Call) -> Response:
    """Bedrock GetFoundationModel. Raises `Failure`, `not_found`."""
    return as_json({"modelDetails": _bedrock(call, _asked(call, call.params["model"]))})


def _asked(call: Call, name: str) -> Model:
    """The model of that name, which the key may ask for."""
    names, catalog = call.gateway.names, call.gateway.catalog
    target = names.resolve(name).target
    known = name in names.names() or (
        target is not None
        and (
            catalog.resolve(target.model) is not None
            or any(target.model == model.id for model in call.gateway.config.models.values())
        )
    )
    if not known or not call.identity.may_ask(name):
        raise Failure(
            "not_found", f"the model {name[:200]!r} is not known here", field="model", fix="see the list of models"
        )
    return _described(call, name)


def _described(call: Call, name: str) -> Model:
    gateway = call.gateway
    target = gateway.names.resolve(name).target
    id = target.model if target is not None else ""
    card = gateway.catalog.resolve(id) if id else None
    until = _DAY.search(card.retired) if card is not None and card.retired else None
    lifecycle: Literal["active", "deprecated", "retired"] = "active"
    if card is not None and card.retired:
        today = datetime.fromtimestamp(gateway.clock.wall(), UTC).date().isoformat()
        lifecycle = "deprecated" if until is not None and until[0] > today else "retired"
    return Model(name, id, card, lifecycle, until[0] if until is not None else None)


def _openai(model: Model) -> dict[str, Any]:
    owner = model.card.provider if model.card is not None else "hapenny"
    shown: dict[str, Any] = {"id": model.name, "object": "model", "created": 0, "owned_by": owner}
    if model.until is not None:
        shown["shutdown_date"] = model.until
    return shown


def _anthropic(model: Model) -> dict[str, Any]:
    card, until = model.card, f"{model.until}T00:00:00Z" if model.until is not None else None
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": _EPOCH,
        "lifecycle": model.lifecycle,
        "deprecated_at": None,
        "retires_at": until,
        "line": None,
        "capabilities": None,
        "max_input_tokens": card.context_window if card is not None else None,
        "max_tokens": card.max_output if card is not None else None,
    }


def _bedrock(call: Call, model: Model) -> dict[str, Any]:
    card, id = model.card, model.target or model.name
    region = next((options.region for options in call.gateway.config.backends.values() if options.region), "us-east-1")
    kinds = card.capabilities if card is not None else frozenset[str]()
    embeds = card is not None and card.kind == "embedding"
    maker = id.rpartition("/")[2].split(".")
    return {
        "modelArn": f"arn:aws:bedrock:{region}::foundation-model/{id}",
        "modelId": id,
        "modelName": model.name,
        "providerName": maker[-2].capitalize() if len(maker) > 1 else "hapenny",
        "inputModalities": ["TEXT", "IMAGE"] if "vision" in kinds else ["TEXT"],
        "outputModalities": ["EMBEDDING" if embeds else "TEXT"],
        "responseStreamingSupported": not embeds,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelLifecycle": {"status": _STATUS[model.lifecycle]},
    }
