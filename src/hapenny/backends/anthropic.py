"""Anthropic's own API."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

import msgspec

from hapenny.backends.contract import Raw, outgoing
from hapenny.backends.fitting import Find, Fitting, restored
from hapenny.backends.http import exchange, passed, tiered, token_count
from hapenny.backends.kind import HttpOptions, Kind, keyed, pool
from hapenny.backends.passable import ANTHROPIC
from hapenny.backends.pool import Pool
from hapenny.backends.url import origin
from hapenny.core.answer import Source
from hapenny.core.clock import Clock
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Request
from hapenny.protocols.registry import codec

_COUNTED = frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"})


class AnthropicBackend:
    """A `Backend` over Anthropic's messages API.

    Args:
        name: as configured.
        pool: its connections.
        clock: the deployment's clock.
        base_url: without `/v1`, as for Anthropic's own client.
        api_key: sent as `x-api-key`.
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
        self._base = origin(base_url.rstrip("/").removesuffix("/v1"))
        self._codec = codec("anthropic")
        self._credentials = {"x-api-key": api_key} if api_key else {}
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
        """What is changed for Anthropic, and what its wire cannot say."""
        return self._fitting.notes(request, target, self._codec)

    async def count(self, request: Request, target: Target) -> int | None:
        """Prompt tokens by `/v1/messages/count_tokens`, free of charge."""
        request = self._fitting.look(request, target, self._codec).request
        wire = self._codec.encode_request(request, model=target.model)
        body = {name: value for name, value in msgspec.json.decode(wire.body).items() if name in _COUNTED}
        headers = wire.headers | self._credentials
        url = self._base.at("/v1/messages/count_tokens")
        async with asyncio.timeout(30):
            lease = await self.pool.send("POST", url, headers, msgspec.json.encode(body))
            answer = await lease.whole()
        if lease.status >= 400:
            raise self._codec.decode_error(lease.status, lease.headers, answer)
        return token_count(answer, "input_tokens")

    async def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, limits: Limits, region: str = ""
    ) -> Raw:
        """Passes a request through with our key."""
        sent = {"anthropic-version": "2023-06-01"} | outgoing(headers) | self._credentials
        return await passed(self.pool, self._clock, self._codec, method, self._base.at(path), sent, body, limits)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self.pool.aclose()


HOME = "https://api.anthropic.com"


class AnthropicOptions(HttpOptions, kw_only=True, tag="anthropic"):
    """Anthropic's own API."""


def _build(name: str, options: AnthropicOptions, clock: Clock, find: Find | None) -> AnthropicBackend:
    return AnthropicBackend(
        name, pool(clock, options), clock, *keyed(options, HOME, os.environ.get("ANTHROPIC_API_KEY")), find
    )


KIND = Kind(
    "anthropic",
    AnthropicOptions,
    _build,
    codec="anthropic",
    telemetry="anthropic",
    ways=ANTHROPIC,
    passes={"anthropic": 0},
    serves=("anthropic",),
    batch="anthropic",
)
