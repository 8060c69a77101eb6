"""Bedrock's errors: the type stands in a header, the body holds only the message."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hapenny.core.errors import Failure, Kind
from hapenny.protocols import eventstream, faults

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
    "upstream": (500, "InternalServerException", "internalServerException"),
    "internal": (500, "InternalServerException", "internalServerException"),
}

_TYPES: dict[str, Kind] = {
    "accessdeniedexception": "permission",
    "unrecognizedclientexception": "authentication",
    "invalidsignatureexception": "authentication",
    "expiredtokenexception": "authentication",
    "expiredtoken": "authentication",
    "invalidclienttokenid": "authentication",
    "missingauthenticationtokenexception": "authentication",
    "incompletesignatureexception": "authentication",
    "resourcenotfoundexception": "not_found",
    "conflictexception": "conflict",
    "servicequotaexceededexception": "rate_limited",
    "throttlingexception": "rate_limited",
    "throttling": "rate_limited",
    "toomanyrequestsexception": "rate_limited",
    "modelnotreadyexception": "unavailable",
    "serviceunavailableexception": "overloaded",
    "serviceunavailable": "overloaded",
    "internalserverexception": "upstream",
    "internalfailure": "upstream",
    "modeltimeoutexception": "timeout",
    "modelerrorexception": "model_error",
    "modelstreamerrorexception": "model_error",
    "requestentitytoolargeexception": "too_large",
}


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
    return status, headers, msgspec.json.encode({"message": failure.sentence()})


def exception(failure: Failure) -> bytes:
    """The frame that reports `failure` within a stream."""
    _, type_, name = _WORDS[failure.kind]
    body: dict[str, object] = {"message": failure.sentence()}
    if name == "modelStreamErrorException":
        body |= {"originalStatusCode": failure.upstream_status or failure.status, "originalMessage": failure.message}
    elif name == "validationException" and type_ != "ValidationException":
        body["message"] = f"{type_}: {failure.sentence()}"
    return eventstream.frame(eventstream.exception_headers(name), msgspec.json.encode(body))


def decode(status: int, headers: Mapping[str, str], body: bytes, type_: str = "") -> Failure:
    """The failure behind an error answer, or (with `type_`) behind an exception frame."""
    data = faults.object_of(body)
    message = faults.text_of(data.get("message") or data.get("Message"))
    if not type_:
        type_ = (
            headers.get("x-amzn-errortype", "")
            or faults.text_of(data.get("__type"))
            or faults.text_of(data.get("code"))
        )
    type_ = type_.partition(":")[0].rpartition("#")[2]
    word = type_.lower()
    kind = _TYPES.get(word)
    if kind is None:
        if word == "validationexception":
            kind = "context_overflow" if faults.overflows(message) else "invalid_request"
        else:
            kind = faults.kind_of(status, message)
    failure = faults.failure(kind, status, headers, message, type_)
    if word == "modelstreamerrorexception" and data.get("originalStatusCode") == 429:
        failure = faults.failure("rate_limited", status, headers, message, type_)
    return failure
