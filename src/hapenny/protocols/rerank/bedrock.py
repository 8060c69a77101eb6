"""Rerank of bedrock-agent-runtime: `POST /rerank`, one question, up to 1,000 passages."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hapenny.core.errors import Failure
from hapenny.core.reranking import Reranked, RerankRequest, estimated
from hapenny.protocols.bedrock import errors
from hapenny.protocols.codec import Wire
from hapenny.protocols.rerank.scores import ordered, parsed

_LONGEST = 32_000


class BedrockRerank:
    """`region` completes a model id to its ARN; an ARN stays as it is."""

    def __init__(self, region: str) -> None:
        self._region = region

    def encode(self, request: RerankRequest) -> Wire:
        """All passages are asked for, so that every one gets a score. Texts are cut at the service's 32,000."""
        sources = [
            {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": _text(document)}}}
            for document in request.documents
        ]
        body = {
            "queries": [{"type": "TEXT", "textQuery": {"text": _text(request.query)}}],
            "sources": sources,
            "rerankingConfiguration": {
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {
                    "modelConfiguration": {"modelArn": self.arn(request.model)},
                    "numberOfResults": len(sources),
                },
            },
        }
        headers = {"content-type": "application/json", "accept": "application/json"}
        return Wire("/rerank", headers, msgspec.json.encode(body))

    def decode(self, body: bytes, request: RerankRequest) -> Reranked:
        """The service reports no usage: what is billed is estimated."""
        answer = parsed(body)
        results = answer.get("results") if isinstance(answer, dict) else None
        scores = ordered(results, "relevanceScore", len(request.documents))
        return Reranked(scores=scores, tokens=estimated(request), reported=False)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """As the runtime's errors; here a model that is not ready answers 424."""
        return errors.decode(status, headers, body)

    def arn(self, model: str) -> str:
        """The ARN of a foundation model in this region's partition."""
        if model.startswith("arn:"):
            return model
        partition = next((f"aws-{part}" for part in ("us-gov", "cn") if self._region.startswith(part + "-")), "aws")
        return f"arn:{partition}:bedrock:{self._region}::foundation-model/{model}"


def _text(text: str) -> str:
    # An empty text is refused.
    return text[:_LONGEST] or " "
