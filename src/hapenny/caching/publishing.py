"""Which answers go to the edge: those of routes declared `shared` that a second, independent answer was found equal to.

An answer is verified when the model gave the same one again (another question with the same result fingerprint), or
when the semantic layer's judge called a fresh answer equal to it. Its address is its result fingerprint; clients learn
it from the notes of the answers that carry it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hapenny.caching.edge import Edge
from hapenny.caching.exact import Stored
from hapenny.caching.results import Results
from hapenny.caching.store import Entry
from hapenny.core.events import TextDelta


class Publisher:
    """Publishes the verified answers of one shared route under its knowledge epoch."""

    def __init__(self, edge: Edge, results: Results, epoch: str, ttl: float) -> None:
        """`ttl`: seconds an answer of the route is served, here as elsewhere."""
        self._ttl = ttl
        self._edge = edge
        self._results = results
        self._epoch = epoch

    def verified(self, stored: Stored, evidence: Sequence[tuple[str, str]] = (), tags: Sequence[str] = ()) -> str:
        """Publishes an answer; its path, "" if there is no text to publish. `tags`: what it can be withdrawn by."""
        text = "".join(event.text for event in stored.events if isinstance(event, TextDelta))
        if not text:
            return ""
        fingerprint = self._results.fingerprint(stored, evidence=evidence, prompt_version=self._epoch)
        body = msgspec.json.encode({"id": fingerprint.hex(), "model": stored.model, "answer": text})
        self._edge.publish(
            fingerprint, body, scope="shared", verified=True, epoch=self._epoch, ttl=self._ttl,
            tenant=stored.tenant, tags=tags,
        )  # fmt: skip
        return f"/v1/answers/{fingerprint.hex()}"

    def path(self, stored: Stored, evidence: Sequence[tuple[str, str]] = ()) -> str:
        """Where an answer is published, "" if it is not."""
        fingerprint = self._results.fingerprint(stored, evidence=evidence, prompt_version=self._epoch)
        return f"/v1/answers/{fingerprint.hex()}" if self._edge.holds(fingerprint) else ""


def withdraw(edge: Edge, results: Results, entry: Entry[Stored]) -> bool:
    """Takes back the published form of a stored answer that was removed or reported wrong; whether there was one."""
    # A caller may have tagged the answer with an epoch of its own: all that might be the route's are tried.
    epochs = ["", *[tag.removeprefix("epoch:") for tag in entry.tags if tag.startswith("epoch:")]]
    prints = [results.fingerprint(entry.value, prompt_version=epoch) for epoch in epochs]
    return sum(map(edge.withdraw, prints)) > 0
