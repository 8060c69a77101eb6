"""Redaction of what is whole: texts, JSON values, the arguments of a tool call."""

from __future__ import annotations

from typing import Any

import msgspec

from hapenny.core.messages import Json
from hapenny.guarding.policy import Policy
from hapenny.guarding.streaming import Tally, TextStream

_DEEPEST = 100
"""Levels of JSON that are walked; what lies deeper is redacted as text."""
_LABEL = 60
"""Characters of a field's name that are read as words before its value."""


class Redactor:
    """Redacts what is whole, and remembers why something is blocked.

    Args:
        policy: what is done about what is found.
        tally: where it is counted.
    """

    def __init__(self, policy: Policy, tally: Tally) -> None:
        self._policy = policy
        self._tally = tally
        self.blocked = ""
        """Why the first blocked text is; "" where none is."""

    def text(self, text: str) -> str:
        """A text after redaction; what stands before the place where it is blocked."""
        if not text:
            return text
        stream = TextStream(self._policy, self._tally)
        out = stream.whole(text)
        self.blocked = self.blocked or stream.blocked
        return out

    def json(self, value: Json) -> Json:
        """A JSON value whose texts and numbers are redacted; the very same where nothing changed."""
        return self._value("", value, _DEEPEST)

    def arguments(self, text: str) -> str:
        """A tool call's arguments, as JSON where they are; as they were written where nothing changed."""
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return self.text(text)
        redacted = self.json(value)
        return text if redacted is value else msgspec.json.encode(redacted).decode()

    def _value(self, name: str, value: Any, levels: int) -> Any:
        if isinstance(value, str):
            return self._labelled(name, value)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int | float):
            written = str(value)
            out = self._labelled(name, written)
            return value if out == written else out
        if not levels:
            written = msgspec.json.encode(value).decode()
            out = self.text(written)
            return value if out == written else out
        if isinstance(value, dict):
            return self._object(value, levels)
        if isinstance(value, list | tuple):
            made = [self._value(name, each, levels - 1) for each in value]
            return value if all(new is old for new, old in zip(made, value, strict=True)) else made
        return value

    def _object(self, value: dict[Any, Any], levels: int) -> dict[Any, Any]:
        out, changed = {}, False
        for key, each in value.items():
            name = key if isinstance(key, str) else ""
            named = self.text(name) if name else key
            made = self._value(name, each, levels - 1)
            changed = changed or made is not each or named != key
            out[named] = made
        return out if changed else value

    def _labelled(self, name: str, value: str) -> str:
        """A field's value, its name read as the words before it."""
        label = f"{name[-_LABEL:].replace('_', ' ')}: " if name else ""
        if not label:
            out = self.text(value)
        else:
            whole = self.text(label + value)
            out = whole[len(label) :] if whole.startswith(label) else self.text(value)
        return value if out == value else out
