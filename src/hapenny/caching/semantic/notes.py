"""The look-up that the semantic layer leaves on a request it looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapenny.core.notes import Note

if TYPE_CHECKING:
    from hapenny.caching.semantic.cache import Lookup

LOOKED_UP: Note[Lookup] = Note("semantic.lookup")
"""Apart from the layer itself, which is loaded only where it is used: its profit is counted from this."""
