"""What is let through to a provider as it is, and as what: decided on what is sent, which is written anew here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

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
from hapenny.server.multipart import Part, parts, written
from hapenny.server.provider_objects import named, references_of

_MODELS = frozenset({"model", "modelId", "models", "modelArn"})

Body: TypeAlias = dict[str, Any] | list[Part] | None
"""What a request says: a JSON object, the fields of a form, or nothing that could be read."""


def models_of(body: Body) -> list[str]:
    """Every model that a body names, wherever it stands."""
    if isinstance(body, list):
        return [part.data.decode("utf-8", "replace") for part in body if part.name in _MODELS]
    return named(body, _MODELS)


def further_models_of_lines(data: bytes) -> list[str]:
    """Every model that the requests of a batch name beside the one that each asks for, which is looked at when it is
    asked: its line alone fails. Lines that are no JSON are told apart when the batch is made."""
    names: list[str] = []
    for line in data.splitlines():
        try:
            record = msgspec.json.decode(line)
        except (ValueError, RecursionError):
            continue
        body = record.get("body") if isinstance(record, dict) else None
        if isinstance(body, dict):
            names += named({name: value for name, value in body.items() if name != "model"}, _MODELS)
    return names


def objects_of(body: Body) -> list[str]:
    """Every object at the provider that a body names, wherever it stands."""
    if isinstance(body, list):
        return references_of({part.name: part.data.decode("utf-8", "replace") for part in body if not part.file})
    return references_of(body)


def read(way: Passable, method: str, content_type: str, body: bytes) -> Body:
    """The JSON object or the form of a request; None where it has none: the path says it all, or there is no body.

    Raises:
        Failure: `invalid_request`, for a body that is not what its way takes.
    """
    if way.names == "path" or method in ("GET", "HEAD", "DELETE") or (not body and way.names == "unsaid"):
        return None
    if way.names == "form":
        return _form(content_type, body)
    value = load(body)
    bound(value)
    _said_once(body)
    named_once(value)
    return value


def named_once(fields: Mapping[str, Any]) -> None:
    """Raises `Failure`, `invalid_request`, for a field that some servers read as `model`, and others do not."""
    if any(name.casefold() == "model" for name in fields if name != "model"):
        raise invalid("model stands twice, once in capitals", "model", "send it once, in small letters")


def _form(content_type: str, body: bytes) -> list[Part]:
    fields = parts(content_type, body)
    names = [part.name.lower() for part in fields if not part.name.endswith("[]")]
    if len(set(names)) < len(names):
        raise invalid("a field stands twice", "body", "send each field once, or as `name[]` where there are several")
    return fields


def _said_once(body: bytes) -> None:
    """Raises `Failure`, `invalid_request`, for JSON in which a field stands twice."""
    try:
        json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise invalid("a field stands twice", "body", "send each field once: which of two counts differs") from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError


def renamed(body: dict[str, Any] | list[Part], targets: Mapping[str, Target], region: str) -> None:
    """Puts the providers' own ids in the place of the names a client says, wherever `models_of` reads one.

    Args:
        body: as it was read; changed in place.
        targets: what the names mean.
        region: of ARNs that are made of model ids.
    """
    own = {name: target.model for name, target in targets.items() if target.model != name}
    if isinstance(body, list):  # a form
        for place, part in enumerate(body):
            if part.name in _MODELS and (name := part.data.decode("utf-8", "replace")) in own:
                body[place] = part._replace(data=own[name].encode())
        return
    waiting: list[Any] = [body] if own else []
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
    permit_models(identity, models)
    if "*" in identity.models or models or about:
        return
    raise Failure(
        "permission",
        "this key is for certain models, and which one this request asks for cannot be told",
        fix="name the model in the body, or use a key for all models",
    )


_FILES = frozenset({"externalSourcesConfiguration", "s3Location"})


def names_files(body: Any) -> bool:
    """Whether a body names files that would be read with the operator's credentials."""
    return holds(body, _FILES)


def holds(body: Any, fields: frozenset[str]) -> bool:
    """Whether one of some fields stands anywhere in a body."""
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


def asked_queries(path: str, body: Body) -> Tokens | None:
    """What Bedrock's Rerank bills for a body, by length: the service reports no usage. None for every other path."""
    if path != "/rerank" or not isinstance(body, dict):
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


def permit_asked(identity: Identity, asked: Request, body: bytes) -> None:
    """Lets a request go on whose further fields, which providers of its dialect get as they are, may name models too.

    Raises:
        Failure: `permission`; `invalid_request` where the body says a field twice.
    """
    if "*" in identity.models:
        return
    _said_once(body)
    permit_models(identity, named([asked.extras, *[tool.extras for tool in asked.tools]], _MODELS))


def permit_models(identity: Identity, models: Iterable[str]) -> None:
    """Raises `Failure`, `permission`, where one of the models is not the key's to ask for."""
    for model in models:
        if not identity.may_ask(model):
            raise Failure("permission", f"this key may not ask for the model {model[:200]!r}", field="model")


def encoded(body: dict[str, Any]) -> bytes:
    """What is sent instead of the client's own bytes: each field once, UTF-8, nothing before or behind it."""
    try:
        return msgspec.json.encode(body)
    except (ValueError, TypeError, UnicodeError, OverflowError):
        raise invalid("the body cannot be sent on", "body", "send plain JSON") from None


def encoded_form(fields: list[Part], boundary: str) -> tuple[bytes, str]:
    """The same of a form: its bytes, and the Content-Type that goes with them."""
    return written(fields, boundary), f"multipart/form-data; boundary={boundary}"
