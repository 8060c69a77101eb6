"""Tool schemas of older drafts and habits in the words of JSON Schema 2020-12, which Claude's services ask for.

Only what makes a schema invalid there is rewritten: lists of item schemas, limits that are true or false, `required` as
a flag of one property, names of types as programming languages have them. Everything else stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hapenny.protocols.rules.unchanged import same

_NAMED = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
_SINGLE = frozenset(("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"))
_LISTED = frozenset(("anyOf", "oneOf", "allOf", "prefixItems"))
_TYPES = frozenset(("object", "array", "string", "number", "integer", "boolean", "null"))
_MEANT = {
    "str": "string", "text": "string", "int": "integer", "float": "number", "double": "number", "bool": "boolean",
    "dict": "object", "map": "object", "list": "array", "tuple": "array", "none": "null",
}  # fmt: skip
DEEPEST = 100
"""How far schemas in schemas are followed."""


def each(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """`schema` with `change` done to every schema right inside it; itself where nothing changed."""
    out = dict(schema)
    for key, value in schema.items():
        if key in _SINGLE:
            out[key] = change(value)
        elif key in _NAMED and isinstance(value, dict):
            named = {name: change(inner) for name, inner in value.items()}
            out[key] = value if same(named.values(), value.values()) else named
        elif key in _LISTED and isinstance(value, list):
            listed = [change(inner) for inner in value]
            out[key] = value if same(listed, value) else listed
    return schema if same(out.values(), schema.values()) else out


def modern(schema: Any) -> Any:
    """`schema` as a schema of draft 2020-12; itself where it is one already, as far as this looks."""
    return schema if isinstance(schema, dict) and _is_modern(schema) else _rewritten(schema)


def _is_modern(schema: dict[str, Any], depth: int = 0) -> bool:
    """Whether nothing is to be rewritten, which is so of nearly every schema, and found without making anything."""
    if depth > DEEPEST:
        return True
    depth += 1
    for key, value in schema.items():
        if key == "type":
            if not (isinstance(value, str) and value in _TYPES) and _type(value) != value:
                return False
        elif key in _NAMED:
            if isinstance(value, dict):
                if not all(_fits(inner, depth) for inner in value.values()):
                    return False
            elif key == "properties":
                return False
        elif key in _SINGLE:
            if not _fits(value, depth):
                return False
        elif key in _LISTED:
            if isinstance(value, list) and not all(_fits(inner, depth) for inner in value):
                return False
        elif key == "required":
            if not isinstance(value, list):
                return False
        elif isinstance(value, bool) and key in ("exclusiveMinimum", "exclusiveMaximum"):
            return False
    return True


def _fits(schema: Any, depth: int) -> bool:
    return _is_modern(schema, depth) if isinstance(schema, dict) else isinstance(schema, bool)


def _rewritten(schema: Any, depth: int = 0) -> Any:
    if not isinstance(schema, dict) or depth > DEEPEST:
        return schema if isinstance(schema, dict | bool) else {}
    out = dict(schema)
    if isinstance(items := schema.get("items"), list):
        del out["items"]
        out["prefixItems"] = items
        if "additionalItems" in schema:
            out["items"] = out.pop("additionalItems")
    for limit, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(schema.get(strict), bool):
            flag = out.pop(strict)
            if flag and limit in out:
                out[strict] = out.pop(limit)
    if "required" in schema and not isinstance(schema["required"], list):
        del out["required"]
    if "properties" in schema and not isinstance(schema["properties"], dict):
        del out["properties"]
    if "type" in schema and (kind := _type(schema["type"])) != schema["type"]:
        del out["type"]
        if kind is not None:
            out["type"] = kind
    changed = out != schema
    inner = each(out, lambda one: _rewritten(one, depth + 1))
    return inner if changed or inner is not out else schema


def _type(given: Any) -> Any:
    """A type, or a list of them, by the names of JSON Schema; None where it says nothing."""
    if isinstance(given, list):
        listed = [kind for one in given if (kind := _type(one)) is not None]
        return listed or None
    if not isinstance(given, str):
        return None
    return given if given in _TYPES else _MEANT.get(given.lower())
