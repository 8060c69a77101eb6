"""The dialects of the surface: in which a request is answered, and how its clients name a request."""

from __future__ import annotations

from typing import Literal, TypeAlias

from hapenny.protocols import sigv4
from hapenny.protocols.codec import Codec
from hapenny.protocols.registry import codec
from hapenny.server.transport.messages import Request

Dialect: TypeAlias = Literal["openai", "anthropic", "bedrock"]

ID_HEADER: dict[Dialect, str] = {
    "openai": "x-request-id",
    "anthropic": "request-id",
    "bedrock": "x-amzn-requestid",
}
"""Where the dialect's clients look for the id of a request, on good answers too."""


_BEDROCK = (
    "/model/", "/guardrail", "/foundation-model", "/inference-profiles", "/prompt-routers", "/model-invocation-job",
    "/rerank", "/retrieveAndGenerate", "/knowledgebases/", "/prompts/", "/flows/", "/agents/",
)  # fmt: skip
"""How paths begin that are Bedrock's alone."""


def codec_of(dialect: Dialect) -> Codec:
    """What writes the dialect's errors."""
    return codec(dialect)


def guess(request: Request) -> Dialect:
    """The dialect of a request whose path belongs to several or to none, by what its client says about itself."""
    headers = request.headers
    if "anthropic-version" in headers or "anthropic-beta" in headers:
        return "anthropic"
    if "x-amz-date" in headers or "x-amz-target" in headers or "amz-sdk-invocation-id" in headers:
        return "bedrock"
    path = request.path
    if not path.startswith(("/v1/", "/openai/", "/anthropic/")) and (
        path.startswith(_BEDROCK) or headers.get("authorization", "").startswith(sigv4.ALGORITHM)
    ):
        return "bedrock"
    return "anthropic" if "/messages" in path else "openai"
