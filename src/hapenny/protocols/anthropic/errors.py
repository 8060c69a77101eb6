"""Anthropic's error bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.core.errors import Failure, Kind
from hapenny.protocols import error_bodies, faults

_WORDS: dict[Kind, tuple[int, str]] = {
    "invalid_request": (400, "invalid_request_error"),
    "context_overflow": (400, "invalid_request_error"),
    "authentication": (401, "authentication_error"),
    "permission": (403, "permission_error"),
    "budget": (402, "billing_error"),
    "not_found": (404, "not_found_error"),
    "conflict": (409, "conflict_error"),
    "too_large": (413, "request_too_large"),
    "rate_limited": (429, "rate_limit_error"),
    "timeout": (504, "timeout_error"),
    "model_error": (424, "api_error"),
    "truncated": (502, "api_error"),
    "overloaded": (529, "overloaded_error"),
    "unavailable": (503, "overloaded_error"),
    "provider_account": (503, "api_error"),
    "upstream": (502, "api_error"),
    "internal": (500, "api_error"),
}

_TOO_LONG = ("prompt is too long", "exceed context limit")


def body_of(failure: Failure, request_id: str) -> dict[str, Any]:
    """The error object for `failure`. A prompt that is too long says so in the words clients look for."""
    message = failure.sentence()
    if failure.kind == "context_overflow" and not any(words in message.lower() for words in _TOO_LONG):
        message = f"prompt is too long: {message}"
    return {
        "type": "error",
        "error": {"type": _WORDS[failure.kind][1], "message": message},
        "request_id": request_id,
    }


def encode(failure: Failure, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for `failure`."""
    headers = {"content-type": "application/json", "request-id": request_id, "x-request-id": request_id}
    headers |= faults.retry_headers(failure)
    return _WORDS[failure.kind][0], headers, msgspec.json.encode(body_of(failure, request_id))


def decode(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """The failure behind an error answer, or behind an `error` event (status 200)."""
    return faults.failure("anthropic", status, headers, error_bodies.read(body))
