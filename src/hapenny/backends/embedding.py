"""Embedding models behind an API: Titan, Nova and Cohere on Bedrock, any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from hapenny.backends.contract import Backend
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Limits, Target
from hapenny.protocols.gauge import Gauge
from hapenny.protocols.registry import codec
from hapenny.vectors.embedder import Vectors
from hapenny.vectors.remote import RemoteEmbedder, Style

_CHARACTERS_A_TOKEN = 4
"""Where a server reports no usage."""


async def post(
    backend: Backend, path: str, body: dict[str, Any], limits: Limits
) -> tuple[dict[str, Any], Tokens | None]:
    """The JSON answer to a JSON body that no codec writes, and the tokens it reports (None: none).

    Raises:
        Failure: what the provider said.
    """
    headers = {"content-type": "application/json", "accept": "application/json"}
    raw = await backend.forward("POST", path, headers, msgspec.json.encode(body), limits)
    pieces = []
    try:
        while (piece := await raw.body.read()) is not None:
            pieces.append(piece)
    finally:
        raw.body.close()
    data = b"".join(pieces)
    if raw.status >= 300:
        raise codec("bedrock" if path.startswith("/model/") else "openai").decode_error(raw.status, raw.headers, data)
    gauge = Gauge(raw.headers)
    gauge.feed(data)
    try:
        return msgspec.json.decode(data, type=dict[str, Any]), gauge.end()
    except (ValueError, RecursionError):
        raise Failure("upstream", "the provider's answer cannot be read") from None


class ApiEmbedder:
    """One embedding model.

    Args:
        backend: who serves it.
        target: the model as the books know it.
        dim: length of its vectors; 0: as long as the model makes them by itself.
        style: its dialect.
        kind: what the texts are, for models that ask (Cohere's input type).
    """

    def __init__(self, backend: Backend, target: Target, dim: int, style: Style, kind: str = "search_query") -> None:
        self.target = target
        self.dim = dim
        self._backend = backend
        self._style = style
        self._kind = kind

    @property
    def name(self) -> str:
        """As stored vectors name what made them."""
        return RemoteEmbedder(self.target.model, self.dim, self._style, _nobody, kind=self._kind).name

    @property
    def batches(self) -> bool:
        """Whether one call takes several texts."""
        return self._style not in ("titan", "nova")

    def guess(self, texts: Sequence[str]) -> Tokens:
        """About what the texts cost, where that is not reported."""
        return Tokens(input=sum(len(text) for text in texts) // _CHARACTERS_A_TOKEN + len(texts))

    async def embed(self, texts: Sequence[str], limits: Limits) -> tuple[Vectors, Tokens | None]:
        """Unit vectors, shape (n, dim), and the tokens that were billed; None: the server did not say.

        Raises:
            Failure: what the provider said.
        """
        counted: list[Tokens | None] = []

        async def send(model: str, body: dict[str, Any]) -> Any:
            path = "/v1/embeddings" if self._style == "openai" else f"/model/{quote(model, safe='')}/invoke"
            answer, tokens = await post(self._backend, path, body, limits)
            counted.append(tokens)
            return answer

        try:
            embedder = RemoteEmbedder(self.target.model, self.dim, self._style, send, kind=self._kind)
            rows = await embedder.embed(texts)
        except (ValueError, KeyError, TypeError) as error:  # vectors of another shape, or no vectors at all
            raise Failure("upstream", f"{self.target.model} answered with no vectors that fit: {error}") from None
        if any(each is None for each in counted):
            return rows, None
        return rows, Tokens(input=sum(each.input for each in counted if each is not None))


async def _nobody(model: str, body: dict[str, Any]) -> Any:
    raise Failure("internal", "nothing is sent by a name")
