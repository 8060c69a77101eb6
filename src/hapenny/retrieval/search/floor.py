"""How much must speak for a passage before it is sent, measured on the collection itself without judged questions.

Theory of operation: a passage answers a question if it is near it (cosine) and holds its words (the share of their
weight by inverse document frequency). Neither has a scale that holds for every embedder and collection. So both are
measured on questions from everyday life that most collections are not about (`data/outside`): what the best passage
found for them reaches, as median and spread. The evidence for a passage is the sum of both in units of that spread,
and the floor is what all but 15 % of such questions stay under; but never more than half of what the collection's own
sentences reach when they are asked for word by word, so that a collection about everything sends what it has. A passage
that shares no word with the question must be nearer than such questions ever came.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.documents import Scores


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """What questions from outside reach here, and the least evidence that is sent. `alone`: the cosine that a passage
    without a word of the question needs. `documents`: how many rows the collection had when this was measured."""

    cosine: float
    cosine_spread: float
    coverage: float
    coverage_spread: float
    least: float
    documents: int
    alone: float = -1.0

    def evidence(self, cosines: Scores, coverage: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of passages: both measures in units of their spread, added."""
        near = (np.asarray(cosines, np.float64) - self.cosine) / self.cosine_spread
        added = near + (coverage - self.coverage) / self.coverage_spread
        unheard = (coverage <= 0.0) & (np.asarray(cosines) < self.alone)
        return np.asarray(np.where(unheard, np.minimum(added, self.least - 1.0), added), np.float64)
