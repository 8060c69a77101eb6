"""What a reranking model is asked and what it answers, whoever serves it."""

from __future__ import annotations

from msgspec import Struct

from hapenny.core.events import Tokens

CHUNKS_A_QUERY = 100
"""Chunks that one billed query may hold (Bedrock's and Cohere's unit)."""
TOKENS_A_CHUNK = 512
"""Tokens of a chunk, the question's among them."""
CHARACTERS_A_TOKEN = 4


class RerankRequest(Struct, frozen=True, kw_only=True):
    """A question and the passages to score against it."""

    model: str
    query: str
    documents: tuple[str, ...]


class Reranked(Struct, frozen=True, kw_only=True):
    """A score for each passage, in the order asked; higher is better, their scale is the model's own."""

    scores: tuple[float, ...]
    tokens: Tokens
    """What is billed: tokens, or queries."""
    reported: bool
    """Whether the provider said so; otherwise it is an estimate."""


def units(request: RerankRequest) -> int:
    """Queries a provider bills for `request`: one for every 100 chunks of 512 tokens, estimated by length."""
    question = len(request.query) / CHARACTERS_A_TOKEN
    each = (question + len(text) / CHARACTERS_A_TOKEN for text in request.documents)
    chunks = sum(max(1, -(-int(tokens) // TOKENS_A_CHUNK)) for tokens in each)
    return max(1, -(-chunks // CHUNKS_A_QUERY))


def estimated(request: RerankRequest) -> Tokens:
    """What a call used that reported nothing, by length: its queries, and its tokens for models billed by those."""
    question, texts = len(request.query), sum(len(text) for text in request.documents)
    tokens = (question * len(request.documents) + texts) // CHARACTERS_A_TOKEN
    return Tokens(input=max(1, tokens), queries=units(request))
