"""Embedders behind an API, batched: bodies and answers of Bedrock Titan, Nova and Cohere and of OpenAI-like servers.

Sans-IO: `send` posts a body to the model and returns the answer's JSON; the gateway gives it and books the call.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from hapenny.vectors.embedder import Vectors, unit

Style: TypeAlias = Literal["titan", "nova", "cohere", "openai"]
Send: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""(model id, body) -> decoded JSON answer."""

_MOST = {"titan": 1, "nova": 1, "cohere": 96, "openai": 2_048}
"""Texts in one call."""
_MOST_CHARACTERS = 200_000


class RemoteEmbedder:
    """Splits texts into as few calls as the API allows, at most `parallel` at once."""

    def __init__(
        self, model: str, dim: int, style: Style, send: Send, *, kind: str = "search_query", parallel: int = 8
    ) -> None:
        """`kind` is Cohere's input type: `search_query`, `search_document`, `clustering` or `classification`. `dim` 0:
        as long as the model makes them by itself."""
        self._model, self._dim, self._style, self._send, self._kind = model, dim, style, send, kind
        self._parallel = parallel

    @property
    def name(self) -> str:
        """Model, size and, where it changes the vectors, the kind of input."""
        return f"{self._model}/{self._dim}" + (f"/{self._kind}" if self._style == "cohere" else "")

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._dim

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (n, dim). ValueError if an answer has another shape."""
        if not texts:
            return np.zeros((0, self._dim), dtype=np.float32)
        gate = asyncio.Semaphore(self._parallel)

        async def one(part: Sequence[str]) -> Vectors:
            async with gate:
                answer = await self._send(self._model, body(self._style, self._model, part, self._dim, self._kind))
            rows = vectors(self._style, answer)
            if rows.shape != (len(part), self._dim or rows.shape[-1]):
                raise ValueError(f"{self._model}: vectors of shape {rows.shape}, expected {(len(part), self._dim)}")
            return rows

        return unit(np.concatenate(await asyncio.gather(*(one(part) for part in batches(self._style, texts)))))


def batches(style: Style, texts: Sequence[str]) -> list[list[str]]:
    """The texts of each call, in order: bounded in count and in characters."""
    out: list[list[str]] = [[]]
    characters = 0
    for text in texts:
        if out[-1] and (len(out[-1]) == _MOST[style] or characters + len(text) > _MOST_CHARACTERS):
            out.append([])
            characters = 0
        out[-1].append(text)
        characters += len(text)
    return out


def body(style: Style, model: str, texts: Sequence[str], dim: int, kind: str) -> dict[str, Any]:
    """The request body. No API takes an empty text: a space stands for it."""
    filled = [text or " " for text in texts]
    if style == "titan":
        return {"inputText": filled[0], **(_titan_size(model, dim) if dim else {})}
    if style == "nova":
        purpose = {"search_query": "GENERIC_RETRIEVAL", "search_document": "GENERIC_INDEX"}.get(kind, kind.upper())
        asked: dict[str, Any] = {"embeddingPurpose": purpose, "text": {"truncationMode": "END", "value": filled[0]}}
        if dim:
            asked["embeddingDimension"] = dim
        return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": asked}
    if style == "cohere":
        asked = {"texts": filled, "input_type": kind, "truncate": "END", "embedding_types": ["float"]}
        return {**asked, "output_dimension": dim} if dim and sizes(style, model) else asked
    return {"model": model, "input": filled, "encoding_format": "base64"}


def _titan_size(model: str, dim: int) -> dict[str, Any]:
    if "image" in model:
        return {"embeddingConfig": {"outputEmbeddingLength": dim}}
    return {"dimensions": dim, "normalize": True} if sizes("titan", model) else {}


def sizes(style: Style, model: str) -> bool:
    """Whether a model makes vectors of another length than its own when asked: Titan from version 2 on, Cohere from 4
    on (docs.aws.amazon.com/bedrock: model parameters, read 2026-10)."""
    if style == "titan":
        return "embed-text-v1" not in model and "g1" not in model
    return style != "cohere" or "v3" not in model


def vectors(style: Style, answer: Any) -> Vectors:
    """The rows of an answer, in the order of the texts."""
    if style == "titan":
        return np.array([answer["embedding"]], dtype=np.float32)
    if style == "nova":
        return np.array([each["embedding"] for each in answer["embeddings"]], dtype=np.float32)
    if style == "cohere":
        given = answer["embeddings"]
        return np.array(given["float"] if isinstance(given, dict) else given, dtype=np.float32)
    ordered = sorted(answer["data"], key=lambda item: int(item["index"]))
    rows = [item["embedding"] for item in ordered]
    return np.stack(
        [
            np.frombuffer(base64.b64decode(row), dtype="<f4") if isinstance(row, str) else np.array(row, np.float32)
            for row in rows
        ]
    )
