"""Amazon Bedrock: the runtime's Converse and InvokeModel, signed by hand or with a bearer key; other planes pass."""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import Meta, field

from hapenny.backends import bedrock_planes as planes
from hapenny.backends.contract import Raw, outgoing
from hapenny.backends.credentials import Signing, for_call
from hapenny.backends.fitting import Find, Fitting, restored
from hapenny.backends.http import exchange, passed, tiered, token_count
from hapenny.backends.kind import AwsOptions, Kind, bedrock_style, pool
from hapenny.backends.passable import BEDROCK
from hapenny.backends.pool import Pool
from hapenny.backends.url import Origin, Url, origin
from hapenny.catalog import base_id
from hapenny.core.answer import Source
from hapenny.core.clock import Clock
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Request
from hapenny.protocols.codec import Codec, Wire
from hapenny.protocols.registry import codec
from hapenny.protocols.sigv4 import canonical_query, sign

_COUNTED = frozenset({"messages", "system", "toolConfig", "additionalModelRequestFields"})


class BedrockBackend:
    """A `Backend` over the Bedrock runtime of one account, in any region.

    Args:
        name: as configured.
        pool: its connections.
        clock: the deployment's clock; its wall time signs.
        region: where a target names none.
        credentials: for signatures; or
        bearer: a Bedrock API key, which needs none.
        base_url: instead of the regional endpoint (a VPC endpoint, a simulator).
        plane_urls: the same for the other planes, by `bedrock_planes.Plane.name`.
        find: the card of a model; the package's catalog unless given.
    """

    def __init__(
        self,
        name: str,
        pool: Pool,
        clock: Clock,
        region: str,
        *,
        credentials: Signing | None = None,
        bearer: str | None = None,
        base_url: str | None = None,
        plane_urls: Mapping[str, str] | None = None,
        find: Find | None = None,
    ) -> None:
        if (credentials is None) == (bearer is None):
            raise ValueError("api_key: Bedrock needs either a bearer key or credentials")
        self.name = name
        self.pool = pool
        self._clock = clock
        self._region = region
        self._credentials = credentials
        self._bearer = bearer
        self._base = origin(base_url) if base_url else None
        self._planes = dict(plane_urls or {})
        self._converse = codec("bedrock")
        self._invoke = codec("invoke")
        self._fitting = Fitting(find)

    async def call(self, request: Request, target: Target, limits: Limits) -> Source:
        """Sends `request`; see `Backend.call`. `target.region` and `target.endpoint` choose where.

        Claude is called by InvokeModel when the request came in Anthropic's dialect, so that nothing of it is lost;
        everything else goes through Converse.
        """
        chosen = self._dialect(request, target.model)
        fitted = self._fitting.take(request, target, chosen)
        request = tiered(fitted.request, target)
        wire = chosen.encode_request(request, model=target.model)
        url = self._endpoint(target).at(wire.path)
        headers = await self._signed("POST", url, wire.headers, wire.body, target.region)
        source = await exchange(self.pool, self._clock, chosen, url, headers, wire.body, request, target, limits)
        return restored(source, fitted.undo)

    def notes(self, request: Request, target: Target) -> list[str]:
        """What is changed for Bedrock, and what its wire cannot say."""
        return self._fitting.notes(request, target, self._dialect(request, target.model))

    async def count(self, request: Request, target: Target) -> int | None:
        """Prompt tokens by CountTokens, free of charge; None where the model is not served by it."""
        chosen = self._dialect(request, target.model)
        request = self._fitting.look(request, target, chosen).request
        wire = chosen.encode_request(msgspec.structs.replace(request, stream=False), model=target.model)
        if chosen is self._invoke:
            counted: dict[str, Any] = {"invokeModel": {"body": base64.b64encode(wire.body).decode()}}
        else:
            fields = msgspec.json.decode(wire.body)
            counted = {"converse": {name: value for name, value in fields.items() if name in _COUNTED}}
        asked = Wire(
            f"/model/{quote(base_id(target.model), safe='')}/count-tokens",
            {"content-type": "application/json", "accept": "application/json"},
            msgspec.json.encode({"input": counted}),
        )
        url = self._endpoint(target).at(asked.path)
        headers = await self._signed("POST", url, asked.headers, asked.body, target.region)
        async with asyncio.timeout(30):
            lease = await self.pool.send("POST", url, headers, asked.body)
            answer = await lease.whole()
        if lease.status in (400, 404):
            return None
        if lease.status >= 400:
            raise self._converse.decode_error(lease.status, lease.headers, answer)
        return token_count(answer, "inputTokens")

    async def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, limits: Limits, region: str = ""
    ) -> Raw:
        """Passes a request through to the plane that answers its path, signed anew; `path` is sent and signed as it
        came."""
        plane = planes.plane(path)
        where = self._plane_url(plane, region or self._region)
        url = origin(where).at(path) if where else self._endpoint(None).at(path)
        sent = await self._signed(method, url, outgoing(headers), body, region, plane.service)
        return await passed(self.pool, self._clock, self._converse, method, url, sent, body, limits)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self.pool.aclose()
        if self._credentials is not None:
            await self._credentials.aclose()

    def _dialect(self, request: Request, model: str) -> Codec:
        if request.protocol == "invoke":
            return self._invoke
        native = request.protocol == "anthropic" and ("anthropic." in model or "claude" in model)
        return self._invoke if native else self._converse

    def _endpoint(self, target: Target | None) -> Origin:
        if target is not None and target.endpoint:
            return origin(target.endpoint)
        if self._base is not None:
            return self._base
        region = (target.region if target is not None else "") or self._region
        return origin(f"https://bedrock-runtime.{region}.amazonaws.com")

    def _plane_url(self, plane: planes.Plane, region: str) -> str:
        """Where a plane is asked: at its own configured address; at `base_url`, where that is not an address of the
        runtime alone; else in the region."""
        own = self._planes.get(plane.name)
        if own:
            return own
        base = self._base
        if base is not None and (plane is planes.RUNTIME or not base.host.endswith(_AWS)):
            return ""
        return plane.url(region)

    async def _signed(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        body: bytes,
        region: str,
        service: str = "bedrock",
    ) -> Mapping[str, str]:
        if self._bearer is not None:
            return {**headers, "authorization": f"Bearer {self._bearer}"}
        assert self._credentials is not None
        credentials = await for_call(self._credentials)
        added = sign(
            method,
            url.origin.authority,
            url.path,
            headers,
            body,
            credentials=credentials,
            region=region or self._region,
            now=self._clock.wall(),
            query=canonical_query(url.query),
            service=service,
        )
        return {**headers, **added}


_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
"""Hosts of AWS itself: each answers one plane."""
_REGION = re.compile(r"[a-z]{2,6}(-[a-z]{2,12}){1,3}-[0-9]{1,2}")


class BedrockOptions(AwsOptions, kw_only=True, tag="bedrock"):
    """Amazon Bedrock, with an account's credentials or a bearer key."""

    plane_urls: Annotated[
        dict[str, str],
        Meta(
            description="Addresses of Bedrock's other planes where they are not the region's (VPC endpoints): "
            "`bedrock`, `bedrock-agent-runtime`, `bedrock-agent`, `bedrock-mantle`. "
            "AWS_ENDPOINT_URL_BEDROCK and the like are read, too.",
        ),
    ] = field(default_factory=dict)
    knowledge_bases: Annotated[
        dict[str, list[str]],
        Meta(
            description="Knowledge bases that may be asked through the gateway (Retrieve, RetrieveAndGenerate): "
            "id to the tenants who may, `*` for all. Where no keys are configured, all may.",
        ),
    ] = field(default_factory=dict)

    def problems(self) -> list[tuple[str, str]]:
        """What is wrong with the values."""
        wrong = super().problems()
        if not _REGION.fullmatch(self.region):
            wrong.append(("region", f"{self.region!r} is no AWS region. Fix: e.g. eu-west-1"))
        known = [plane.name for plane in planes.PLANES]
        for name, url in self.plane_urls.items():
            if name not in known:
                wrong.append((f"plane_urls.{name}", f"no such plane. Fix: one of {', '.join(known)}"))
            elif not url.startswith(("http://", "https://")):
                wrong.append((f"plane_urls.{name}", f"{url!r} is no address. Fix: https://…"))
        return wrong

    def shares(self, collection: str, tenant: str) -> bool:
        """Whether a tenant may ask a knowledge base."""
        tenants = self.knowledge_bases.get(collection, ())
        return "*" in tenants or tenant in tenants


def _build(name: str, options: BedrockOptions, clock: Clock, find: Find | None) -> BedrockBackend:
    from hapenny.backends.credential_chain import chain

    base = options.base_url or os.environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
    bearer = options.api_key or (None if options.profile else os.environ.get("AWS_BEARER_TOKEN_BEDROCK"))
    variables = {plane.name: f"AWS_ENDPOINT_URL_{plane.name.replace('-', '_').upper()}" for plane in planes.PLANES}
    named = {plane: os.environ[variable] for plane, variable in variables.items() if os.environ.get(variable)}
    named.pop(planes.RUNTIME.name, None)
    return BedrockBackend(
        name,
        pool(clock, options),
        clock,
        options.region,
        credentials=None if bearer else chain(clock, profile=options.profile, region=options.region),
        bearer=bearer,
        base_url=base,
        plane_urls=named | options.plane_urls,
        find=find,
    )


KIND = Kind(
    "bedrock",
    BedrockOptions,
    _build,
    codec="bedrock",
    telemetry="aws.bedrock",
    ways=BEDROCK,
    passes={"model": 0, "openai-prefix": 2, "other": 0},
    own_records=("bedrock", "invoke"),
    batch="bedrock",
    batch_wants={
        "bucket": "the name of an S3 bucket for input and output",
        "role": "the ARN of the role that Bedrock takes to read and write the bucket",
    },
    embeds=bedrock_style,
    serves=("bedrock",),
    regional=True,
)
