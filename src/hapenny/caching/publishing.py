"""Which answers go to the edge: those of routes declared `shared` that a second, independent answer was found equal to.

An answer is verified when the model gave the same one again (another question with the same result fingerprint), or
when the semantic layer's judge called a fresh answer equal to it. Its address is its result fingerprint; clients learn
it from the notes of the answers that carry it.
"""

from __future__ import annotations

import msgspec

from hapenny.caching.edge import EVIDENCE, ROUTE, Edge
from hapenny.caching.stored import AnswerDedup, Stored, evidence_tags, result_tag
from hapenny.core.events import TextDelta


class Publisher:
    """Publishes the verified answers of one shared route under its knowledge epoch."""

    def __init__(self, edge: Edge, results: AnswerDedup, epoch: str, ttl: float, route: str = "") -> None:
        """`ttl`: seconds an answer of the route is served, here as elsewhere; `route`: its name."""
        self._route = route
        self._ttl = ttl
        self._edge = edge
        self._results = results
        self._epoch = epoch

    def verified(self, stored: Stored) -> str:
        """Publishes an answer; its path, "" if there is no text to publish."""
        text = "".join(event.text for event in stored.events if isinstance(event, TextDelta))
        if not text:
            return ""
        fingerprint = self._results.fingerprint(stored, self._epoch)
        body = msgspec.json.encode({"id": fingerprint.hex(), "model": stored.model, "answer": text})
        self._edge.publish(
            fingerprint, body, scope="shared", verified=True, epoch=self._epoch, ttl=self._ttl, tags=self._tags(stored)
        )
        return f"/v1/answers/{fingerprint.hex()}"

    def path(self, stored: Stored) -> str:
        """Where an answer is published, "" if it is not."""
        fingerprint = self._results.fingerprint(stored, self._epoch)
        return f"/v1/answers/{fingerprint.hex()}" if self._edge.holds(fingerprint) else ""

    def _tags(self, stored: Stored) -> tuple[str, ...]:
        return (f"{ROUTE}{self._route}", f"model:{stored.model}", result_tag(self._results.fingerprint(stored)),
                *((EVIDENCE,) if stored.evidence else ()), *evidence_tags(stored.evidence))  # fmt: skip
