"""The running gateway, as the console asks it: what is in its memory alone (caches, queues, budgets, promises).

The console works without one: its pages then say how to name it. Answers are waited for `PATIENCE_S`, and whoever is
not there is not asked again for `AGAIN_S`, so that a gateway that hangs does not make pages hang.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure

PATIENCE_S = 2.0
ASK_S = 90.0
"""How long a question of the playground may take."""
AGAIN_S = 5.0


class Unreachable(Exception):
    """The gateway gave no answer; the text says why and what to do."""


class Live:
    """A gateway.

    Args:
        url: where it serves; empty: none is known.
        key: a key of it.
        clock: the deployment's clock.
    """

    def __init__(self, url: str, key: str, clock: Clock) -> None:
        self.url, self._key, self._clock = url.rstrip("/"), key, clock
        self._silent_until = float("-inf")
        self._why = ""
        self._lock = threading.Lock()

    def get(self, path: str) -> Any:
        """The JSON answer to a GET. Raises `Unreachable`."""
        return self.call("GET", path)[0]

    def call(
        self, method: str, path: str, body: Any = None, patience: float = PATIENCE_S
    ) -> tuple[Any, dict[str, str]]:
        """The JSON answer and its headers. Raises `Unreachable`."""
        if not self.url:
            raise Unreachable(
                "No running gateway is named. Fix: hapenny console --url http://127.0.0.1:8790 --key KEY (or the"
                " environment variable HAPENNY_KEY)"
            )
        with self._lock:
            if self._clock.now() < self._silent_until:
                raise Unreachable(self._why)
        try:
            status, headers, raw = asyncio.run(self._sent(method, path, body, patience))
        except (Failure, OSError, TimeoutError, ValueError) as error:
            why = f"No gateway answers at {self.url} ({_told(error)}). Fix: hapenny serve, or another --url"
            with self._lock:
                self._silent_until, self._why = self._clock.now() + AGAIN_S, why
            raise Unreachable(why) from None
        if status in (401, 403):
            raise Unreachable(
                f"The gateway refuses this: {_reason(raw)} Fix: give the console a key that may"
                f" ({'scope admin' if path.startswith('/v1/admin') else 'scope call'}): --key, or HAPENNY_KEY"
            )
        if status >= 300:
            raise Unreachable(f"The gateway answers {status}: {_reason(raw)}")
        try:
            return msgspec.json.decode(raw), headers
        except msgspec.DecodeError:
            raise Unreachable(f"{self.url} answers something that is no JSON. Is it a hapenny gateway?") from None

    async def _sent(self, method: str, path: str, body: Any, patience: float) -> tuple[int, dict[str, str], bytes]:
        from hapenny.backends.pool import Pool
        from hapenny.backends.url import address

        pool = Pool(self._clock, connect_s=PATIENCE_S, idle_s=patience, name="console")
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {self._key}"} if self._key else {})
        try:
            async with asyncio.timeout(patience):
                data = b"" if body is None else msgspec.json.encode(body)
                lease = await pool.send(method, address(self.url + path), headers, data)
                return lease.status, dict(lease.headers), await lease.whole()
        finally:
            await pool.aclose()


def _told(error: BaseException) -> str:
    if isinstance(error, Failure):
        return error.message
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _reason(raw: bytes) -> str:
    try:
        told = msgspec.json.decode(raw)
        error = told.get("error", told) if isinstance(told, dict) else told
        return str(error.get("message", error) if isinstance(error, dict) else error)[:300]
    except msgspec.DecodeError:
        return raw.decode("utf-8", "replace")[:200]
