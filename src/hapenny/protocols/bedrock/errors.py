"""Bedrock's errors: the type stands in a header, the body holds only the message."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hapenny.core.errors import Failure, Kind
from hapenny.protocols import error_bodies, eventstream, faults

# status, type, name of the exception within a stream
_WORDS: dict[Kind, tuple[int, str, str]] = {
    "invalid_request": (400, "ValidationException", "validationException"),
    "context_overflow": (400, "ValidationException", "validationException"),
    "authentication": (403, "AccessDeniedException", "validationException"),
    "permission": (403, "AccessDeniedException", "validationException"),
    "budget": (400, "ServiceQuotaExceededException", "validationException"),
    "not_found": (404, "ResourceNotFoundException", "validationException"),
    "conflict": (400, "ConflictException", "validationException"),
    "too_large": (413, "ValidationException", "validationException"),
    "rate_limited": (429, "ThrottlingException", "throttlingException"),
    "timeout": (408, "ModelTimeoutException", "modelStreamErrorException"),
    "model_error": (424, "ModelErrorException", "modelStreamErrorException"),
    "truncated": (424, "ModelErrorException", "modelStreamErrorException"),
    "overloaded": (503, "ServiceUnavailableException", "serviceUnavailableException"),
    "unavailable": (503, "ServiceUnavailableException", "serviceUnavailableException"),
    "provider_account": (503, "ServiceUnavailableException", "serviceUnavailableException"),
    "upstream": (500, "InternalServerException", "internalServerException"),
    "internal": (500, "InternalServerException", "internalServerException"),
}

_TOO_LONG = ("input is too long", "exceed context limit", "too many input tokens")


def _sentence(failure: Failure) -> str:
    """The failure in one line. A prompt that is too long says so in the words clients look for."""
    sentence = failure.sentence()
    if failure.kind != "context_overflow" or any(words in sentence.lower() for words in _TOO_LONG):
        return sentence
    return f"Input is too long for requested model. {sentence}"


def encode(failure: Failure, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for `failure`."""
    status, type_, _ = _WORDS[failure.kind]
    headers = {
        "content-type": "application/json",
        "x-amzn-errortype": type_,
        "x-amzn-requestid": request_id,
        "x-request-id": request_id,
    }
    if failure.retry_after is not None:
        headers["x-amz-retry-after"] = str(max(1, round(failure.retry_after * 1000)))
    return status, headers, msgspec.json.encode({"message": _sentence(failure)})


def exception(failure: Failure) -> bytes:
    """The frame that reports `failure` within a stream."""
    _, type_, name = _WORDS[failure.kind]
    body: dict[str, object] = {"message": _sentence(failure)}
    if name == "modelStreamErrorException":
        body |= {"originalStatusCode": failure.upstream_status or failure.status, "originalMessage": failure.message}
    elif name == "validationException" and type_ != "ValidationException":
        body["message"] = f"{type_}: {failure.sentence()}"
    return eventstream.frame(eventstream.exception_headers(name), msgspec.json.encode(body))


def decode(status: int, headers: Mapping[str, str], body: bytes, type_: str = "") -> Failure:
    """The failure behind an error answer, or (with `type_`) behind an exception frame."""
    error = error_bodies.read(body)
    type_ = type_ or headers.get("x-amzn-errortype", "")
    codes = (type_, *error.codes) if type_ else error.codes
    error = error._replace(codes=tuple(code.partition(":")[0].rpartition("#")[2] for code in codes))
    if "modelStreamErrorException" in error.codes and error_bodies.object_of(body).get("originalStatusCode") == 429:
        error = error._replace(codes=("throttlingException",))
    return faults.failure("bedrock", status, headers, error)
