"""Spans for X-Ray, by its OTLP endpoint: `https://xray.REGION.amazonaws.com/v1/traces`, HTTP alone, signed (SigV4).

It takes at most 5 MB (before compression) and 10,000 spans a request (`telemetry.span_export`). Transaction Search must
be on in the account (spans go to CloudWatch Logs).
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Any

from hapenny.backends.credential_chain import chain
from hapenny.core.clock import Clock
from hapenny.protocols.sigv4 import Credentials, sign

_RENEW_S = 300.0
_HOST = re.compile(r"https://(xray)\.([a-z0-9-]{1,30})\.amazonaws\.com(?:\.cn)?(?:/|$)")


def region_of(endpoint: str) -> str | None:
    """The region of an X-Ray endpoint; None for another collector."""
    known = _HOST.match(endpoint)
    return known[2] if known is not None else None


class Signature:
    """Signs what the exporter sends: an `auth` of the requests library.

    Args:
        region: of the endpoint.
        clock: dates signatures.
        credentials: finds them; None: the usual places.
    """

    def __init__(self, region: str, clock: Clock, credentials: Callable[[], Credentials] | None = None) -> None:
        self._region, self._clock = region, clock
        self._find = credentials or self._chain
        self._held: Credentials | None = None
        self._lock = threading.Lock()

    def __call__(self, request: Any) -> Any:
        """Adds the headers to a prepared request."""
        from urllib.parse import urlsplit

        where = urlsplit(request.url)
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        headers = {name: str(value) for name, value in request.headers.items() if name.lower() == "content-type"}
        request.headers.update(
            sign(
                request.method, where.netloc, where.path, headers, body, credentials=self._current(),
                region=self._region, now=self._clock.wall(), service="xray",
            )
        )  # fmt: skip
        return request

    def _current(self) -> Credentials:
        with self._lock:
            held = self._held
            if held is None or (held.expires and held.expires - self._clock.wall() < _RENEW_S):
                held = self._held = self._find()
            return held

    def _chain(self) -> Credentials:
        async def find() -> Credentials:
            places = chain(self._clock, region=self._region)
            try:
                return await places.get()
            finally:
                await places.aclose()

        return asyncio.run(find())
