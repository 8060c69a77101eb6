"""Bedrock's own OpenAI-compatible endpoints: chat completions on the runtime or on `bedrock-mantle`, with their quotas.

Hosts, paths and signing names as documented under "Endpoints supported by Amazon Bedrock". Ids of the catalog's
`bedrock_mantle/…` cards are sent without that prefix: it tells price lists and quotas apart, which the two endpoints do
not share.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from hapenny.backends.bedrock_planes import MANTLE, RUNTIME
from hapenny.backends.contract import Raw, outgoing
from hapenny.backends.credentials import Signing
from hapenny.backends.fitting import Find, Fitting, restored
from hapenny.backends.http import exchange, passed, tiered
from hapenny.backends.kind import AwsOptions, Kind, pool
from hapenny.backends.passable import OPENAI
from hapenny.backends.pool import Pool
from hapenny.backends.signing import Signer
from hapenny.backends.url import Origin, origin
from hapenny.core.answer import Source
from hapenny.core.clock import Clock
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Request
from hapenny.protocols.registry import codec

PREFIX = "bedrock_mantle/"


class BedrockOpenAIBackend:
    """A `Backend` over one of the two endpoints.

    Args:
        name: as configured.
        pool: its connections.
        clock: the deployment's clock.
        region: where a target names none.
        signer: lets requests in.
        mantle: whether it is `bedrock-mantle`, else the runtime.
        base_url: instead of the regional address, with the path before `/chat/completions`.
        find: the card of a model; the package's catalog unless given.
    """

    def __init__(
        self, name: str, pool: Pool, clock: Clock, region: str, signer: Signer, mantle: bool,
        base_url: str | None = None, find: Find | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.pool = pool
        self._clock = clock
        self._region = region
        self._signer = signer
        self._plane = MANTLE if mantle else RUNTIME
        self._path = "/v1" if mantle else "/openai/v1"
        self._base = origin(base_url) if base_url else None
        self._codec = codec("openai")
        self._fitting = Fitting(find)

    async def call(self, request: Request, target: Target, limits: Limits) -> Source:
        """Sends `request`; see `Backend.call`."""
        fitted = self._fitting.take(request, target, self._codec)
        wire = self._codec.encode_request(tiered(fitted.request, target), model=target.model.removeprefix(PREFIX))
        region = target.region or self._region
        url = (origin(target.endpoint) if target.endpoint else self._at(region)).at(wire.path)
        headers = await self._signer.signed("POST", url, wire.headers, wire.body, region, self._plane.service)
        source = await exchange(
            self.pool, self._clock, self._codec, url, headers, wire.body, fitted.request, target, limits
        )
        return restored(source, fitted.undo)

    def notes(self, request: Request, target: Target) -> list[str]:
        """What is changed for the endpoint, and what its wire cannot say."""
        return self._fitting.notes(request, target, self._codec)

    async def count(self, request: Request, target: Target) -> int | None:
        """There is no counting service for chat completions."""
        return None

    async def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, limits: Limits, region: str = ""
    ) -> Raw:
        """Passes a request of OpenAI's surface through, signed anew."""
        place = region or self._region
        url = self._at(place).at(path.removeprefix("/openai").removeprefix("/v1"))
        sent = await self._signer.signed(method, url, outgoing(headers), body, place, self._plane.service)
        return await passed(self.pool, self._clock, self._codec, method, url, sent, body, limits)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self.pool.aclose()
        await self._signer.aclose()

    def _at(self, region: str) -> Origin:
        return self._base or origin(self._plane.url(region) + self._path)


class BedrockOpenAIOptions(AwsOptions, kw_only=True, tag="bedrock_openai"):
    """Bedrock's OpenAI-compatible endpoints, which have quotas of their own."""

    service: Annotated[
        Literal["mantle", "runtime"],
        Meta(
            description="Which: `mantle` (bedrock-mantle.REGION.api.aws) or `runtime` (bedrock-runtime, `/openai/v1`).",
        ),
    ] = "mantle"


def _build(name: str, options: BedrockOpenAIOptions, clock: Clock, find: Find | None) -> BedrockOpenAIBackend:
    from hapenny.backends.credential_chain import chain

    bearer = options.api_key or (None if options.profile else os.environ.get("AWS_BEARER_TOKEN_BEDROCK"))
    credentials: Signing | None = None
    if not bearer:
        credentials = chain(clock, profile=options.profile, region=options.region)
    return BedrockOpenAIBackend(
        name, pool(clock, options), clock, options.region, Signer(clock, credentials, bearer or None),
        options.service == "mantle", options.base_url, find,
    )  # fmt: skip


KIND = Kind(
    "bedrock_openai",
    BedrockOpenAIOptions,
    _build,
    codec="openai",
    telemetry="aws.bedrock",
    ways=OPENAI,
    passes={"openai-prefix": 1, "openai": 1},
    serves=("bedrock_mantle",),
    regional=True,
)
