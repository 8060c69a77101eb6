"""Values that fit a JSON schema, made of the words and numbers of a text: what simulated models put into answers and
tool calls."""

from __future__ import annotations

import re
from typing import Any

from hapenny.simulation.latents import chance

_DEEP = 8
"""Levels from which on only what is required is filled, so that a schema that holds itself comes to an end."""
_DEEPEST = 24
_VALUES = 2_000
"""Values in one answer at most: definitions may multiply one another."""
_FORMATS = {
    "date-time": "2026-11-20T10:00:00Z",
    "date": "2026-11-20",
    "time": "10:00:00Z",
    "duration": "P1D",
    "email": "ann@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fill(schema: Any, text: str, seed: object) -> Any:
    """A value that fits `schema`, from the words and numbers of `text`. References within the schema are followed."""
    return _Filling(schema, text, seed).value(schema, 0)


class _Filling:
    """One schema being filled."""

    def __init__(self, root: Any, text: str, seed: object) -> None:
        self._root = root
        self._text = text
        self._seed = seed
        self._left = _VALUES
        self._numbers = [int(one) for one in re.findall(r"\d{1,15}", text)]

    def value(self, schema: Any, depth: int) -> Any:
        """A value for `schema`, a part of the root."""
        self._left -= 1
        schema = self._followed(schema)
        if not isinstance(schema, dict) or depth > _DEEPEST or self._left < 0:
            return self._text
        for word in ("enum", "const"):
            if word in schema:
                options = schema[word] if word == "enum" else [schema[word]]
                if not isinstance(options, list) or not options:
                    return None
                shared = [option for option in options if str(option).casefold() in self._text.casefold()]
                return (shared or options)[0]
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list) and schema[word]:
                return self.value(self._chosen(schema[word], depth), depth + 1)
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self._all(schema, depth)
        return self._plain(schema, depth)

    def _followed(self, schema: Any) -> Any:
        """What a reference means; a few hops at most."""
        for _ in range(8):
            if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
                return schema
            target: Any = self._root
            for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
                name = step.replace("~1", "/").replace("~0", "~")
                target = target.get(name) if isinstance(target, dict) and step else target
            schema = target
        return schema

    def _chosen(self, options: list[Any], depth: int) -> Any:
        """The first alternative; deep down one that says null, where there is one."""
        nulls = [one for one in options if isinstance(one, dict) and one.get("type") == "null"]
        if depth > _DEEP and nulls:
            return nulls[0]
        return next((one for one in options if one not in nulls), options[0])

    def _all(self, schema: dict[str, Any], depth: int) -> Any:
        parts = [self.value(one, depth + 1) for one in schema["allOf"]]
        objects = [part for part in parts if isinstance(part, dict)]
        if not objects:
            return parts[0]
        merged: dict[str, Any] = {}
        for part in objects:
            merged |= part
        own = self._plain({**schema, "type": "object"}, depth) if "properties" in schema else {}
        return {**merged, **own}

    def _plain(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return self._number(schema, kind)
            case "boolean":
                return chance(self._seed, "flag", self._text) < 0.5
            case "null":
                return None
            case _:
                return self._string(schema)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        if depth > _DEEP:
            required = schema.get("required")
            names = [one for one in required if one in properties] if isinstance(required, list) else []
            properties = {name: properties[name] for name in names}
        return {str(name): self.value(inner, depth + 1) for name, inner in properties.items()}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        least = least if isinstance(least, int) and 0 <= least <= 50 else 0
        first = schema.get("prefixItems")
        if isinstance(first, list):
            return [self.value(one, depth + 1) for one in first]
        count = least if depth > _DEEP else max(1, least)
        return [self.value(schema.get("items", {"type": "string"}), depth + 1) for _ in range(count)]

    def _number(self, schema: dict[str, Any], kind: str) -> int | float:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        low = low if isinstance(low, int | float) and not isinstance(low, bool) else None
        high = high if isinstance(high, int | float) and not isinstance(high, bool) else None
        value: int | float = self._numbers[0] if self._numbers else (low or 0)
        if (low is not None and value < low) or (high is not None and value > high):
            value = low if low is not None else high if high is not None else value
        if "exclusiveMinimum" in schema and value == low:
            value += 1
        return int(value) if kind == "integer" else value

    def _string(self, schema: dict[str, Any]) -> str:
        shape = schema.get("format")
        if isinstance(shape, str) and shape in _FORMATS:
            return _FORMATS[shape]
        most = schema.get("maxLength")
        return self._text[:most] if isinstance(most, int) and 0 <= most < len(self._text) else self._text
