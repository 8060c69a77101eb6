"""Connections to one PostgreSQL: a few, waited for, replaced when they die, each call with a deadline.

A database that does not answer in time counts as lost: who asks in the next moment is told so at once instead of
waiting, too; then one call tries again. Waiting for a free connection is no loss. Tables are made and changed by
numbered steps (`migrate`), forward only, under a lock, so that gateways of two versions may start at once: a step must
leave the tables usable by who knows only the step before, or say that it does not (`least`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from hapenny.core.clock import Clock, within
from hapenny.core.log import get_logger

T = TypeVar("T")

DEADLINE_S = 2.0
"""Seconds in which a call must have been answered."""
CONNECTIONS = 4
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 2.0

_log = get_logger("hapenny.stores")


class Step(NamedTuple):
    """One change of the tables."""

    sql: str
    breaks: bool = False
    """Whether who does not know it can no longer use the tables."""


def plan(name: str, version: int, least: int, steps: Sequence[Step]) -> list[tuple[int, Step]]:
    """The steps that are still to be taken, numbered from 1.

    Raises:
        ValueError: the tables are of a version that this one cannot use.
    """
    if least > len(steps):
        raise ValueError(
            f"the tables of {name} need a newer hapenny (they are of version {least}, this one knows {len(steps)})"
        )
    return [(number, step) for number, step in enumerate(steps, 1) if number > version]


class PostgresLink:
    """See the module.

    Args:
        dsn: of the database.
        clock: the deployment's clock.
        name: of the tables, for the record of their version; letters, digits and underscores.
        steps: that make them.
        connections: at once.
    """

    def __init__(
        self, dsn: str, clock: Clock, name: str, steps: Sequence[Step], *, connections: int = CONNECTIONS
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._name = name
        self._steps = steps
        self._idle: list[Any] = []
        self._room = asyncio.Semaphore(connections)
        self._made = False
        self._making = asyncio.Lock()
        self._lost_until = 0.0
        self._pause = FIRST_PAUSE_S
        self.lost = False
        """Whether the database could not be used when it was asked last."""

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Runs `work` on a connection, in one transaction.

        Raises:
            ConnectionError: the database cannot be reached, or refuses, or does not answer in time.
        """
        import psycopg

        if self.lost and self._clock.now() < self._lost_until:
            raise ConnectionError("the database is lost")
        async with self._room:
            connection: Any = None
            try:
                with within(DEADLINE_S):
                    connection = self._idle.pop() if self._idle else await self._connected()
                    if not self._made:
                        await self._make(connection)
                    async with connection.transaction():
                        result = await work(connection)
            except (TimeoutError, OSError, psycopg.OperationalError, psycopg.InterfaceError) as error:
                self._drop(connection)
                self._lose(error)
                raise ConnectionError(f"the database cannot be used: {type(error).__name__}") from error
            except BaseException:
                self._drop(connection)  # nobody knows what it was doing
                raise
            self._idle.append(connection)
            if self.lost:
                _log.info("a database is back", source=self._name)
                self.lost, self._pause = False, FIRST_PAUSE_S
            return result

    async def aclose(self) -> None:
        """Closes what is open. Idempotent."""
        idle, self._idle = self._idle, []
        for connection in idle:
            try:
                with within(DEADLINE_S):
                    await connection.close()
            except (TimeoutError, OSError):
                self._drop(connection)

    async def _connected(self) -> Any:
        import psycopg

        connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        await connection.execute(f"SET statement_timeout = {round(DEADLINE_S * 1000)}")
        return connection

    async def _make(self, connection: Any) -> None:
        async with self._making:
            if not self._made:
                await migrate(connection, self._name, self._steps)
                self._made = True

    def _lose(self, error: Exception) -> None:
        for connection in self._idle:  # of the same server: they are no better
            self._drop(connection)
        self._idle = []
        if not self.lost:
            _log.warning("a database is lost", source=self._name, reason=type(error).__name__)
        self.lost = True
        self._lost_until = self._clock.now() + self._pause
        self._pause = min(LONGEST_PAUSE_S, 2 * self._pause)

    @staticmethod
    def _drop(connection: Any) -> None:
        """Closes a connection without a word to the server, which may not listen."""
        if connection is not None and not connection.closed:
            connection.pgconn.finish()


VERSIONS = (
    "CREATE TABLE IF NOT EXISTS hapenny_schema"
    " (name TEXT PRIMARY KEY, version INTEGER NOT NULL, least INTEGER NOT NULL)"
)


async def migrate(connection: Any, name: str, steps: Sequence[Step]) -> None:
    """Brings tables to the version that this hapenny knows; those of a newer one that it can use stay as they are."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('hapenny schema', 0))")
        await connection.execute(VERSIONS)
        cursor = await connection.execute("SELECT version, least FROM hapenny_schema WHERE name = %s", (name,))
        version, least = await cursor.fetchone() or (0, 0)
        for number, step in plan(name, version, least, steps):
            await connection.execute(step.sql)
            version, least = number, number if step.breaks else max(least, 1)
        await connection.execute(
            "INSERT INTO hapenny_schema VALUES (%s, %s, %s)"
            " ON CONFLICT (name) DO UPDATE SET version = excluded.version, least = excluded.least",
            (name, version, least),
        )
