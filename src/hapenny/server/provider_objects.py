"""Objects that a provider keeps (files, stored responses, containers): whoever names one must have made it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hapenny.core.errors import Failure
from hapenny.gateway.gateway import Gateway
from hapenny.server.services import Services

REFERENCES = frozenset(
    {
        "previous_response_id", "conversation", "file_id", "file_ids", "input_file_id", "training_file",
        "validation_file", "vector_store_ids", "container", "container_id", "batch_id", "knowledgeBaseId",
    }
)  # fmt: skip
"""Fields that name objects kept at the provider."""

_MARKS = (
    *[name.lower().encode() for name in sorted(REFERENCES)],
    b"item_reference",
    b"\\u",
    b"\xc5\xbf",
    b"\xe2\x84\xaa",
)
"""A body without any of these names no object, in lower case; an escaped name might be one, or one with a letter that
is another in lower case."""
_THEIRS = frozenset(
    {
        "parameters",
        "input_schema",
        "inputSchema",
        "json_schema",
        "schema",
        "metadata",
        "requestMetadata",
        "arguments",
        "json",
    }
)
"""Fields whose insides are the client's own words to its tools and its books: no provider looks an object up there."""


_NOTES = frozenset(("metadata", "requestMetadata"))


def names_objects(body: bytes) -> bool:
    """Whether a body may name an object; quick."""
    low = body.lower()
    return any(mark in low for mark in _MARKS)


def references_of(body: Any) -> list[str]:
    """Every object at the provider that a body names, wherever it stands but among the client's own notes."""
    return named(body, REFERENCES, skipped=_NOTES)


def objects_of_response(body: Any) -> list[str]:
    """The same of a Responses body, whose tools and metadata may have fields of any name."""
    return named(body, REFERENCES, skipped=_THEIRS)


def objects_of_chat(body: bytes) -> list[str]:
    """The same of a chat body, whose tool calls and schemas may have fields of any name."""
    try:
        return named(msgspec.json.decode(body), REFERENCES, skipped=_THEIRS, calls=True)
    except (ValueError, RecursionError):
        raise Failure("invalid_request", "the body is no JSON", field="body") from None


def objects_of_lines(data: bytes) -> list[str]:
    """The same of the lines of a batch; what is no JSON is told apart when the batch is made."""
    names: list[str] = []
    for line in data.splitlines():
        if names_objects(line):
            try:
                names += objects_of_chat(line)
            except Failure:
                continue
    return names


def named(
    body: Any, fields: frozenset[str], skipped: frozenset[str] = frozenset(), *, calls: bool = False
) -> list[str]:
    """The names that stand under some fields, in order of no meaning. Capitals count for small letters: that is how
    servers written in Go read JSON.

    Args:
        body: a JSON value.
        fields: under which a name counts.
        skipped: fields whose insides are not looked at.
        calls: whether the arguments of tool calls (`input`) are not looked at either.
    """
    names: list[str] = []
    alike = frozenset(map(str.casefold, fields))
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            kind = value.get("type")
            if kind == "item_reference" and fields is REFERENCES:
                names.append(str(value.get("id")))
            called = calls and (kind == "tool_use" or "toolUseId" in value)
            for key, item in value.items():
                if key in skipped or (called and key == "input"):
                    continue
                if key in fields or key.casefold() in alike:
                    if isinstance(item, dict) and isinstance(item.get("id"), str):
                        names.append(item["id"])
                    names += [each for each in (item if isinstance(item, list) else [item]) if isinstance(each, str)]
                if isinstance(item, (dict, list)):
                    waiting.append(item)
    return names


async def permit_objects(gateway: Gateway, services: Services, key_id: str, ids: Iterable[str]) -> None:
    """Lets a request name objects, of whichever backend, that its key made.

    Raises:
        Failure: `not_found`, for one that is another's or that nobody is known to own.
    """
    backends = list(gateway.config.backends)
    for id in dict.fromkeys(ids):
        owners = {await services.owners.owner(backend, id) for backend in backends} - {None}
        if owners != {key_id}:
            raise Failure("not_found", f"there is no {id[:200]!r} of this key", fix="upload it with this key")
