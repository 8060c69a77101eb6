"""The tool calls of one streamed choice, told apart, and whether the arguments of one are complete."""

from __future__ import annotations

import re
from typing import Any

from hapenny.core.errors import Failure
from hapenny.core.messages import Opaque
from hapenny.protocols import fields as f
from hapenny.protocols.openai.pieces import FORM, text_of

_MARKS = re.compile(r'\\.|\\\Z|["{}\[\]]', re.DOTALL)


class Call:
    """A tool call. `block` is -1 as long as it waits for another one to be complete, or for its name; its pieces are
    kept until then."""

    __slots__ = ("_depth", "_escaped", "_opened", "_quoted", "_read", "block", "form", "held", "id", "name", "number",
                 "payload", "pieces")  # fmt: skip

    def __init__(self, number: int, id_: str, name: str, form: str, payload: Any) -> None:
        self.number, self.id, self.name, self.form, self.payload = number, id_, name, form, payload
        self.block = -1
        self.pieces: list[str] = []
        self.held: list[Any] = []
        """What came of it before its block could begin."""
        self._read = 0
        self._depth = 0
        self._opened = self._quoted = self._escaped = False

    def complete(self) -> bool:
        """Whether the pieces so far make a whole JSON object (or list). Reads each piece once."""
        while self._read < len(self.pieces):
            self._scan(self.pieces[self._read])
            self._read += 1
        return self._opened and not self._depth

    @property
    def begun(self) -> bool:
        """Whether any of its arguments has come."""
        return any(self.pieces)

    def _scan(self, piece: str) -> None:
        start = 0
        if self._escaped and piece:
            self._escaped, start = False, 1
        for match in _MARKS.finditer(piece, start):
            mark = match[0]
            if mark[0] == "\\":
                self._escaped = len(mark) == 1
            elif mark == '"':
                self._quoted = not self._quoted
            elif self._quoted:
                continue
            elif mark in "{[":
                self._depth += 1
                self._opened = True
            else:
                self._depth -= 1


class Calls:
    """Finds the call that an entry of `tool_calls` belongs to. `stem` begins the ids of calls that came without."""

    __slots__ = ("_at", "_last", "_named", "_stem", "count")

    def __init__(self, stem: str) -> None:
        self._stem = stem
        self._at: dict[int, Call] = {}
        self._named: dict[str, Call] = {}
        self._last: Call | None = None
        self.count = 0

    def take(self, entry: dict[str, Any], form: str, *, whole: bool = False) -> tuple[Call, bool, str, bool]:
        """The call, whether it is a new one, its next arguments, and whether `entry` was mended. `whole`: each entry is
        a call.

        Servers differ: some put all calls at index 0 with ids of their own (Gemini), leave out ids or indices, write
        an index as text, repeat id and name in each piece (Fireworks, LiteLLM), or change the id after the first piece
        (Poolside). Another id with a name is another call; arguments that begin anew after a whole object too. `entry`
        is mended to what OpenAI itself would have sent, so that its clients can put the pieces together.
        """
        mended = False
        function = entry.get("function")
        if function is None and entry.get("type") == "function" and not whole:
            function = entry["function"] = {"arguments": ""}  # its name comes with a later piece
            mended = True
        inner = function if type(function) is dict else entry.get("custom")
        arguments, name = "", ""
        if type(inner) is dict:
            name = text_of(inner.get("name"))
            key = "arguments" if inner is function else "input"
            given = inner.get(key)
            if type(given) is str:
                arguments = given
            elif given is not None:
                arguments = inner[key] = f.encode(given).decode()
                mended = True
        id_ = text_of(entry.get("id"))
        number = _number(entry.get("index"))
        call = None if whole else self._known(number, id_, name, arguments)
        fresh = call is None
        if call is None:
            call = self._new(number, id_, name, form, entry, inner is function)
            if form != "function_call" and entry.get("id") != call.id and call.id:
                entry["id"] = call.id
                mended = True
        elif form != "function_call" and (id_ or name):
            entry.pop("id", None)
            if name and not call.name:
                call.name = name
            elif type(inner) is dict:
                inner.pop("name", None)
            mended = True
        if form != "function_call" and entry.get("index") != call.number:
            entry["index"] = call.number
            mended = True
        if arguments.strip() == "null" and type(function) is dict and not call.begun:
            arguments = function["arguments"] = ""  # what some models write for a tool without parameters
            mended = True
        self._last = call
        return call, fresh, arguments, mended

    def _known(self, number: int, id_: str, name: str, arguments: str) -> Call | None:
        call = self._last if number < 0 else self._at.get(number)
        if not name and id_ and (call is None or number < 0):
            return self._named.get(id_)
        if call is None or not name:
            return call
        if id_ == call.id:
            return call
        if id_:
            same = name == call.name and call.begun and not call.complete()
            return call if same else None
        if number < 0:
            return None
        return None if call.complete() and arguments.strip() else call

    def _new(self, number: int, id_: str, name: str, form: str, entry: dict[str, Any], function: bool) -> Call:
        if not function and type(entry.get("custom")) is not dict:
            payload: Any = Opaque("openai", f.bound_upstream(entry))
        elif not function:
            payload = Opaque("openai", f.bound_upstream({k: v for k, v in entry.items() if k != "index"}))
        else:
            payload = None
        if payload is None or not id_:
            id_ = self._unused(id_)
        call = Call(self.count, id_, name, form, payload)
        self._named.setdefault(id_, call)
        self.count += 1
        self._at[number if number >= 0 else call.number] = call
        return call

    def _unused(self, id_: str) -> str:
        if not id_:
            id_ = f"{self._stem}_{self.count}"
        while id_ in self._named:
            id_ = f"{id_}_{self.count}"
        return id_


def _number(value: Any) -> int:
    if type(value) is str and value.isdecimal() and len(value) < 6:
        value = int(value)
    return value if type(value) is int and 0 <= value < 1 << 20 else -1


def entry_of(call: Any) -> dict[str, Any]:
    """`call`, if it is an object."""
    if type(call) is not dict:
        raise Failure("upstream", "The provider's stream holds a tool call that is no object.")
    return call


def call_extras(entry: dict[str, Any], form: str) -> dict[str, Any]:
    """What of a call no event says, by owner."""
    extras = {key: value for key, value in entry.items() if key not in _CALL and value is not None}
    function = entry.get("function")
    if type(function) is dict:
        inner = {key: value for key, value in function.items() if key not in _FUNCTION and value is not None}
        if inner:
            extras["function"] = inner
    owned: dict[str, Any] = {"openai": f.bound_upstream(extras)} if extras else {}
    return {**owned, FORM: form} if form else owned


_CALL = {"index", "id", "type", "function"}
_FUNCTION = {"name", "arguments"}
