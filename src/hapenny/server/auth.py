"""From headers to identity and context: who asks, under which conditions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from hapenny.admission.keys import OPEN, Identity, Keyring
from hapenny.core.errors import Failure, invalid
from hapenny.core.messages import Context, Request
from hapenny.protocols import sigv4
from hapenny.server.transport.messages import Request as Http

_PROTOCOL_HEADERS = (
    "anthropic-beta",
    "x-amzn-bedrock-guardrailidentifier",
    "x-amzn-bedrock-guardrailversion",
    "x-amzn-bedrock-trace",
)
"""Headers that change what the model or a guardrail answers: part of the cache key, forwarded as they are."""

_TOLD = ("x-hapenny-", "cache-control", *_PROTOCOL_HEADERS)
"""How the names of all headers begin that a context is made of."""

_MAX_LABEL = 256
_NO_HEADERS: Mapping[str, str] = {}
_MAX_FILTER = 4_096


def recognise(keyring: Keyring, request: Http) -> Identity | None:
    """Whose request it is, as far as its head tells: a bearer key or `x-api-key` says it; an AWS signature covers the
    body too, so that here only its claim is looked at (None: `verified` decides, when the body is there).

    Raises:
        Failure: `authentication`, for whoever cannot be let in whatever the body is.
    """
    if keyring.open:
        return OPEN
    headers = request.headers
    authorization = headers.get("authorization", "")
    if authorization[:7].lower() == "bearer ":
        return keyring.who(authorization[7:].strip())
    if authorization.startswith(sigv4.ALGORITHM):
        name = sigv4.access_key(authorization)
        if not name or keyring.secret_of(name) is None:
            raise _unsigned()
        return None
    return keyring.who(headers.get("x-api-key"))


def verified(keyring: Keyring, request: Http, body: bytes, now: float) -> Identity:
    """Whose signature the request carries, made with one of our keys as secret.

    Raises:
        Failure: `authentication`.
    """
    headers = request.headers
    name = sigv4.access_key(headers.get("authorization", ""))
    secret = keyring.secret_of(name) if name else None
    if secret is None or not sigv4.verify(request.method, request.target.raw, headers, body, secret, now):
        raise _unsigned()
    return keyring.who(secret)


def _unsigned() -> Failure:
    return Failure(
        "authentication",
        "the AWS signature does not belong to a key of this gateway",
        fix="set AWS_BEARER_TOKEN_BEDROCK to your key, or sign with the access key id given with it",
    )


@lru_cache(64)
def _tells(names: tuple[str, ...]) -> bool:
    """Whether one of the headers of a request says something of its context."""
    return any(name.startswith(_TOLD) for name in names)


def context_of(identity: Identity, headers: Mapping[str, str], request: Request) -> Context:
    """The context of a request: tenant and groups from the key, the rest from `x-hapenny-*` headers, then the body's
    metadata. Names of headers are in lower case.

    Raises:
        Failure: `invalid_request`, for a header that is too long or no number where one belongs.
    """
    if not request.metadata and not _tells(tuple(headers)):
        user = identity.user or request.user
        return Context(tenant=identity.tenant, key_id=identity.key_id, groups=identity.groups, user=user)
    labels = _Labels(headers, request.metadata)
    priority = labels.get("priority")
    try:
        rank = int(priority) if priority else 0
    except ValueError:
        raise invalid("priority is no whole number", "x-hapenny-priority", "send e.g. 0 or 10") from None
    control = headers.get("Cache-Control")
    kept = {name: headers[name] for name in _PROTOCOL_HEADERS if name in headers}
    where = labels.get("filter")
    if where:
        kept["x-hapenny-filter"] = where
    tags = labels.get("tags")
    return Context(
        tenant=identity.tenant,
        key_id=identity.key_id,
        groups=identity.groups,
        user=identity.user or labels.get("user") or request.user,
        session=labels.get("session"),
        feature=labels.get("feature"),
        intent=labels.get("intent"),
        locale=labels.get("locale"),
        route=labels.get("route"),
        priority=max(-100, min(identity.priority, rank)),  # a client may step back, not push in
        tags=dict(part.split("=", 1) for part in tags.split(",") if "=" in part) if tags else {},
        cache_control=tuple(part.strip().lower() for part in control.split(",") if part.strip()) if control else (),
        headers=kept,
    )


def unadorned(identity: Identity, request: Request) -> Context:
    """The context of a request that came without headers: a record of a batch."""
    return context_of(identity, _NO_HEADERS, request)


class _Labels:
    def __init__(self, headers: Mapping[str, str], metadata: Mapping[str, object]) -> None:
        self._headers = headers
        self._metadata = metadata

    def get(self, name: str) -> str | None:
        header = f"x-hapenny-{name}"
        value: object = self._headers.get(header)
        if value is None and self._metadata:
            value = self._metadata.get(header, self._metadata.get(f"hapenny_{name}"))
        if value is None:
            return None
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if len(text) > (_MAX_FILTER if name == "filter" else _MAX_LABEL) and name != "tags":
            raise invalid(f"longer than {_MAX_LABEL} characters", header, "send a short label")
        return text
