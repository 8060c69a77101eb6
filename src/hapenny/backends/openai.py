"""OpenAI, and every server that speaks its chat completions: vLLM, TGI, SageMaker, Bedrock's own endpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hapenny.backends.contract import Raw, outgoing
from hapenny.backends.fitting import Find, Fitting, restored
from hapenny.backends.http import exchange, passed, tiered
from hapenny.backends.kind import HttpOptions, Kind, keyed, pool
from hapenny.backends.passable import OPENAI
from hapenny.backends.pool import Pool
from hapenny.backends.url import origin
from hapenny.core.answer import Source
from hapenny.core.clock import Clock
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Request
from hapenny.protocols.registry import codec
from hapenny.vectors.remote import Style


class OpenAIBackend:
    """A `Backend` over an OpenAI-compatible server.

    Args:
        name: as configured.
        pool: its connections.
        clock: the deployment's clock.
        base_url: up to and with `/v1`, as for OpenAI's own client.
        api_key: sent as a bearer token; None for servers that want none.
        find: the card of a model; the package's catalog unless given.
    """

    def __init__(
        self,
        name: str,
        pool: Pool,
        clock: Clock,
        base_url: str,
        api_key: str | None = None,
        find: Find | None = None,
    ) -> None:
        self.name = name
        self.pool = pool
        self._clock = clock
        self._base = origin(base_url)
        self._codec = codec("openai")
        self._credentials = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._fitting = Fitting(find)

    async def call(self, request: Request, target: Target, limits: Limits) -> Source:
        """Sends `request`; see `Backend.call`. `target.endpoint` replaces the base URL."""
        fitted = self._fitting.take(request, target, self._codec)
        wire = self._codec.encode_request(tiered(fitted.request, target), model=target.model)
        wire.headers.update(self._credentials)
        url = (origin(target.endpoint) if target.endpoint else self._base).at(wire.path)
        source = await exchange(
            self.pool, self._clock, self._codec, url, wire.headers, wire.body, fitted.request, target, limits
        )
        return restored(source, fitted.undo)

    def notes(self, request: Request, target: Target) -> list[str]:
        """What is changed for the server, and what its wire cannot say."""
        return self._fitting.notes(request, target, self._codec)

    async def count(self, request: Request, target: Target) -> int | None:
        """There is no counting service for chat completions."""
        return None

    async def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, limits: Limits, region: str = ""
    ) -> Raw:
        """Passes a request through with our key; a `/v1` that base and path share is written once."""
        shared = path.startswith("/v1/") and self._base.base.endswith("/v1")
        url = self._base.at(path[3:] if shared else path)
        sent = outgoing(headers) | self._credentials
        return await passed(self.pool, self._clock, method, url, sent, body, limits)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self.pool.aclose()


HOME = "https://api.openai.com/v1"


class OpenAIOptions(HttpOptions, kw_only=True, tag="openai"):
    """OpenAI, or any server that speaks its chat completions (vLLM, TGI, SageMaker, ...)."""


def _build(name: str, options: OpenAIOptions, clock: Clock, find: Find | None) -> OpenAIBackend:
    return OpenAIBackend(
        name, pool(clock, options), clock, *keyed(options, HOME, os.environ.get("OPENAI_API_KEY")), find
    )


def _style(model: str) -> Style:
    return "openai"


KIND = Kind(
    "openai",
    OpenAIOptions,
    _build,
    codec="openai",
    telemetry="openai",
    ways=OPENAI,
    passes={"openai-prefix": 0, "openai": 0},
    batch="openai",
    embeds=_style,
    serves=("openai",),
    files=True,
)
