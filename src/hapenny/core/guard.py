"""A guard of a long-lived task: what ends it is logged and counted, and it is begun again after a pause.

Each failure doubles the pause, up to `LONGEST_S`; a run that lasted `CALM_S` counts as recovered. Until then the guard
is `failing`, which the gateway's health says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hapenny.core.clock import Clock
from hapenny.core.log import get_logger

FIRST_S = 1.0
LONGEST_S = 60.0
CALM_S = 60.0

_log = get_logger("hapenny.tasks")


class Guard:
    """Keeps one task going.

    Args:
        name: of the task, in words an operator knows.
        clock: the deployment's clock.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.failures = 0
        self._clock = clock
        self._last: float | None = None

    @property
    def failing(self) -> bool:
        """Whether it failed, and has not run for a while since."""
        return self._last is not None and self._clock.now() - self._last < CALM_S

    def note(self, error: BaseException) -> None:
        """Books a failure of something that is not begun again: the next of its kind is."""
        self.failures += 1
        self._last = self._clock.now()
        _log.error("a background task failed", task=self.name, error=type(error).__name__, failures=self.failures)

    async def keep(self, run: Callable[[], Awaitable[None]]) -> None:
        """Runs `run` until it returns or is cancelled; begins it again when it fails."""
        pause = FIRST_S
        while True:
            began = self._clock.now()
            try:
                await run()
                return
            except Exception as error:  # whatever it is: a task that is gone helps nobody
                self.failures += 1
                self._last = self._clock.now()
                if self._last - began >= CALM_S:
                    pause = FIRST_S
                # The error's text may hold a client's.
                _log.error(
                    "a background task failed and is begun again",
                    task=self.name,
                    error=type(error).__name__,
                    failures=self.failures,
                    again_in_s=pause,
                )
            await self._clock.sleep(pause)
            pause = min(LONGEST_S, pause * 2)
