"""One connection to PostgreSQL that is taken in turns, and replaced when it breaks.

A call that fails leaves no aborted transaction behind. Where a turn does not come within `TURN_S`, because the one
before waits for a server that does not answer, the call fails instead of waiting in a thread for ever; a server whose
host is gone is noticed by the kernel after some twenty seconds.
"""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType
from typing import Any

TURN_S = 2.0
CONNECT_S = 2


class PostgresConnection:
    """`with connection:` is a turn; turns of one thread may stand within one another.

    Raises:
        psycopg.OperationalError: the server cannot be reached.
        ConnectionError: the turn did not come in time.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.RLock()
        self._depth = 0
        self.db: Any = self._connected()

    def __enter__(self) -> PostgresConnection:
        if not self._lock.acquire(timeout=TURN_S):
            raise ConnectionError("PostgreSQL does not answer: others wait for it already")
        try:
            if self.db is None:
                self.db = self._connected()
        except BaseException:
            self._lock.release()
            raise
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        try:
            if error is not None and not self._depth:
                with contextlib.suppress(Exception):
                    self.db.rollback()
                if self.db.closed or self.db.broken:
                    with contextlib.suppress(Exception):
                        self.db.close()
                    self.db = None
        finally:
            self._lock.release()

    def _connected(self) -> Any:
        import psycopg

        return psycopg.connect(
            self._dsn,
            connect_timeout=CONNECT_S,
            keepalives_idle=10,
            keepalives_interval=3,
            keepalives_count=3,
            tcp_user_timeout=10_000,
        )
