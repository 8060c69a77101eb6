"""Reranking models as backends: one paid call, nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from hapenny.backends.credentials import Signing, for_call
from hapenny.backends.http import ERROR_BYTES
from hapenny.backends.pool import CONTROL_CONNECTIONS, Lease, Pool
from hapenny.backends.url import Url, origin
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.core.reranking import Reranked, RerankRequest
from hapenny.protocols.rerank import MOST_DOCUMENTS, BedrockRerank, DocumentsRerank, RerankCodec, TextsRerank
from hapenny.protocols.sigv4 import sign


class Reranker:
    """One reranking model.

    Args:
        target: the model as the books know it.
        pool: its connections.
        clock: the deployment's clock; its wall time signs.
        codec: the dialect.
        base: URL before `/rerank`.
        key: sent as a bearer token.
        credentials: sign instead, for `region`.
    """

    def __init__(
        self,
        target: Target,
        pool: Pool,
        clock: Clock,
        codec: RerankCodec,
        base: str,
        *,
        key: str | None = None,
        credentials: Signing | None = None,
    ) -> None:
        self.target = target
        self._pool = pool
        self._clock = clock
        self._codec = codec
        self._base = origin(base)
        self._key = key
        self._credentials = credentials

    async def rerank(self, request: RerankRequest, until: float) -> Reranked:
        """Scores of all passages by `until` (`clock.now()` seconds).

        Raises:
            Failure: what the provider said, `timeout`, or `invalid_request` for no or too many passages.
        """
        if not 0 < len(request.documents) <= MOST_DOCUMENTS:
            raise Failure(
                "invalid_request",
                f"{len(request.documents)} passages to rerank",
                field="documents",
                fix=f"1 to {MOST_DOCUMENTS}",
            )
        wire = self._codec.encode(request)
        lease: Lease | None = None
        try:
            async with asyncio.timeout(max(0.0, until - self._clock.now())):
                url = self._base.at(wire.path)
                headers = await self._signed(url, wire.headers, wire.body)
                lease = await self._pool.send("POST", url, headers, wire.body)
                if lease.status >= 400:
                    answer = await lease.beginning(ERROR_BYTES)
                    raise self._codec.decode_error(lease.status, lease.headers, answer)
                return self._codec.decode(await lease.whole(), request)
        except TimeoutError:
            raise Failure("timeout", "the reranker did not answer in time") from None
        finally:
            if lease is not None:
                lease.close()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()
        if self._credentials is not None:
            await self._credentials.aclose()

    async def _signed(self, url: Url, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        if self._credentials is None:
            return {**headers, **({"authorization": f"Bearer {self._key}"} if self._key else {})}
        added = sign(
            "POST",
            url.origin.authority,
            url.path,
            headers,
            body,
            credentials=await for_call(self._credentials),
            region=self.target.region,
            now=self._clock.wall(),
        )
        return {**headers, **added}


def build_reranker(name: str, options: Any, clock: Clock) -> Reranker:
    """The reranker `name` as configured: `kind`, `model`, `region`, `profile`, `base_url`, `api_key`, `owned`,
    `hourly_usd`."""
    tier = "owned" if options.owned or options.hourly_usd is not None else "standard"
    pool = Pool(clock, connections=CONTROL_CONNECTIONS, connect_s=options.connect_s, name=f"rerank {name}")
    if options.kind == "bedrock":
        from hapenny.backends.credential_chain import chain

        base = options.base_url or os.environ.get("AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME")
        return Reranker(
            Target(options.model, name, options.region, tier),
            pool,
            clock,
            BedrockRerank(options.region),
            base or f"https://bedrock-agent-runtime.{options.region}.amazonaws.com",
            credentials=chain(clock, profile=options.profile, region=options.region),
        )
    codec = TextsRerank() if options.kind == "tei" else DocumentsRerank()
    return Reranker(Target(options.model, name, "", tier), pool, clock, codec, options.base_url, key=options.api_key)
