"""Which answers go to the edge: those of routes declared `shared` that a second, independent answer was found equal to.

An answer is verified when the model gave the same one again (another question with the same result fingerprint), or
when the semantic layer's judge called a fresh answer equal to it. Its address is its result fingerprint; clients learn
it from the notes of the answers that carry it.

Who asks for the first time knows no address. Where a route's questions alone decide its answers (`edge.questions`), an
answer is published under the hash of its question as well, which a client, or a function at the edge, computes by
itself (`question_key`). Should the same question turn out to have different answers after all (another system prompt,
another model), its address is withdrawn and stays so for the knowledge epoch.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import OrderedDict

import msgspec

from hapenny.caching.edge import EVIDENCE, ROUTE, Edge
from hapenny.caching.stored import AnswerDedup, Stored, evidence_tags, result_tag
from hapenny.core.events import TextDelta
from hapenny.core.messages import Request, Text

_SPACE = re.compile("[ \t\r\n]+")
LONGEST = 4_000
"""Characters of a question that has an address."""
_REMEMBERED = 50_000
"""Questions whose answers are known to be one or several."""


def question_key(route: str, epoch: str, question: str) -> bytes:
    """32 bytes: the address of a question's answer. Clients compute the same: SHA-256 over the UTF-8 of
    `hapenny-question`, route, epoch and question, a newline between them; the question in Unicode NFC, spaces, tabs and
    newlines made one space, none at its ends."""
    text = f"hapenny-question\n{route}\n{epoch}\n{plain(question)}"
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def plain(question: str) -> str:
    """A question as it is hashed."""
    return _SPACE.sub(" ", unicodedata.normalize("NFC", question)).strip(" ")


def question_of(request: Request) -> str:
    """The question of a request that is one and nothing else; "" where it is more."""
    if len(request.messages) != 1 or request.tools:
        return ""
    (message,) = request.messages
    if message.role != "user" or not all(type(block) is Text for block in message.content):
        return ""
    return message.text if len(message.text) <= LONGEST else ""


class Publisher:
    """Publishes the verified answers of one shared route under its knowledge epoch."""

    def __init__(
        self, edge: Edge, results: AnswerDedup, epoch: str, ttl: float, route: str = "", questions: bool = False
    ) -> None:
        """`ttl`: seconds an answer of the route is served, here as elsewhere; `route`: its name; `questions`: whether a
        question alone decides the answer, which then has an address by it."""
        self._questions = questions
        self._known: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()
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
        fingerprint = self._print(stored)
        body = msgspec.json.encode({"id": fingerprint.hex(), "model": stored.model, "answer": text})
        self._edge.publish(
            fingerprint, body, scope="shared", verified=True, epoch=self._epoch, ttl=self._ttl, tags=self._tags(stored)
        )
        return f"/v1/answers/{fingerprint.hex()}"

    def asked(self, request: Request, key: bytes, stored: Stored) -> None:
        """Learns that a request of the exact key `key` has this answer, and publishes it by its question if it is
        published at all."""
        question = question_of(request) if self._questions else ""
        if not question or plain(question) != question:
            return  # written otherwise, it may have been answered in other words: the plain form's answer counts
        address, fingerprint = question_key(self._route or "default", self._epoch, question), self._print(stored)
        known = self._known.get(address)
        if known is not None and known[0] != key and known[1] != fingerprint:
            self._known[address] = (key, b"")  # two answers to one question: it has none for everybody
            self._edge.answers.delete(address)
            return
        if known is not None and not known[1]:
            return
        self._known[address] = (key, fingerprint)
        self._known.move_to_end(address)
        while len(self._known) > _REMEMBERED:
            gone, _ = self._known.popitem(last=False)
            self._edge.answers.delete(gone)
        page, now = self._edge.answers.peek(fingerprint), self._edge.now()
        if page is None or not page.fresh(now):
            self._edge.answers.delete(address)
            return
        there = self._edge.answers.peek(address)
        if there is None or there.value.body is not page.value.body:  # the same bytes are that page, with its life
            self._edge.publish(
                address, page.value.body, scope="shared", verified=True, epoch=self._epoch,
                ttl=page.expires - now, tags=self._tags(stored),
            )  # fmt: skip

    def path(self, stored: Stored) -> str:
        """Where an answer is published, "" if it is not."""
        fingerprint = self._print(stored)
        return f"/v1/answers/{fingerprint.hex()}" if self._edge.holds(fingerprint) else ""

    def _print(self, stored: Stored) -> bytes:
        return self._results.fingerprint(stored, self._epoch)

    def _tags(self, stored: Stored) -> tuple[str, ...]:
        return (f"{ROUTE}{self._route}", f"model:{stored.model}", result_tag(self._results.fingerprint(stored)),
                *((EVIDENCE,) if stored.evidence else ()), *evidence_tags(stored.evidence))  # fmt: skip
