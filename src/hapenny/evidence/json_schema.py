"""Whether an answer is JSON of a schema that a client or an operator sent (JSON Schema 2020-12).

The library checks; what is set otherwise here bounds the work, since neither schema nor answer is ours: patterns are
not run (Python's `re` can be made to take for ever), nothing is fetched, references are followed so often and no more,
and repeated items are found by their text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any

import msgspec

REFERENCES = 2_000
"""References followed in one check. One that goes beyond says: does not fit."""


_followed: ContextVar[int] = ContextVar("followed")
"""How many the check under way has followed."""


class _TooMuch(Exception):
    """More references than are followed."""


def fits(value: Any, shape: Mapping[str, Any]) -> bool:
    """Whether a JSON value fits a schema. A schema that is none fits nothing."""
    kind, registry, errors = _library()
    before = _followed.set(0)
    try:
        return bool(kind(shape, registry=registry).is_valid(value))
    except errors:
        return False
    finally:
        _followed.reset(before)


def schema(answer: str, shape: Mapping[str, Any]) -> float:
    """1 if the answer, bare or in a code fence, is JSON that fits the schema, else 0."""
    text = answer.strip()
    if text.startswith("```"):
        text = text.strip("`").removeprefix("json").strip()
    try:
        value = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, RecursionError):
        return 0.0
    return float(fits(value, shape))


@cache
def _library() -> tuple[Any, Any, tuple[type[Exception], ...]]:
    """The bounded validator, made when the first schema is to be checked: loading the library takes a sixth of a
    second, and making a validator as long as a dozen checks."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, UnknownType
    from jsonschema.validators import extend
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    ours = (_TooMuch, RecursionError, TypeError, ValueError, AttributeError, KeyError)  # the last four: it is no schema
    bounded = {"$ref": _reference, "$dynamicRef": _reference, "pattern": _unasked, "patternProperties": _unasked,
               "format": _unasked, "uniqueItems": _unique}  # fmt: skip
    return extend(Draft202012Validator, bounded), Registry(), (SchemaError, UnknownType, Unresolvable, *ours)


def _reference(validator: Any, target: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import Draft202012Validator

    followed = _followed.get() + 1
    if followed > REFERENCES:
        raise _TooMuch
    _followed.set(followed)
    yield from Draft202012Validator.VALIDATORS["$ref"](validator, target, instance, schema)


def _unasked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    return iter(())


def _unique(validator: Any, unique: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if unique is True and isinstance(instance, list):
        from jsonschema.exceptions import ValidationError

        texts = [msgspec.json.encode(item, order="sorted") for item in instance]
        if len(set(texts)) < len(texts):
            yield ValidationError("items are repeated")
