"""JSON schemas as services take them: for the answer's format of Claude, and for the input of tools.

Claude's structured output wants every object closed and knows few constraints
(platform.claude.com/docs/en/build-with-claude/structured-outputs); what it refuses is said in the description instead,
as Anthropic's own clients do. What cannot be said at all (open maps, any value, recursion) has no adapted form.
"""

from __future__ import annotations

import re
from typing import Any

from hapenny.protocols.fields import encode
from hapenny.protocols.rules.drafts_of_json_schema import DEEPEST, each

_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)  # fmt: skip
_REFUSED = frozenset(
    (
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
        "maxItems", "uniqueItems", "minContains", "maxContains", "contains", "prefixItems", "unevaluatedItems",
        "minProperties",
        "maxProperties", "patternProperties", "propertyNames", "unevaluatedProperties", "dependentRequired",
        "dependentSchemas", "dependencies", "oneOf", "not", "if", "then", "else", "nullable",
    )
)  # fmt: skip
_SILENT = frozenset(("$schema", "$id", "$comment", "examples", "deprecated", "readOnly", "writeOnly"))
"""Keywords that bind no answer: left out without a word."""
_KEPT = frozenset(("description", "title", "enum", "const", "default", "type", "required", "pattern"))
_LOOKS_AROUND = re.compile(r"\(\?|\\[0-9bB]")
_COMPOSED = ("anyOf", "oneOf", "allOf")
_DEFS = ("$defs", "definitions")
_NODES = 4_000
"""Values a schema may have once its references are written out."""


class Unsayable(Exception):
    """A schema has no form that the service takes."""


def adapted(schema: Any) -> tuple[dict[str, Any], list[str]]:
    """`schema` as Claude's structured output takes it, and the keywords that are said in descriptions alone.

    Raises:
        Unsayable: it allows what structured output cannot: an object with any keys, any value, itself.
    """
    if not isinstance(schema, dict) or _recursive(schema):
        raise Unsayable
    moved: list[str] = []
    return _adapted(schema, moved), sorted(set(moved))


def _adapted(schema: Any, moved: list[str]) -> dict[str, Any]:
    if not isinstance(schema, dict):
        raise Unsayable
    out: dict[str, Any] = {}
    for key in _DEFS:
        if isinstance(schema.get(key), dict):
            out[key] = {name: _adapted(inner, moved) for name, inner in schema[key].items()}
    if "$ref" in schema:
        if not str(schema["$ref"]).startswith("#"):
            raise Unsayable
        return {**out, "$ref": schema["$ref"]}
    kind = schema.get("type")
    composed = next((key for key in _COMPOSED if isinstance(schema.get(key), list) and schema[key]), None)
    if composed is not None and kind is None:
        out["allOf" if composed == "allOf" else "anyOf"] = [_adapted(inner, moved) for inner in schema[composed]]
    elif kind is None and "properties" in schema:
        kind = "object"
    elif kind is None and "enum" not in schema and "const" not in schema:
        raise Unsayable
    said: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _SILENT or key in _DEFS or key in ("type", "properties", "items", "additionalProperties"):
            continue
        if key in _COMPOSED:
            if key != composed or kind is not None:
                said[key] = value
        elif key == "format":
            (out if value in _FORMATS else said)[key] = value
        elif key == "minItems":
            (out if value in (0, 1) else said)[key] = value
        elif key == "pattern" and _LOOKS_AROUND.search(str(value)):
            said[key] = value
        elif key in _KEPT:
            out[key] = value
        else:
            said[key] = value
    if kind is not None:
        out["type"] = kind
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        _closed(schema, out, moved)
    if kind == "array" or (isinstance(kind, list) and "array" in kind):
        out["items"] = _adapted(schema.get("items"), moved)
    if said:
        moved += said
        words = "{" + ", ".join(f"{key}: {encode(value).decode()}" for key, value in said.items()) + "}"
        about = out.get("description")
        out["description"] = f"{about}\n\n{words}" if about else words
    return out


def _closed(schema: dict[str, Any], out: dict[str, Any], moved: list[str]) -> None:
    properties = schema.get("properties")
    more = schema.get("additionalProperties")
    if not isinstance(properties, dict) or not properties or isinstance(more, dict):
        raise Unsayable
    if more is not False:
        moved.append("additionalProperties")
    out["properties"] = {name: _adapted(inner, moved) for name, inner in properties.items()}
    out["additionalProperties"] = False


def _recursive(schema: dict[str, Any]) -> bool:
    """Whether a definition refers to itself, directly or by others."""
    refers: dict[str, set[str]] = {}
    for key in _DEFS:
        definitions = schema.get(key)
        for name, inner in (definitions if isinstance(definitions, dict) else {}).items():
            refers[f"#/{key}/{name}"] = set(_references(inner))
    if "#" in _references(schema):
        return True
    for start in refers:
        seen: set[str] = set()
        todo = list(refers[start])
        while todo:
            one = todo.pop()
            if one == start:
                return True
            if one not in seen:
                seen.add(one)
                todo += refers.get(one, ())
    return False


def _references(value: Any) -> list[str]:
    references: list[str] = []
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            if isinstance(one.get("$ref"), str):
                references.append(one["$ref"])
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return references


def refused_keyword(schema: Any) -> tuple[str, dict[str, Any]] | None:
    """The first thing in `schema` that Claude's structured output refuses: a rule's name, and what its words name."""
    todo = [schema]
    while todo:
        one = todo.pop()
        if not isinstance(one, dict):
            continue
        kind = one.get("type")
        if (kind == "object" or "properties" in one) and one.get("additionalProperties") is not False:
            return "schema_open", {}
        wrong = next((key for key in one if key in _REFUSED), None)
        if wrong is None and one.get("minItems") not in (None, 0, 1):
            wrong = "minItems"
        if wrong is None and one.get("format") is not None and one["format"] not in _FORMATS:
            wrong = "format"
        if wrong is not None:
            return "schema_keyword", {"type": kind, "value": wrong}
        for key in ("properties", *_DEFS):
            if isinstance(one.get(key), dict):
                todo += one[key].values()
        for key in ("anyOf", "allOf"):
            if isinstance(one.get(key), list):
                todo += one[key]
        todo.append(one.get("items"))
    return None


def lacks_items(schema: Any) -> bool:
    """Whether an array anywhere in a schema does not say what it holds."""
    return with_items(schema) is not schema


def with_items(schema: Any, depth: int = 0) -> Any:
    """A schema whose arrays all say what they hold (anything, where they said nothing); `schema` itself if they do."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return schema
    out = each(schema, lambda inner: with_items(inner, depth + 1))
    kind = schema.get("type")
    if (kind == "array" or (isinstance(kind, list) and "array" in kind)) and "items" not in schema:
        out = {**out, "items": {}}
    return out


def with_composition(schema: dict[str, Any]) -> bool:
    """Whether a schema is composed at its top."""
    return any(key in schema for key in _COMPOSED)


def tool_input(schema: Any, *, plain: bool = False) -> dict[str, Any]:
    """A tool's schema as Anthropic and Bedrock take it: an object at the top, not composed of others; `schema` itself
    where it is one already.

    Args:
        schema: as the client sent it, or None.
        plain: nothing at the top but type, properties and required, as Amazon Nova's guide asks.
    """
    if not isinstance(schema, dict):
        return {"type": "object", "properties": {}}
    out = schema
    if "$ref" in out:
        out = {**{key: value for key, value in out.items() if key != "$ref"}, **_target(schema, str(schema["$ref"]))}
    if with_composition(out):
        out = _merged(out, schema)
    if out.get("type") != "object":
        out = {**out, "type": "object"}
        out.setdefault("properties", {})
    if plain and out.keys() - {"type", "properties", "required"}:
        try:
            inlined = _inlined(out, out, 0, [_NODES])
        except Unsayable:
            return out  # recursive, or too large once written out: it needs its definitions
        out = {key: inlined[key] for key in ("type", "properties", "required") if key in inlined}
        out.setdefault("properties", {})
    return out


def _target(root: dict[str, Any], reference: str) -> dict[str, Any]:
    """What a reference within `root` means; {} if it means nothing."""
    value: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        value = value.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(value, dict) else None
    return value if isinstance(value, dict) and "$ref" not in value else {}


def _merged(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A composed object as one object: all properties of its parts, required where every part requires."""
    out = {key: value for key, value in schema.items() if key not in _COMPOSED}
    properties: dict[str, Any] = {}
    required: set[str] = set()
    for key in _COMPOSED:
        parts = [part for part in schema.get(key) or () if isinstance(part, dict)]
        parts = [_target(root, str(part["$ref"])) if "$ref" in part else part for part in parts]
        asked = []
        for part in parts:
            given = part.get("properties")
            for name, inner in (given if isinstance(given, dict) else {}).items():
                properties.setdefault(name, inner)
            asked.append({one for one in part.get("required") or () if isinstance(one, str)})
        if asked:
            required |= set.union(*asked) if key == "allOf" else set.intersection(*asked)
    own = out.get("properties")
    out["properties"] = {**properties, **(own if isinstance(own, dict) else {})}
    names = [one for one in out.get("required") or () if isinstance(one, str)]
    if names or required:
        out["required"] = [*names, *sorted(required - set(names))]
    return out


def _inlined(value: Any, root: dict[str, Any], depth: int, left: list[int]) -> Any:
    """`value` with its references written out, in at most `left` nodes. Raises `Unsayable`."""
    left[0] -= 1
    if left[0] < 0 or depth > 8:
        raise Unsayable
    if isinstance(value, list):
        return [_inlined(inner, root, depth, left) for inner in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        rest = {key: inner for key, inner in value.items() if key != "$ref"}
        return _inlined({**_target(root, str(value["$ref"])), **rest}, root, depth + 1, left)
    return {
        key: _inlined(inner, root, depth, left) for key, inner in value.items() if value is not root or key not in _DEFS
    }
