"""Answers that endpoints give: JSON, and failures in a dialect."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec

from hapenny.admission.gate import Limited
from hapenny.core.errors import Failure
from hapenny.protocols.codec import Codec
from hapenny.server.limit_headers import limit_headers
from hapenny.server.transport.messages import Response

T = TypeVar("T")


def as_json(value: Any, status: int = 200) -> Response:
    """`value` as JSON."""
    return Response(msgspec.json.encode(value), status=status, headers={"content-type": "application/json"})


def failed(codec: Codec, failure: Failure, request_id: str, wall: float = 0.0) -> Response:
    """The failure in the words of `codec`'s clients; `wall`: epoch seconds now, for limits that are told as times."""
    status, headers, body = codec.encode_error(failure, request_id)
    headers.setdefault("x-request-id", request_id)
    if isinstance(failure, Limited):
        headers.update(limit_headers(codec.name, failure.limits, wall))
    if failure.retry_after is not None:
        headers.setdefault("retry-after-ms", str(max(1, round(failure.retry_after * 1000))))
        headers.setdefault("retry-after", str(max(1, math.ceil(failure.retry_after))))
    return Response(body, status=status, headers=headers, failure=failure)


def read(body: bytes, kind: type[T]) -> T:
    """The body as `kind`. Whatever the bytes are, what is wrong is the client's.

    Raises:
        Failure: `invalid_request`.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except RecursionError:
        raise Failure("invalid_request", "the body is nested too deeply", field="body") from None
    except UnicodeDecodeError:
        raise Failure("invalid_request", "the body is no UTF-8", field="body", fix="send JSON in UTF-8") from None
    except (ValueError, OverflowError) as error:
        raise Failure("invalid_request", f"the body is not as expected: {error}", field="body") from None


def whole_number(text: str, name: str, least: int = 0, most: int = 1_000_000) -> int:
    """A number of a query. Raises `Failure`, `invalid_request`."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or not least <= int(text) <= most:
        raise Failure("invalid_request", f"{name} is no whole number from {least} to {most}", field=name)
    return int(text)
