"""Choosing the smallest lossless form of a text that is JSON: as it is, minified or compact.

Whichever the model's own estimate says is smallest; whatever is chosen was read back and compared first.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Literal, TypeAlias

import msgspec

from hapenny.tokens.compact import Json, Kind, Number, compact
from hapenny.tokens.expand import Unreadable, expand, number

Form: TypeAlias = Literal["same", "minified", "rows", "lines", "value"]
Count: TypeAlias = Callable[[str], float]

_LEAST = 24  # characters under which nothing is worth a look
_MARGIN = 0.97  # a compact text must beat minified by this much: estimates err


class Smaller(msgspec.Struct, frozen=True):
    """A text in its smallest lossless form."""

    text: str
    form: Form
    records: bool = False
    """Whether the text is an array of records: data by its shape, whoever wrote it."""


class Refused(ValueError):
    """JSON that cannot be written another way without losing something (duplicate keys, NaN)."""


def parse(text: str) -> Json:
    """The JSON value of a text, numbers kept to the letter. Raises ValueError."""
    return _DECODER.decode(text)


def minify(value: Json) -> str:
    """The shortest plain JSON, nothing escaped that need not be."""
    written = _ENCODER.encode(value)
    # The C encoder takes a Number for a string; they are rare.
    return _to_the_letter(value) if _has_number(value) else written


def _has_number(value: Json) -> bool:
    kind = type(value)
    if kind is dict or kind is list:
        for inner in value.values() if kind is dict else value:
            inner_kind = type(inner)
            if inner_kind is Number or ((inner_kind is dict or inner_kind is list) and _has_number(inner)):
                return True
        return False
    return kind is Number


def _to_the_letter(value: Json) -> str:
    if type(value) is dict:
        members = [f"{encode_basestring(key)}:{_to_the_letter(inner)}" for key, inner in value.items()]
        return "{" + ",".join(members) + "}"
    if type(value) is list:
        return "[" + ",".join([_to_the_letter(item) for item in value]) + "]"
    return str(value) if type(value) is Number else _ENCODER.encode(value)


def smallest(text: str, count: Count, compact_forms: bool = True) -> Smaller:
    """The smallest lossless form of `text` by `count`; the text itself if it is no JSON object or array.

    `compact_forms` False: minified at most.
    """
    same = Smaller(text, "same")
    if len(text) < _LEAST or text.lstrip()[:1] not in ("{", "["):
        return same
    try:
        value = parse(text)
        minified = minify(value)
        minified.encode()
    except (ValueError, RecursionError):
        return same
    records = are_records(value)
    same = Smaller(text, "same", records)
    kind, shorter = compact(value) if compact_forms else ("value", minified)
    if (
        len(shorter) < len(minified)
        and count(shorter) < _MARGIN * count(minified)
        and reads_back(kind, shorter, minified)
    ):
        return Smaller(shorter, kind, records)
    return Smaller(minified, "minified", records) if len(minified) < len(text) else same


def are_records(value: Json) -> bool:
    """Whether a JSON value is an array of at least two objects."""
    return type(value) is list and len(value) > 1 and all(type(one) is dict for one in value)


def reads_back(kind: Kind, text: str, minified: str) -> bool:
    """Whether the compact text gives exactly the value whose minified JSON is `minified`."""
    try:
        return minify(expand(kind, text)) == minified
    except Unreadable:
        return False


def restore(form: Form, text: str) -> Json:
    """The JSON value behind any form. Raises ValueError if the text is not of that form."""
    if form == "rows" or form == "lines" or form == "value":
        return expand(form, text)
    return parse(text)


class Shrinker:
    """`smallest` with a memory: the tool results of a conversation come back with every request.

    Keeps results by the text's hash and length, at most `capacity` of them and `characters` of text.
    """

    def __init__(self, capacity: int = 2048, characters: int = 8_000_000, *, compact_forms: bool = True) -> None:
        self._known: OrderedDict[tuple[int, int], Smaller] = OrderedDict()
        self._capacity = capacity
        self._characters = characters
        self._held = 0
        self._compact_forms = compact_forms

    def __call__(self, text: str, count: Count) -> Smaller:
        """The smallest form; remembered, so that a result keeps the bytes it was first sent with."""
        key = (hash(text), len(text))
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        smaller = self._known[key] = smallest(text, count, self._compact_forms)
        self._held += len(smaller.text)
        while len(self._known) > self._capacity or self._held > self._characters:
            _, dropped = self._known.popitem(last=False)
            self._held -= len(dropped.text)
        return smaller


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refused("an object has the same key twice")
    return members


def _refuse(text: str) -> Json:
    raise Refused(f"{text} is not JSON")


def _float(text: str) -> Json:
    value = float(text)
    return value if repr(value) == text else Number(text)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_float, parse_int=number, parse_constant=_refuse)
