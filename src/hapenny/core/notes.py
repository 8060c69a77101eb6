"""Typed notes: what one stage leaves on a request for itself or for another.

A note belongs to the module that writes it. Whoever reads it imports it from there, so that what depends on what shows
in the imports; where reader and writer may not import one another, the note stands in core (`arms`, `passages`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

T = TypeVar("T")


class Note(Generic[T]):
    """A typed place on an exchange: `exchange.stage_notes[NOTE]` is a `T`.

    Args:
        name: for people, in a debugger; two notes of one name are two notes.
        travels: whether a branch begins with it, and the exchange that adopts the branch ends with it. Else it belongs
            to one pass through the pipeline, as what `decide` prepared for `apply`.
    """

    __slots__ = ("name", "travels")

    def __init__(self, name: str, *, travels: bool = False) -> None:
        self.name = name
        self.travels = travels

    def __repr__(self) -> str:
        return f"Note({self.name!r})"


if TYPE_CHECKING:

    class StageNotes:
        """The notes on one exchange. A dict at run time: reading one costs no call of ours."""

        def __contains__(self, note: Note[Any]) -> bool: ...
        def __getitem__(self, note: Note[T]) -> T: ...
        def __setitem__(self, note: Note[T], value: T) -> None: ...
        def get(self, note: Note[T]) -> T | None: ...
        def pop(self, note: Note[T]) -> T: ...
        def setdefault(self, note: Note[T], value: T) -> T: ...
        def clear(self) -> None: ...
        def travelling(self) -> StageNotes: ...
        def update(self, others: StageNotes) -> None: ...

else:

    class StageNotes(dict):
        """The notes on one exchange."""

        __slots__ = ()

        def travelling(self) -> StageNotes:
            """Those that branches begin with."""
            return StageNotes({note: value for note, value in self.items() if note.travels})
