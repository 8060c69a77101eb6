"""What is let through to a provider as it is, and as what: decided on what is sent, which is written anew here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.admission.keys import Identity
from hapenny.backends.passable import Passable
from hapenny.core.errors import Failure, invalid
from hapenny.core.events import Tokens
from hapenny.core.exchange import Target
from hapenny.core.messages import Request
from hapenny.core.reranking import RerankRequest, estimated
from hapenny.protocols.fields import bound, load
from hapenny.protocols.rerank import BedrockRerank

_MODELS = frozenset({"model", "modelId", "models", "modelArn"})
REFERENCES = frozenset(
    {
        "previous_response_id", "conversation", "file_id", "file_ids", "input_file_id", "training_file",
        "validation_file", "vector_store_ids", "container", "container_id", "batch_id", "knowledgeBaseId",
    }
)  # fmt: skip
"""Fields that name objects kept at the provider."""


def models_of(body: Any) -> list[str]:
    """Every model that a body names, wherever it stands."""
    return _named(body, _MODELS)


def references_of(body: Any) -> list[str]:
    """Every object at the provider that a body names, wherever it stands."""
    return _named(body, REFERENCES)


def _named(body: Any, fields: frozenset[str]) -> list[str]:
    names: list[str] = []
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            if value.get("type") == "item_reference" and fields is REFERENCES:
                names.append(str(value.get("id")))
            for key, item in value.items():
                if key in fields:
                    if isinstance(item, dict) and isinstance(item.get("id"), str):
                        names.append(item["id"])
                    names += [each for each in (item if isinstance(item, list) else [item]) if isinstance(each, str)]
                if isinstance(item, (dict, list)):
                    waiting.append(item)
    return names


def read(way: Passable, method: str, content_type: str, body: bytes) -> dict[str, Any] | None:
    """The JSON object of a request; None where it has none: a form, or no body at all.

    Raises:
        Failure: `invalid_request`, for a body that is not what its way takes.
    """
    form = content_type.lower().startswith("multipart/form-data")
    if way.names == "path" or method in ("GET", "HEAD", "DELETE") or (not body and way.names == "unsaid"):
        return None
    if form and way.names == "unsaid":
        return None
    value = load(body)
    bound(value)
    try:
        json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise invalid("a field stands twice", "body", "send each field once: which of two counts differs") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError


def renamed(body: Any, targets: Mapping[str, Target], region: str) -> None:
    """Puts the providers' own ids in the place of the names a client says, wherever `models_of` reads one.

    Args:
        body: as it was read; changed in place.
        targets: what the names mean.
        region: of ARNs that are made of model ids.
    """
    own = {name: target.model for name, target in targets.items() if target.model != name}
    waiting = [body] if own else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            for key, item in value.items():
                if key in _MODELS:
                    if isinstance(item, dict) and item.get("id") in own:
                        item["id"] = own[item["id"]]
                    elif isinstance(item, list):
                        value[key] = [own.get(each, each) if isinstance(each, str) else each for each in item]
                    elif isinstance(item, str) and item in own:
                        value[key] = BedrockRerank(region).arn(own[item]) if key == "modelArn" else own[item]
                if isinstance(item, (dict, list)):
                    waiting.append(item)


def permit(identity: Identity, way: Passable, models: list[str], about: bool) -> None:
    """Lets a request pass, as far as its models go. `about`: it is about an object, which asks no model anything.

    Raises:
        Failure: `permission`.
    """
    for model in models:
        if not identity.may_ask(model):
            raise Failure("permission", f"this key may not ask for the model {model[:200]!r}", field="model")
    if "*" in identity.models or models or about:
        return
    raise Failure(
        "permission",
        "this key is for certain models, and which one this request asks for cannot be told",
        fix="name the model in a JSON body, or use a key for all models",
    )


_FILES = frozenset({"externalSourcesConfiguration", "s3Location"})


def names_files(body: Any) -> bool:
    """Whether a body names files that would be read with the operator's credentials."""
    return bool(_holds(body, _FILES))


def _holds(body: Any, fields: frozenset[str]) -> bool:
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            if fields & value.keys():
                return True
            waiting += value.values()
    return False


def asked_queries(path: str, body: dict[str, Any] | None) -> Tokens | None:
    """What Bedrock's Rerank bills for a body, by length: the service reports no usage. None for every other path."""
    if path != "/rerank" or body is None:
        return None
    try:
        query = str(body["queries"][0]["textQuery"]["text"])
        texts = tuple(_passage(source["inlineDocumentSource"]) for source in body["sources"])
    except (KeyError, IndexError, TypeError):
        return None
    return estimated(RerankRequest(model="", query=query, documents=texts))


def _passage(source: dict[str, Any]) -> str:
    text = source.get("textDocument")
    return str(text["text"]) if text is not None else msgspec.json.encode(source["jsonDocument"]).decode()


def permit_asked(identity: Identity, asked: Request) -> None:
    """Lets a request go on whose further fields, which providers of its dialect get as they are, may name models too.

    Raises:
        Failure: `permission`.
    """
    if "*" in identity.models:
        return
    named = [asked.extras, *[tool.extras for tool in asked.tools]]
    for model in models_of(named):
        if not identity.may_ask(model):
            raise Failure("permission", f"this key may not ask for the model {model[:200]!r}", field="model")


def encoded(body: dict[str, Any]) -> bytes:
    """What is sent instead of the client's own bytes: each field once, UTF-8, nothing before or behind it."""
    try:
        return msgspec.json.encode(body)
    except (ValueError, TypeError, UnicodeError, OverflowError):
        raise invalid("the body cannot be sent on", "body", "send plain JSON") from None
