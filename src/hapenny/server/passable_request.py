"""What is let through to a provider as it is, and as what: decided on what is sent, which is written anew here."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import msgspec

from hapenny.admission.keys import Identity
from hapenny.backends.passable import Passable
from hapenny.core.errors import Failure, invalid
from hapenny.core.messages import Request
from hapenny.protocols.fields import bound, load
from hapenny.server.multipart import Part, parts, written
from hapenny.server.provider_objects import named, references_of

_MODELS = frozenset({"model", "modelId", "models"})

Body: TypeAlias = dict[str, Any] | list[Part] | None
"""What a request says: a JSON object, the fields of a form, or nothing that could be read."""


def models_of(body: Body) -> list[str]:
    """Every model that a body names, wherever it stands."""
    if isinstance(body, list):
        return [part.data.decode("utf-8", "replace") for part in body if part.name in _MODELS]
    return named(body, _MODELS)


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
    return value


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
        fix="name the model in the body, or use a key for all models",
    )


def permit_asked(identity: Identity, asked: Request, body: bytes) -> None:
    """Lets a request go on whose further fields, which providers of its dialect get as they are, may name models too.

    Raises:
        Failure: `permission`; `invalid_request` where the body says a field twice.
    """
    if "*" in identity.models:
        return
    _said_once(body)
    for model in named([asked.extras, *[tool.extras for tool in asked.tools]], _MODELS):
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
