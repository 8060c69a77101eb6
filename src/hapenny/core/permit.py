"""A last look before a request leaves: whether whoever has it sent may still do so.

Between the decision to ask a model and the bytes on the wire lie queues, connections and, for a process that is
stopped, any length of time. Who sends under a lease sets `PERMIT` in the task that makes the call; the connection pool
asks it right before it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from hapenny.core.errors import Failure

PERMIT: ContextVar[Callable[[], bool] | None] = ContextVar("permit", default=None)
"""Whether the present task's calls may be sent now; None: always."""


class Withheld(Failure):
    """The request was not sent: nothing was asked and nothing is paid."""

    personal = True

    def __init__(self) -> None:
        super().__init__("conflict", "whoever wanted this to be sent may no longer send it")


def look() -> None:
    """Raises `Withheld` where the present task's calls may not be sent any more."""
    permit = PERMIT.get()
    if permit is not None and not permit():
        raise Withheld
