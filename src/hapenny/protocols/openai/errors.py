"""OpenAI's error bodies, and whether its client should try again (`x-should-retry`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.core.errors import Failure, Kind
from hapenny.protocols import error_bodies, faults

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
    "provider_account": (503, "server_error", "provider_unavailable"),
    "upstream": (502, "server_error", "upstream_error"),
    "internal": (500, "server_error", "internal_error"),
}

_CODE = re.compile(r"(?!.*_error$)[a-z][a-z0-9_]{2,63}")
"""A code as OpenAI writes one (`invalid_value`); what ends in `_error` is a type."""


def body_of(failure: Failure) -> dict[str, Any]:
    """The error object for `failure`. A provider's own words, and the code by which its clients tell errors apart, stay
    as they are."""
    _, type_, code = _WORDS[failure.kind]
    theirs = failure.upstream_status is not None and failure.fix is None
    if code is None and theirs and _CODE.fullmatch(failure.upstream_type or ""):
        code = failure.upstream_type
    message = failure.message if theirs else failure.sentence()
    return {"error": {"message": message, "type": type_, "param": failure.field, "code": code}}


def encode(failure: Failure, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for `failure`."""
    headers = {"content-type": "application/json", "x-request-id": request_id} | faults.retry_headers(failure)
    return _WORDS[failure.kind][0], headers, msgspec.json.encode(body_of(failure))


def decode(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """The failure behind an error answer, or behind an error within a stream (status 200)."""
    return faults.failure("openai", status, headers, error_bodies.read(body))


def within(error: dict[str, Any]) -> Failure:
    """The failure behind an error that one choice of an answer holds, as OpenRouter tells what its provider said."""
    return decode(200, {}, msgspec.json.encode({"error": error}))


def not_streamed() -> Failure:
    """What a server that answers a request for a stream with a whole answer gets: it may have been cut anywhere."""
    return Failure(
        "upstream",
        "The provider answered a request for a stream with a whole answer.",
        fix="streams: false on the backend, if its server does not stream",
    )
