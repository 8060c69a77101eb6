"""What OpenAI's surfaces (chat completions, responses, completions) have in common: headers and errors."""

from __future__ import annotations

from collections.abc import Mapping

from hapenny.core.errors import Failure
from hapenny.core.messages import Request
from hapenny.protocols.codec import Codec
from hapenny.protocols.openai import errors


class OpenAIWire(Codec):
    """One of OpenAI's surfaces. `Wire.path` is relative to a base URL that ends in `/v1`, as with OpenAI's client."""

    @staticmethod
    def headers(request: Request) -> dict[str, str]:
        """Those of a request."""
        accept = "text/event-stream" if request.stream else "application/json"
        return {"content-type": "application/json", "accept": accept}

    def encode_error(self, failure: Failure, request_id: str) -> tuple[int, dict[str, str], bytes]:
        return errors.encode(failure, request_id)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        return errors.decode(status, headers, body)
