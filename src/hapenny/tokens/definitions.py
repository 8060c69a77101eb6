"""Tool definitions without what says nothing: layout white space, titles that only repeat a name, empty keywords.

A definition is part of the prompt in every call. On the wire it must stay a JSON schema, so there are no rows here:
names, types, enums, required, defaults, formats and the order of keys stay as they are, and `meaning` of both forms is
equal. Each definition is rewritten by itself alone: the same tool has the same bytes in every request, and the
provider's cached prefix holds.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from hapenny.core.messages import Tool

Json: TypeAlias = Any

_BY_NAME = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
"""Keywords whose members are schemas under names of the author's choice."""
_SCHEMAS = frozenset(("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"))
_LISTS = frozenset(("anyOf", "oneOf", "allOf", "prefixItems"))
_TRAILING = re.compile(r"(?<![ \t])[ \t]++(?=\n)|(?<!\s)\s++\Z|\A\s*\n")
_BLANK_LINES = re.compile(r"\n{3,}")
_WIDE = re.compile(r"(?<=[.!?:;,]) {2,}(?=\S)")
_KEPT = 4096


class Definitions:
    """Rewrites tool definitions; remembers them, because they come with every request. Holds hashes and the shorter
    tools alone, at most `capacity` of them."""

    def __init__(self, capacity: int = _KEPT) -> None:
        self._known: OrderedDict[int, Tool | None] = OrderedDict()
        self._capacity = capacity

    def __call__(self, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
        """The tools as they should be sent; the very same tuple if nothing gets shorter."""
        smaller = tuple(self._one(tool) for tool in tools)
        return smaller if any(a is not b for a, b in zip(smaller, tools, strict=True)) else tools

    def _one(self, tool: Tool) -> Tool:
        if tool.kind or (tool.schema is None and not tool.description):
            return tool  # a provider's own tool is named, not described
        key = hash((tool.name, tool.description, tool.strict, msgspec.json.encode(tool.schema)))
        if key in self._known:
            self._known.move_to_end(key)
            known = self._known[key]
            # Checkpoint and extras are the request's, not the definition's.
            return tool if known is None else replace(tool, description=known.description, schema=known.schema)
        shorter = shortened(tool)
        changed = shorter.description != tool.description or shorter.schema != tool.schema
        self._known[key] = Tool(tool.name, shorter.description, shorter.schema) if changed else None
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return shorter if changed else tool


def shortened(tool: Tool) -> Tool:
    """One definition in its shortest form. Of a `strict` tool, whose schema providers check to the letter, only the
    descriptions."""
    description = tidy(tool.description) if tool.description else tool.description
    schema = _schema(tool.schema, tool.name, strict=bool(tool.strict)) if isinstance(tool.schema, dict) else tool.schema
    return replace(tool, description=description, schema=schema)


def tidy(text: str) -> str:
    """A description without common indentation, white space at line ends, blank lines in a row and wide gaps between
    sentences. Indentation of lines against each other stays: examples of code keep their shape."""
    if "\n" in text:
        first, *rest = text.expandtabs().split("\n")
        margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
        text = "\n".join([first.lstrip(), *(line[margin:] for line in rest)])
    return _WIDE.sub(" ", _BLANK_LINES.sub("\n\n", _TRAILING.sub("", text)))


def meaning(schema: Json, name: str = "") -> Json:
    """What a schema says, in one form: equal for a schema and its shortened form, and only for those that validate the
    same and describe with the same words."""
    return _schema(schema, name, strict=False) if isinstance(schema, dict) else schema


def _schema(schema: dict[str, Json], name: str, *, strict: bool, root: bool = True) -> dict[str, Json]:
    fields: dict[str, Json] = {}
    for key, value in schema.items():
        if not strict and _says_nothing(key, value, name, root):
            continue
        if key == "description" and isinstance(value, str):
            fields[key] = tidy(value)
        elif key in _BY_NAME and isinstance(value, dict):
            fields[key] = {inner: _inside(each, inner, strict) for inner, each in value.items()}
        elif key in _LISTS and isinstance(value, list):
            fields[key] = [_inside(each, name, strict) for each in value]
        elif key in _SCHEMAS:
            fields[key] = _inside(value, name, strict)
        else:
            fields[key] = value
    return fields


def _inside(value: Json, name: str, strict: bool) -> Json:
    return _schema(value, name, strict=strict, root=False) if isinstance(value, dict) else value


def _says_nothing(key: str, value: Json, name: str, root: bool) -> bool:
    """Keywords that neither restrict a value nor tell a reader anything."""
    if key == "$schema":
        return root and isinstance(value, str)
    if key == "title":  # made from the name by a library, not written by anybody
        return isinstance(value, str) and _letters(value) == _letters(name)
    return (key == "required" and value == []) or (key == "description" and value == "")


def _letters(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())


def text_of(tool: Tool) -> str:
    """A definition as the model reads it, for counting."""
    written = msgspec.json.encode(tool.schema).decode() if tool.schema is not None else ""
    return f"{tool.name}\n{tool.description or ''}\n{written}"
