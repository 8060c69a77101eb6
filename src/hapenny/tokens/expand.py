"""Reading the compact form back: the exact inverse of `compact`."""

from __future__ import annotations

import re
from collections.abc import Callable
from json import decoder
from typing import Any

from hapenny.tokens.compact import LITERAL, Const, Items, Json, Kind, Leaf, Number, Record, Shape

_SCAN: Callable[[str, int, bool], tuple[str, int]] = vars(decoder)["scanstring"]
_BARE = re.compile('[^,\\[\\]{}"\n]*')
_KEY = re.compile('[^,:=~$\\[\\]{}"\\s]*')
_ENDS = re.compile(r"~([\dT:. +-]*)\*(Z|[+-]\d\d:?\d\d|)")
_LENGTH = re.compile(r"(\d{1,12}) ")


class Unreadable(ValueError):
    """The text is not in the compact form."""


def expand(kind: Kind, text: str) -> Json:
    """The JSON value of a compact text. Raises Unreadable."""
    reader = _Reader(text)
    try:
        if kind == "rows":
            value: Json = reader.table(end=None)
        elif kind == "lines":
            value = reader.members("\n", end=None)
        else:
            value = reader.value()
    except (IndexError, ValueError) as error:
        raise Unreadable(str(error)) from error
    if reader.place != len(text):
        raise Unreadable(f"text left over at {reader.place}")
    return value


def bare(text: str, stringly: bool = False) -> Json:
    """What an unquoted text stands for."""
    if stringly or not LITERAL.match(text):
        return text
    if text == "true":
        return True
    if text == "false":
        return False
    if text == "null":
        return None
    return number(text)


def number(text: str) -> Json:
    """An int or float that writes itself as `text`, else the text as a `Number`."""
    try:
        value: int | float = int(text)
    except ValueError:
        value = float(text)
        return value if repr(value) == text else Number(text)
    return value if str(value) == text else Number(text)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def peek(self) -> str:
        return self.text[self.place : self.place + 1]

    def take(self, char: str) -> None:
        if self.peek() != char:
            raise Unreadable(f"{char!r} expected at {self.place}")
        self.place += 1

    def quoted(self) -> str:
        value: str
        value, self.place = _SCAN(self.text, self.place + 1, True)
        return value

    def key(self) -> str:
        if self.peek() == '"':
            return self.quoted()
        match = _KEY.match(self.text, self.place)
        assert match is not None
        self.place = match.end()
        return match.group()

    def cell(self, stringly: bool = False) -> Json:
        if self.peek() == '"':
            return self.quoted()
        match = _BARE.match(self.text, self.place)
        assert match is not None
        self.place = match.end()
        return bare(match.group().removeprefix(" "), stringly)

    def value(self) -> Json:
        char = self.peek()
        if char == "{":
            return self.braces()
        if char == "[":
            self.place += 1
            items: list[Any] = []
            if self.peek() == "]":
                self.place += 1
                return items
            while True:
                items.append(self.value())
                if self.peek() == "]":
                    self.place += 1
                    return items
                self.take(",")
        return self.cell()

    def braces(self) -> Json:
        """An object, or rows: a head's first field is never followed by a colon."""
        self.take("{")
        if self.peek() == "}":
            self.place += 1
            return {}
        start = self.place
        is_object = False
        if self.peek() != "[":
            self.key()
            is_object = self.peek() == ":"
        self.place = start
        value: Json = self.members(",", end="}") if is_object else self.table(end="}")
        self.take("}")
        return value

    def members(self, between: str, end: str | None) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while True:
            key = self.key()
            self.take(":")
            members[key] = self.value()
            if self.done(end):
                return members
            self.take(between)

    def done(self, end: str | None) -> bool:
        return self.place == len(self.text) if end is None else self.peek() == end

    def table(self, end: str | None) -> list[Any]:
        shape: Shape
        if self.peek() == "[":
            self.place += 1
            shape = self.items_head()
        else:
            shape = Record(self.fields())
        rows = []
        while not self.done(end):
            self.take("\n")
            rows.append(self.row(shape, _First()))
        return rows

    def fields(self) -> list[tuple[str, Shape]]:
        fields: list[tuple[str, Shape]] = []
        while True:
            fields.append((self.key(), self.field()))
            if self.peek() != ",":
                return fields
            self.place += 1

    def field(self) -> Shape:
        char = self.peek()
        if char == "=":
            self.place += 1
            return Const(self.value())
        if char == "$":
            self.place += 1
            return Leaf(stringly=True)
        if char == "~":
            match = _ENDS.match(self.text, self.place)
            if match is None:
                raise Unreadable(f"no moment at {self.place}")
            self.place = match.end()
            return Leaf(ends=(match.group(1), match.group(2)))
        if char == "{":
            self.place += 1
            record = Record(self.fields())
            self.take("}")
            return record
        if char == "[":
            self.place += 1
            return self.items_head()
        return Leaf()

    def items_head(self) -> Items:
        match = _LENGTH.match(self.text, self.place)
        length = None
        if match is not None:
            length = int(match.group(1))
            self.place = match.end()
        items = Items(Record(self.fields()), length)
        self.take("]")
        return items

    def row(self, shape: Shape, first: _First) -> Json:
        if isinstance(shape, Const):
            return shape.value
        if isinstance(shape, Record):
            values = {}
            for key, inner in shape.fields:
                if isinstance(inner, Leaf):
                    first.pass_comma(self)
                    if self.peek() in ("", ",", "\n", "}", "]"):
                        continue
                    values[key] = self.leaf(inner)
                else:
                    values[key] = self.row(inner, first)
            return values
        if isinstance(shape, Items):
            if shape.length is not None:
                return [self.row(shape.record, first) for _ in range(shape.length)]
            first.pass_comma(self)
            self.take("[")
            items: list[Any] = []
            if self.peek() == "]" and self.text[self.place - 1] == "[":
                self.place += 1
                return items
            while True:
                items.append(self.row(shape.record, _First()))
                if self.peek() == "]":
                    self.place += 1
                    return items
                self.take("\n")
        raise Unreadable("a leaf stands in a record")

    def leaf(self, shape: Leaf) -> Json:
        if shape.ends is not None:
            match = _BARE.match(self.text, self.place)
            assert match is not None
            self.place = match.end()
            return shape.ends[0] + match.group() + shape.ends[1]
        return self.cell(True) if shape.stringly else self.value()


class _First:
    """Whether a row's first cell is still to come: each later one begins with a comma."""

    __slots__ = ("started",)

    def __init__(self) -> None:
        self.started = False

    def pass_comma(self, reader: _Reader) -> None:
        if self.started:
            reader.take(",")
        self.started = True
