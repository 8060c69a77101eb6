"""Finished spans on their way to a collector: kept as bytes, sent together, in parts that an endpoint takes.

A collector that is away or busy is asked again a few times (OTLP 1.x, "OTLP/HTTP response": 429, 502, 503, 504); what
cannot be sent then is given up, and said so. Whatever a collector does, requests go on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.protocols.otlp import Value, request

SPANS = 10_000
BYTES = 4_500_000
"""What goes in one request at most: X-Ray, the strictest, takes 5 MB and 10,000 spans."""
WAITING_BYTES = 16_000_000
"""Of spans that wait; further ones are left out."""
EVERY_S = 2.0
PAUSES_S = (1.0, 2.0, 4.0)
"""Between two tries."""
_TIMEOUT_S = 10.0
_AGAIN = frozenset({429, 502, 503, 504})
Post: TypeAlias = Callable[[bytes], int]
"""Sends a body, and waits; the status, 0 where nobody answered."""
_log = get_logger("hapenny.traces")


class SpanExport:
    """Spans that wait, and who sends them.

    Args:
        post: sends a body.
        resource: attributes of the service.
        clock: the deployment's clock.
        spans: the most in one request.
        most: the most bytes of them.
    """

    def __init__(
        self, post: Post, resource: Mapping[str, Value], clock: Clock, spans: int = SPANS, most: int = BYTES
    ) -> None:
        self._post, self._resource, self._clock = post, resource, clock
        self._spans, self._most = spans, most
        self._waiting: list[bytes] = []
        self._size = 0
        self._sending: list[tuple[bytes, int]] = []
        """Bodies under way, each with its number of spans."""
        self.dropped = 0
        """Spans that were left out, since too many waited."""

    def add(self, span: bytes) -> None:
        """Takes a span. Never waits."""
        if self._size + len(span) > WAITING_BYTES:
            self.dropped += 1
            return
        self._waiting.append(span)
        self._size += len(span)

    async def run(self) -> None:
        """Sends what waits, every few seconds."""
        sending = self._sending
        while True:
            await self._clock.sleep(EVERY_S)
            sending += self._bodies()
            while sending:
                body, number = sending[0]
                status = await self._try(body)
                for pause in PAUSES_S:
                    if status and status not in _AGAIN:
                        break
                    await self._clock.sleep(pause)
                    status = await self._try(body)
                sending.pop(0)
                _tell(status, number)

    def close(self) -> None:
        """Sends what waits, and what was being sent, once."""
        for body, number in [*self._sending, *self._bodies()]:
            _tell(self._post(body), number)
        self._sending.clear()

    async def _try(self, body: bytes) -> int:
        return await self._clock.work("otlp", 1, partial(self._post, body))

    def _bodies(self) -> Iterator[tuple[bytes, int]]:
        """All that waits, in parts, each with its number of spans."""
        waiting, self._waiting, self._size = self._waiting, [], 0
        if self.dropped:
            _log.error("spans left out: too many waited", count=self.dropped)
            self.dropped = 0
        part: list[bytes] = []
        size = 0
        for span in waiting:
            if part and (size + len(span) > self._most or len(part) >= self._spans):
                yield request(self._resource, "hapenny", part), len(part)
                part, size = [], 0
            if len(span) <= self._most:
                part.append(span)
                size += len(span)
        if part:
            yield request(self._resource, "hapenny", part), len(part)


def _tell(status: int, number: int) -> None:
    if not 200 <= status < 300:
        _log.error("spans cannot be sent", status=status, count=number)


def poster(endpoint: str, auth: Any = None, *, compressed: bool = False) -> Post:
    """Sends by HTTP; `auth` of the requests library. Headers that OpenTelemetry's own variables name go along
    (`OTEL_EXPORTER_OTLP_TRACES_HEADERS`, `OTEL_EXPORTER_OTLP_HEADERS`).

    Raises:
        ImportError: the extra `otel` is not installed.
    """
    import requests
    from opentelemetry.util.re import parse_env_headers

    session = requests.Session()
    session.auth = auth
    own = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    session.headers.update(parse_env_headers(own, liberal=True))
    session.headers["Content-Type"] = "application/x-protobuf"
    if compressed:
        session.headers["Content-Encoding"] = "gzip"

    def post(body: bytes) -> int:
        import gzip

        with contextlib.suppress(requests.RequestException):
            data = gzip.compress(body) if compressed else body
            with session.post(endpoint, data=data, timeout=_TIMEOUT_S, allow_redirects=False) as answer:
                return int(answer.status_code)
        return 0

    return post
