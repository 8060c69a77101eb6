"""Dialects of reranking, near the provider only: Bedrock's Rerank, and servers that answer `POST …/rerank`.

Two families of servers: those that take `documents` and a model's name (Cohere v2, Jina, vLLM, and what is made to be
compatible), and Hugging Face's text-embeddings-inference, which takes `texts` and serves one model. Source: their
API references, and botocore's model of bedrock-agent-runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hapenny.core.errors import Failure
from hapenny.core.reranking import Reranked, RerankRequest
from hapenny.protocols.codec import Wire
from hapenny.protocols.rerank.bedrock import BedrockRerank
from hapenny.protocols.rerank.servers import DocumentsRerank, TextsRerank

MOST_DOCUMENTS = 1000
"""Passages of one call: Bedrock's limit, and more than any server should be given at once."""


class RerankCodec(Protocol):
    """Requests out, answers in. No I/O."""

    def encode(self, request: RerankRequest) -> Wire:
        """The call; its path is relative to the provider's base URL."""

    def decode(self, body: bytes, request: RerankRequest) -> Reranked:
        """The answer to `request`. Raises `Failure("upstream")` for one that is not an answer to it."""

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """The failure behind an error answer (header names in lower case)."""


__all__ = ["MOST_DOCUMENTS", "BedrockRerank", "DocumentsRerank", "RerankCodec", "TextsRerank"]
