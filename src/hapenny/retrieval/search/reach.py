"""Whether a collection's store answers: calls have a time limit, and a lost store costs nobody that limit twice.

A call that misses `LIMIT_S` or fails makes the store lost: calls fail at once from then on, but for one that asks again
after a pause, which doubles. Loss and return are one log line each; requests go on without passages meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hapenny.core.clock import Clock, within
from hapenny.core.log import get_logger

T = TypeVar("T")

LIMIT_S = 1.0
"""Seconds that a store on another host may take for one call."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 4.0

_log = get_logger("hapenny.retrieval")


class Reach:
    """Calls of one store, in threads of its own. `far`: it is on another host, so that limits hold."""

    def __init__(self, name: str, clock: Clock, *, far: bool) -> None:
        self.far = far
        self._name = name
        self._clock = clock
        self._threads = f"retrieve:{name}"
        self._lost_at: float | None = None
        self._again_at = 0.0
        self._pause = FIRST_PAUSE_S
        self._asking = False

    async def ask(self, work: Callable[[], T]) -> T:
        """What `work` returns, from a thread.

        Raises:
            ConnectionError: the store is lost.
            ValueError, LookupError: the store answered that the rows asked for are not there any more.
        """
        clock = self._clock
        if not self.far:
            return await clock.work(self._threads, 1, work)
        if self._lost_at is not None and (self._asking or clock.now() < self._again_at):
            raise ConnectionError("the collection's store is lost")
        self._asking = True
        try:
            with within(LIMIT_S):
                result = await clock.work(self._threads, 1, work)
        except (ValueError, LookupError):
            raise
        except Exception as error:
            self._lose(error)
            raise ConnectionError("the collection's store does not answer") from error
        finally:
            self._asking = False
        if self._lost_at is not None:
            away, self._lost_at = clock.now() - self._lost_at, None
            _log.info("a collection's store is back", name=self._name, seconds=round(away, 1))
        return result

    def _lose(self, error: Exception) -> None:
        now = self._clock.now()
        if self._lost_at is None:
            self._lost_at, self._pause = now, FIRST_PAUSE_S
            _log.warning(
                "a collection's store is lost: requests go on without its passages", name=self._name, error=error
            )
        else:
            self._pause = min(LONGEST_PAUSE_S, 2 * self._pause)
        self._again_at = now + self._pause
