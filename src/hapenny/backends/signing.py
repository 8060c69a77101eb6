"""Requests to an AWS service: a bearer key, or a signature by hand."""

from __future__ import annotations

from collections.abc import Mapping

from hapenny.backends.credentials import Signing, for_call
from hapenny.backends.url import Url
from hapenny.core.clock import Clock
from hapenny.protocols.sigv4 import canonical_query, sign


class Signer:
    """Puts its right to ask on a request.

    Args:
        clock: the deployment's clock; its wall time signs.
        credentials: for signatures; or
        bearer: a key, which needs none.

    Raises:
        ValueError: both or neither are given.
    """

    def __init__(self, clock: Clock, credentials: Signing | None, bearer: str | None) -> None:
        if (credentials is None) == (bearer is None):
            raise ValueError("api_key: AWS needs either a bearer key or credentials")
        self._clock = clock
        self._credentials = credentials
        self._bearer = bearer

    async def signed(
        self, method: str, url: Url, headers: Mapping[str, str], body: bytes, region: str, service: str
    ) -> dict[str, str]:
        """`headers` with those that let the request in. Raises `Failure` where there are no credentials."""
        if self._credentials is None:
            return {**headers, "authorization": f"Bearer {self._bearer}"}
        credentials = await for_call(self._credentials)
        added = sign(
            method, url.origin.authority, url.path, headers, body, credentials=credentials, region=region,
            now=self._clock.wall(), query=canonical_query(url.query), service=service,
        )  # fmt: skip
        return {**headers, **added}

    async def aclose(self) -> None:
        """Lets go of the credentials."""
        if self._credentials is not None:
            await self._credentials.aclose()
