"""Answers by what they say, not by what was asked: equal ones are kept once, and go stale with their evidence.

The result fingerprint covers tenant, answer, evidence (ids and versions), model and prompt version. Two questions with
the same fingerprint share one stored answer. Evidence travels as tags (`exact.evidence_tags`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from hapenny.caching.exact import Answers, Stored
from hapenny.caching.keys import Keys
from hapenny.caching.store import Selector
from hapenny.core.events import Started

MOST = 100_000


class Results:
    """The fingerprints of one deployment's stored answers; the last 100,000."""

    def __init__(self, keys: Keys, answers: Answers) -> None:
        self._keys = keys
        self._answers = answers
        self._known: OrderedDict[bytes, Stored] = OrderedDict()
        self.merged = 0

    def fingerprint(
        self, stored: Stored, *, evidence: Sequence[tuple[str, str]] = (), prompt_version: str = ""
    ) -> bytes:
        """32 bytes, keyed: says nothing about the answer to who does not hold the secret."""
        content = [event for event in stored.events if type(event) is not Started]
        return self._keys.fingerprint(stored.tenant, content, sorted(evidence), stored.model, prompt_version)

    def share(self, fingerprint: bytes, stored: Stored) -> tuple[Stored, bool]:
        """The answer to store: the one that is there already if its fingerprint is known (and whether it was)."""
        known = self._known.get(fingerprint)
        if known is not None and known.tenant == stored.tenant:
            self._known.move_to_end(fingerprint)
            self.merged += 1
            return known, True
        self._known[fingerprint] = stored
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return stored, False

    def evidence_changed(self, document: str, version: str = "") -> int:
        """Marks stale every answer that rests on another version of a document ("" for a deleted one).

        Stale answers are refreshed where the route serves stale ones, and are misses elsewhere.
        """
        return self._answers.expire(Selector(tag=f"doc:{document}"), keep=f"doc:{document}@{version}")
