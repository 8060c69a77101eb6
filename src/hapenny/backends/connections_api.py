"""API Gateway's connections API: posts a message to a client of a WebSocket API, signed for `execute-api`."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from hapenny.backends.credentials import Signing, for_call
from hapenny.backends.http import ERROR_BYTES
from hapenny.backends.pool import Pool
from hapenny.backends.url import Origin, origin
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.protocols.sigv4 import sign

PATIENCE_S = 10.0
"""How long one post may take."""
TRIES = 3
"""Posts of a message that is throttled."""


class Gone(Exception):
    """The client has left (410 GoneException)."""


class ConnectionsApi:
    """The connections of one stage of a WebSocket API.

    Args:
        base: its address, with the stage.
        region: for which requests are signed.
        credentials: that sign; None: nothing is signed (a simulator).
        pool: its connections.
        clock: the deployment's clock.
    """

    def __init__(self, base: Origin, region: str, credentials: Signing | None, pool: Pool, clock: Clock) -> None:
        self._base = base
        self._region = region
        self._credentials = credentials
        self._pool = pool
        self._clock = clock

    @classmethod
    def of(cls, url: str, region: str, profile: str | None, clock: Clock) -> ConnectionsApi:
        """As configured: the credentials are those of the process, or of a profile."""
        from hapenny.backends.credential_chain import chain

        return cls(origin(url), region, chain(clock, profile=profile, region=region), Pool.control(clock), clock)

    async def post(self, id: str, data: bytes) -> None:
        """Posts `data` to the connection `id`.

        Raises:
            Gone: it is there no more.
            Failure: the API refuses, or does not answer.
        """
        url = self._base.at(f"/@connections/{quote(id, safe='')}")
        headers = {"content-type": "application/json"}
        for attempt in range(TRIES):
            sent = dict(headers)
            if self._credentials is not None:
                credentials = await for_call(self._credentials)
                sent |= sign(
                    "POST", url.origin.authority, url.path, headers, data, credentials=credentials,
                    region=self._region, now=self._clock.wall(), service="execute-api",
                )  # fmt: skip
            try:
                async with asyncio.timeout(PATIENCE_S):
                    lease = await self._pool.send("POST", url, sent, data)
                    await lease.beginning(ERROR_BYTES)
            except TimeoutError:
                raise Failure("unavailable", "the connections API did not answer in time") from None
            if lease.status == 410:
                raise Gone
            if lease.status < 300:
                return
            if lease.status not in (429, 500, 502, 503, 504) or attempt + 1 == TRIES:
                raise Failure(
                    "upstream", f"the connections API answers {lease.status}", upstream_status=lease.status,
                    fix="allow execute-api:ManageConnections, and check server.apigateway.url",
                )  # fmt: skip
            await self._clock.sleep(0.2 * 2**attempt)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()
        if self._credentials is not None:
            await self._credentials.aclose()
