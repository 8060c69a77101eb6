"""OpenAI's error bodies, and whether its client should try again (`x-should-retry`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.core.errors import Failure, Kind
from hapenny.protocols import faults

# status, type, code
_WORDS: dict[Kind, tuple[int, str, str | None]] = {
    "invalid_request": (400, "invalid_request_error", None),
    "context_overflow": (400, "invalid_request_error", "context_length_exceeded"),
    "authentication": (401, "invalid_request_error", "invalid_api_key"),
    "permission": (403, "permission_error", "permission_denied"),
    "budget": (402, "insufficient_quota", "insufficient_quota"),
    "not_found": (404, "invalid_request_error", "model_not_found"),
    "conflict": (409, "conflict_error", None),
    "too_large": (413, "invalid_request_error", "request_too_large"),
    "rate_limited": (429, "rate_limit_error", "rate_limit_exceeded"),
    "timeout": (504, "server_error", "timeout"),
    "model_error": (424, "server_error", "model_error"),
    "truncated": (502, "server_error", "truncated"),
    "overloaded": (503, "server_error", "overloaded"),
    "unavailable": (503, "server_error", "unavailable"),
    "upstream": (502, "server_error", "upstream_error"),
    "internal": (500, "server_error", "internal_error"),
}

_CODES: dict[str, Kind] = {
    "context_length_exceeded": "context_overflow",
    "string_above_max_length": "context_overflow",
    "invalid_api_key": "authentication",
    "insufficient_quota": "budget",
    "billing_hard_limit_reached": "budget",
    "rate_limit_exceeded": "rate_limited",
    "model_not_found": "not_found",
    "request_too_large": "too_large",
    "timeout": "timeout",
    "model_error": "model_error",
    "truncated": "truncated",
    "overloaded": "overloaded",
    "unavailable": "unavailable",
}

_TYPES: dict[str, Kind] = {
    "insufficient_quota": "budget",
    "authentication_error": "authentication",
    "permission_error": "permission",
    "rate_limit_error": "rate_limited",
    "tokens": "rate_limited",
    "requests": "rate_limited",
    "overloaded_error": "overloaded",
}


def body_of(failure: Failure) -> dict[str, Any]:
    """The error object for `failure`."""
    _, type_, code = _WORDS[failure.kind]
    return {"error": {"message": failure.sentence(), "type": type_, "param": failure.field, "code": code}}


def encode(failure: Failure, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for `failure`."""
    headers = {"content-type": "application/json", "x-request-id": request_id} | faults.retry_headers(failure)
    return _WORDS[failure.kind][0], headers, msgspec.json.encode(body_of(failure))


def decode(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """The failure behind an error answer."""
    error = faults.object_of(body).get("error")
    if type(error) is not dict:
        error = {"message": error} if type(error) is str else faults.object_of(body)
    message = faults.text_of(error.get("message") or error.get("detail"))
    type_ = faults.text_of(error.get("type"))
    code = faults.text_of(error.get("code"))
    kind = _CODES.get(code) or _TYPES.get(type_)
    if kind is None and type(error.get("code")) is int and status < 400:
        status = error["code"]
    if kind is None:
        kind = faults.kind_of(status, message)
    return faults.failure(kind, status, headers, message, code or type_, error.get("param"))
