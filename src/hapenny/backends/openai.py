"""OpenAI, and every server that speaks its chat completions: vLLM, TGI, SageMaker, Bedrock's own endpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from hapenny.backends.contract import Raw, outgoing
from hapenny.backends.fitting import Find, Fitting, restored
from hapenny.backends.http import exchange, passed, tiered
from hapenny.backends.kind import HttpOptions, Kind, keyed, pool
from hapenny.backends.passable import OPENAI
from hapenny.backends.pool import Pool
from hapenny.backends.url import origin
from hapenny.core.answer import Source
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Request
from hapenny.protocols.codec import Codec
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
        responses: whether the server answers Responses; None: that is found out by the first request for them.
        streams: whether it streams; one that does not is asked for whole answers, which clients get as streams.
    """

    def __init__(
        self,
        name: str,
        pool: Pool,
        clock: Clock,
        base_url: str,
        api_key: str | None = None,
        find: Find | None = None,
        responses: bool | None = None,
        streams: bool = True,
    ) -> None:
        self.name = name
        self.pool = pool
        self._clock = clock
        self._base = origin(base_url)
        self._codec = codec("openai")
        self._own: dict[str, Codec] = {name: codec(name) for name in ("responses", "completions")}
        self._serves: dict[tuple[str, str], bool] = {}
        """Whether the server answers a further dialect, by dialect and model, as far as that is known."""
        self._responses = responses
        self._streams = streams
        self.bounded = True
        """Nothing is waited for but the answer, which has the call's limits (`backends.http.exchange`)."""
        self._credentials = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._fitting = Fitting(find)

    async def call(self, request: Request, target: Target, limits: Limits) -> Source:
        """Sends `request`; see `Backend.call`. `target.endpoint` replaces the base URL.

        What came as Responses or (older) completions goes on as it is, and loses nothing, where the server answers
        that: one that does not know the path, or not for this model, is asked by chat completions, from then on at
        once.
        """
        spoken = self._dialect(request, target)
        if spoken is self._codec:
            return await self._ask(request, target, limits, spoken)
        key = (spoken.name, target.model)
        try:
            source = await self._ask(request, target, limits, spoken)
        except Failure as failure:
            if failure.upstream_status not in _NO_SUCH_PATH or self._knows(*key):
                raise
            source = await self._ask(request, target, limits, self._codec)
            self._learn(key, False)  # it knows the model, so it was the path that it did not know
            return source
        self._learn(key, True)
        return source

    def _knows(self, dialect: str, model: str) -> bool | None:
        """Whether the server answers a dialect for a model; None: it was never asked."""
        known = self._serves.get((dialect, model))
        return known if known is not None or dialect != "responses" else self._responses

    def _learn(self, key: tuple[str, str], serves: bool) -> None:
        if len(self._serves) < _REMEMBERED:
            self._serves[key] = serves

    def _dialect(self, request: Request, target: Target) -> Codec:
        own = self._own.get(request.protocol)
        return self._codec if own is None or self._knows(own.name, target.model) is False else own

    async def _ask(self, request: Request, target: Target, limits: Limits, spoken: Codec) -> Source:
        if request.stream and not self._streams:
            request = replace(request, stream=False)
        fitted = self._fitting.take(request, target, spoken)
        wire = spoken.encode_request(tiered(fitted.request, target), model=target.model)
        wire.headers.update(self._credentials)
        url = (origin(target.endpoint) if target.endpoint else self._base).at(wire.path)
        source = await exchange(
            self.pool, self._clock, spoken, url, wire.headers, wire.body, fitted.request, target, limits
        )
        return restored(source, fitted.undo)

    def notes(self, request: Request, target: Target) -> list[str]:
        """What is changed for the server, and what its wire cannot say."""
        return self._fitting.notes(request, target, self._dialect(request, target))

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
        return await passed(self.pool, self._clock, self._codec, method, url, sent, body, limits)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self.pool.aclose()


HOME = "https://api.openai.com/v1"
_NO_SUCH_PATH = frozenset((404, 405, 501))
"""What servers answer at a path that they do not have."""
_REMEMBERED = 1_024


class OpenAIOptions(HttpOptions, kw_only=True, tag="openai"):
    """OpenAI, or any server that speaks its chat completions (vLLM, TGI, SageMaker, ...)."""

    responses: Annotated[
        bool | None,
        Meta(description="Whether it answers `/v1/responses` itself; null: OpenAI does, of others it is found out."),
    ] = None
    streams: Annotated[
        bool,
        Meta(
            description="Whether it streams; else it is asked for whole answers, which clients get as streams.",
        ),
    ] = True


def _build(name: str, options: OpenAIOptions, clock: Clock, find: Find | None) -> OpenAIBackend:
    base, key = keyed(options, HOME, os.environ.get("OPENAI_API_KEY"))
    serves = options.responses if options.responses is not None or base != HOME else True
    return OpenAIBackend(name, pool(clock, options), clock, base, key, find, serves, options.streams)


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
