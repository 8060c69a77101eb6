"""Alerts to the operator: a line of the log at once, and a signed webhook that is tried until it was taken.

`send` never waits and never fails. At most `WAITING` alerts wait for the webhook; more are dropped, counted and in the
log all the same. Each is tried `TRIES` times with growing pauses. The body is JSON: `kind`, `subject`, `detail`, `wall`
and an `id` by which a receiver knows one that came twice. Where a secret is given, `x-hapenny-signature` is
`t=SECONDS,v1=HEX`: the HMAC-SHA256 of `SECONDS.BODY` under it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from hapenny.backends.pool import Pool
from hapenny.backends.url import Url, address
from hapenny.core.clock import Clock, within
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.telemetry.rows import Entry

WAITING = 1_000
TRIES = 6
FIRST_S = 1.0
"""The pause after the first try; each further one is twice as long."""
ANSWER_S = 10.0
"""How long the receiver may take."""
_log = get_logger("hapenny.alerts")


class AlertOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where alerts go, besides the log."""

    webhook: Annotated[str, Meta(description="URL that each is sent to by POST. Empty: nowhere.")] = ""
    secret: Annotated[str, Meta(description="Signs them. Best given as `${NAME}`.")] = ""

    def __post_init__(self) -> None:
        if self.webhook:
            address(self.webhook)


class Alert(Struct, frozen=True, kw_only=True):
    """Something that the operator should know. `detail` holds figures and names, no texts of clients."""

    id: str
    kind: str
    subject: str
    wall: float
    detail: dict[str, int | float | str] = {}


class Alerts:
    """The one sender of alerts.

    Args:
        options: where they go.
        clock: the deployment's clock.
        pool: sends; of its own where none is given.
        book: writes each down, for the console; None: nowhere.
    """

    def __init__(
        self,
        options: AlertOptions,
        clock: Clock,
        pool: Pool | None = None,
        book: Callable[[Entry], None] | None = None,
    ) -> None:
        self._book = book
        self._options = options
        self._clock = clock
        self._pool = pool or Pool.control(clock)
        self._url: Url | None = address(options.webhook) if options.webhook else None
        self._queue: asyncio.Queue[Alert] = asyncio.Queue(WAITING)
        self._sending: Alert | None = None
        self.sent = 0
        self.failed = 0
        """Alerts that no try delivered, or that were dropped."""

    def send(self, kind: str, subject: str, **detail: int | float | str) -> None:
        """Tells the operator. Never waits, never raises."""
        alert = Alert(
            id=self._clock.new_id("alert_"), kind=kind, subject=subject[:300], wall=self._clock.wall(), detail=detail
        )
        _log.warning("alert", kind=kind, name=subject, limit=detail.get("limit"), cost=detail.get("cost"))
        if self._book is not None:
            told: dict[str, int | float | str] = {"alert": kind, "subject": alert.subject, **detail}
            self._book(Entry(kind="alert", wall=alert.wall, technique="", actual=0, detail=told))
        if self._url is None:
            return
        try:
            self._queue.put_nowait(alert)
        except asyncio.QueueFull:
            self.failed += 1
            _log.error("an alert was dropped: too many wait for the webhook", kind=kind)

    async def run(self) -> None:
        """Delivers what waits, as long as it is not cancelled."""
        while True:
            alert = self._sending = self._sending or await self._queue.get()
            if await self._delivered(alert):
                self.sent += 1
            else:
                self.failed += 1
                _log.error("an alert could not be delivered", kind=alert.kind)
            self._sending = None

    async def flush(self, seconds: float = ANSWER_S) -> None:
        """Tries what still waits once, for at most so long: the gateway ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._sending is not None or not self._queue.empty():
                    alert = self._sending or self._queue.get_nowait()
                    self._sending = None
                    await self._tried(alert)

    async def aclose(self) -> None:
        """Lets go of connections."""
        await self._pool.aclose()

    async def _delivered(self, alert: Alert) -> bool:
        pause = FIRST_S
        for number in range(TRIES):
            if number:
                await self._clock.sleep(pause * (0.75 + 0.5 * self._clock.random.random()))
                pause *= 2
            if await self._tried(alert):
                return True
        return False

    async def _tried(self, alert: Alert) -> bool:
        assert self._url is not None
        body = msgspec.json.encode(alert)
        try:
            with within(ANSWER_S):
                lease = await self._pool.send("POST", self._url, self._headers(body), body)
                status = lease.status
                lease.close()
        except (Failure, OSError, TimeoutError) as error:
            _log.warning("the receiver of alerts cannot be reached", error=error)
            return False
        if not 200 <= status < 300:
            _log.warning("the receiver of alerts refuses them", status=status)
        return 200 <= status < 300

    def _headers(self, body: bytes) -> dict[str, str]:
        headers: dict[str, Any] = {"content-type": "application/json"}
        if self._options.secret:
            stamp = str(int(self._clock.wall()))
            headers["x-hapenny-signature"] = f"t={stamp},v1={signature(self._options.secret, stamp, body)}"
        return headers


def signature(secret: str, stamp: str, body: bytes) -> str:
    """What a receiver compares the signature's `v1` with, in constant time; hex."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
