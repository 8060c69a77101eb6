"""What retrieval leaves for whoever shortens the passages it put into a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from hapenny.core.notes import Note

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class StoredSentences(Struct, frozen=True):
    """Vectors that an index holds of the sentences of passages, and the question's: nobody need embed them again."""

    passages: Mapping[str, tuple[Sequence[str], NDArray[np.float32]]]
    """By a passage's text: its sentences, and their unit vectors of shape (sentences, d)."""
    question: NDArray[np.float32]
    """Unit vector of shape (d,)."""


STORED_SENTENCES: Note[StoredSentences] = Note("retrieval.sentences", travels=True)
