"""What watches or rewrites the events of an answer on their way to the client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from hapenny.core.events import Event

Outcome: TypeAlias = Literal["complete", "failed", "abandoned"]


class Transform:
    """Watches or rewrites the flow. Synchronous; one object for one answer."""

    watches = False
    """Whether it leaves all events as they are."""

    def flow(self, batch: Sequence[Event]) -> Sequence[Event]:
        """What goes on in place of `batch`. One that only waits for the end has no `flow` of its own."""
        return batch

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Called exactly once. What it returns is sent last, if the outcome is `complete`."""
        return ()


class EventTransform(Transform):
    """One that decides event by event."""

    def one(self, event: Event) -> Sequence[Event]:
        """What goes on in place of `event`."""
        raise NotImplementedError

    def flow(self, batch: Sequence[Event]) -> Sequence[Event]:
        """What `one` makes of each."""
        return [out for event in batch for out in self.one(event)]
