"""Simulated embedding models: Titan, Nova and Cohere on InvokeModel, OpenAI's `/v1/embeddings`.

The vectors are hashed words (`vectors/hashed.py`), so near-identical texts are near; tokens are counted by the
provider's own tokenizer and billed.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from hapenny.catalog import Card, resolve
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.simulation.tokenizer import tokenizer
from hapenny.vectors.hashed import HashedEmbedder

if TYPE_CHECKING:
    from hapenny.simulation.provider import SimulatedProvider

SECONDS = 0.03
"""How long an embedding call takes; assumed."""
_DEFAULT_DIM = 1024
_T = TypeVar("_T")


class Titan(Struct):
    """A Titan body."""

    inputText: str
    dimensions: int | None = None


class NovaText(Struct):
    """The text of a Nova body."""

    value: str


class NovaParams(Struct):
    """What a Nova body asks for."""

    embeddingPurpose: str
    text: NovaText
    embeddingDimension: int | None = None


class Nova(Struct):
    """A Nova body."""

    taskType: Literal["SINGLE_EMBEDDING"]
    singleEmbeddingParams: NovaParams


class Cohere(Struct):
    """A Cohere body."""

    texts: list[str]
    input_type: str
    embedding_types: list[str] | None = None
    output_dimension: int | None = None


class OpenAI(Struct):
    """A body of `/v1/embeddings`."""

    model: str
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


async def embed(
    provider: SimulatedProvider, path: str, body: bytes, region: str
) -> tuple[Mapping[str, str], bytes] | None:
    """The headers and body of an answer; None where no embedding model is asked.

    Args:
        provider: whose clock, card and bill are used.
        path: of the request, raw.
        body: of the request.
        region: that is asked.

    Raises:
        Failure: `invalid_request` for a body the model would not take, `not_found` for a model that does not embed.
    """
    parts = path.partition("?")[0].split("/")
    if path.partition("?")[0] == "/v1/embeddings":
        asked = _read(body, OpenAI)
        card = _card(asked.model)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        vectors, tokens = await _vectors(provider, card, asked.model, texts, asked.dimensions, region)
        data = [
            {"object": "embedding", "index": number, "embedding": _form(row, asked.encoding_format)}
            for number, row in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {}, msgspec.json.encode({"object": "list", "data": data, "model": asked.model, "usage": usage})
    if len(parts) != 4 or parts[1] != "model" or parts[3] != "invoke":
        return None
    name = unquote(parts[2])
    model = resolve(name)
    if model is None or model.kind != "embedding":
        return None
    counted: dict[str, Any]
    if model.family == "titan":
        one = _read(body, Titan)
        vectors, tokens = await _vectors(provider, model, name, [one.inputText], one.dimensions, region)
        counted = {"embedding": vectors[0].tolist(), "inputTextTokenCount": tokens}
    elif model.family == "nova":
        asked_of = _read(body, Nova).singleEmbeddingParams
        vectors, tokens = await _vectors(
            provider, model, name, [asked_of.text.value], asked_of.embeddingDimension, region
        )
        counted = {"embeddings": [{"embeddingType": "TEXT", "embedding": vectors[0].tolist()}]}
    else:
        many = _read(body, Cohere)
        vectors, tokens = await _vectors(provider, model, name, many.texts, many.output_dimension, region)
        rows = vectors.tolist()
        typed = many.embedding_types is not None
        counted = {
            "id": provider.clock.new_id("emb_"),
            "embeddings": {"float": rows} if typed else rows,
            "texts": many.texts,
            "response_type": "embeddings_by_type" if typed else "embeddings_floats",
        }
    return {"x-amzn-bedrock-input-token-count": str(tokens)}, msgspec.json.encode(counted)


async def _vectors(
    provider: SimulatedProvider, card: Card, called: str, texts: list[str], dim: int | None, region: str
) -> tuple[Any, int]:
    if not texts or not all(texts):
        raise _wrong("there is no text to embed", "input", "send at least one text, none empty")
    vocabulary = tokenizer(card.tokenizer)
    tokens = sum(vocabulary.count(text) for text in texts)
    await provider.clock.sleep(SECONDS)
    provider.bill.add(
        id=provider.clock.new_id("emb_sim_"), model=card.id, called=called, region=region, service_tier="standard",
        tokens=Tokens(input=tokens), outcome="complete", at=provider.clock.wall(),
    )  # fmt: skip
    return HashedEmbedder(dim or card.dimensions or _DEFAULT_DIM).encode(texts), tokens


def _card(name: str) -> Card:
    card = resolve(name)
    if card is None or card.kind != "embedding":
        raise Failure(
            "not_found",
            f"{name!r} is no embedding model that is simulated",
            field="model",
            fix="ask for one of the catalog, such as text-embedding-3-small",
            upstream_status=404,
        )
    return card


def _form(row: Any, encoding: str) -> Any:
    return base64.b64encode(row.astype("<f4").tobytes()).decode() if encoding == "base64" else row.tolist()


def _read(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise _wrong(str(error), "body", "send the body this model documents") from None


def _wrong(said: str, field: str, fix: str) -> Failure:
    return Failure(
        "invalid_request", said, field=field, fix=fix, upstream_status=400, upstream_type="ValidationException"
    )
