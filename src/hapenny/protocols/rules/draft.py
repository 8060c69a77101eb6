"""A request on its way to a service: what it is now, what was changed, what the answer must be freed of."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hapenny.core.answer import Transform
from hapenny.core.messages import Message, Request, Text
from hapenny.protocols.rules.subject import Service, Subject

HOME: dict[str, Service] = {
    "openai": "openai",
    "responses": "responses",
    "completions": "completions",
    "anthropic": "anthropic",
    "bedrock": "converse",
    "invoke": "invoke",
}
OPENAIS = frozenset(("openai", "responses", "completions"))
"""The dialects of OpenAI's clients."""
"""The service that a client's dialect belongs to."""
_KIN = frozenset(("anthropic", "invoke"))


class Draft:
    """The working copy of one request, passed from step to step."""

    __slots__ = ("kin", "native", "notes", "request", "subject", "undo")

    def __init__(self, request: Request, subject: Subject) -> None:
        self.request = request
        self.subject = subject
        self.notes: list[str] = []
        self.undo: list[Transform] = []
        self.native = HOME[request.protocol] == subject.service
        """Whether the client speaks to the service in its own dialect: what it says is its own affair, except for what
        another model behind this gateway may have left in the conversation."""
        self.kin = request.protocol in _KIN and subject.service in _KIN
        """Whether the client's dialect is the service's, be it at home there or not."""

    @property
    def foreign(self) -> bool:
        """Whether the request is translated."""
        return not self.native and not self.kin

    def change(self, **fields: Any) -> None:
        """Replaces fields of the request."""
        self.request = replace(self.request, **fields)

    def note(self, text: str) -> None:
        """Tells the client what was done."""
        if text not in self.notes:
            self.notes.append(text)

    def say(self, text: str) -> None:
        """Adds words to the end of the last turn of the user (or of its tools)."""
        messages = self.request.messages
        for i in range(len(messages) - 1, -1, -1):
            if messages[i].role == "assistant":
                break
            if messages[i].role == "user":
                changed = replace(messages[i], content=(*messages[i].content, Text(text)))
                self.change(messages=(*messages[:i], changed, *messages[i + 1 :]))
                return
        self.change(messages=(*messages, Message("user", (Text(text),))))
