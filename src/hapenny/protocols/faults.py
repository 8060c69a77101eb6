"""What the dialects share about errors: reading bodies, statuses and texts; the headers that steer a client's retries.

The order of evidence is: the provider's own type, then the status, then the text. Texts alone mislead: Bedrock's
throttle says "too many tokens", which reads like a context overflow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.core.errors import Failure, Kind

_STATUS: dict[int, Kind] = {
    400: "invalid_request",
    401: "authentication",
    402: "budget",
    403: "permission",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    422: "invalid_request",
    424: "model_error",
    429: "rate_limited",
    500: "upstream",
    502: "upstream",
    503: "overloaded",
    504: "timeout",
    524: "timeout",
    529: "overloaded",
}

# Sources: Anthropic ("prompt is too long: 210000 tokens > 200000 maximum"), OpenAI ("This model's maximum context
# length is ..."), vLLM (the same, and "longer than the maximum model length"), Bedrock ("Input is too long for
# requested model.", "exceed context limit", "expected maxLength", Nova and Titan "Too many input tokens").
_OVERFLOW = re.compile(
    r"prompt is too long|input is too long|maximum context length|context limit|context window|context_length"
    r"|longer than the maximum model length|too many input tokens|maximum number of tokens|input tokens exceeds"
    r"|inputs?`? tokens \+ `?max_new_tokens",
    re.IGNORECASE,
)
_THROTTLE = re.compile(r"too many tokens, please wait|too many requests|please wait before trying|rate exceeded", re.I)


def kind_of(status: int, message: str) -> Kind:
    """The kind that status and text suggest, where the provider's type says nothing."""
    if status in (400, 413, 422):
        if _THROTTLE.search(message):
            return "rate_limited"
        if _OVERFLOW.search(message):
            return "context_overflow"
    kind = _STATUS.get(status)
    if kind is not None:
        return kind
    return "invalid_request" if 400 <= status < 500 else "upstream"


def overflows(message: str) -> bool:
    """Whether the text of a validation error speaks of a prompt that is too long."""
    return _OVERFLOW.search(message) is not None


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`, or {} for anything else."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError, OverflowError):
        return {}
    return value if type(value) is dict else {}


def text_of(value: Any) -> str:
    """`value`, if it is a string, of at most 2,000 characters; else ""."""
    return value[:2000] if type(value) is str else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms`, `x-amz-retry-after` (both milliseconds) or `retry-after` (seconds); dates are
    not read."""
    for name, scale in (("retry-after-ms", 1000.0), ("x-amz-retry-after", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / scale
        except ValueError:
            continue
        if 0 <= seconds < 86400:
            return seconds
    return None


def failure(
    kind: Kind, status: int, headers: Mapping[str, str], message: str, type_: str, field: Any = None
) -> Failure:
    """A failure that came from a provider."""
    return Failure(
        kind,
        message or f"The provider answered with status {status}.",
        field=field if type(field) is str else None,
        retry_after=retry_after(headers),
        upstream_status=status if status >= 400 else None,
        upstream_type=type_ or None,
    )


def retry_headers(failure: Failure) -> dict[str, str]:
    """Headers that the OpenAI and Anthropic clients obey: when to try again, and whether at all."""
    if not failure.retryable:
        return {"x-should-retry": "false"}
    if failure.retry_after is None:
        return {}
    milliseconds = max(1, round(failure.retry_after * 1000))
    return {"retry-after-ms": str(milliseconds), "retry-after": str(-(-milliseconds // 1000))}
