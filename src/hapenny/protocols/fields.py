"""Reading and writing JSON for the codecs: every wrong value becomes a `Failure` that names field and fix."""

from __future__ import annotations

import binascii
import math
from typing import Any, NoReturn

import msgspec

from hapenny.core.errors import Failure, invalid
from hapenny.core.messages import Json, Ttl
from hapenny.protocols import nearly_json

MAX_DEPTH = 100
"""Nesting of arrays and objects in a body; deeper ones would exhaust the stack of whoever walks them."""

_decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode
"""JSON text of a value, compact, UTF-8."""


def wrong(path: str, message: str, fix: str) -> NoReturn:
    """Refuses the field at `path`."""
    raise invalid(message, path, fix)


def load(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; `bound` must see whatever of it is kept as it is."""
    try:
        value = _decode(body)
    except RecursionError:
        wrong("body", "The body is nested too deeply.", f"nest at most {MAX_DEPTH} levels")
    except (ValueError, OverflowError) as error:
        wrong("body", f"The body is not valid JSON: {_plain(error)}.", "send a JSON object in UTF-8")
    if type(value) is not dict:
        wrong("body", "The body is not a JSON object.", "send a JSON object")
    return value


def load_upstream(body: bytes) -> dict[str, Any]:
    """The JSON object in a provider's `body`; `upstream` if it is none."""
    try:
        value = _load_theirs(body)
        bound(value)
        return value
    except Failure as failure:
        raise Failure("upstream", f"The provider's answer cannot be read: {failure.message}") from None


def load_frame(body: bytes) -> dict[str, Any]:
    """The JSON object in one frame of a provider's stream; `upstream` if it is none. Depth is not looked at."""
    try:
        return _load_theirs(body)
    except Failure as failure:
        raise Failure("upstream", f"The provider's stream cannot be read: {failure.message}") from None


def _load_theirs(body: bytes) -> dict[str, Any]:
    """As `load`; what a strict reader refuses is read again as providers write it."""
    try:
        return load(body)
    except Failure:
        try:
            value = nearly_json.read(body)
        except (ValueError, RecursionError):
            value = None
        if type(value) is not dict:
            raise
        return value


def bound_upstream(value: dict[str, Any]) -> dict[str, Any]:
    """`value`, a part of a provider's stream that is kept as it is; `upstream` if it is nested too deeply."""
    try:
        bound(value)
    except Failure as failure:
        raise Failure("upstream", f"The provider's stream cannot be read: {failure.message}") from None
    return value


def _plain(error: Exception) -> str:
    return "it is not UTF-8" if isinstance(error, UnicodeError) else str(error).rstrip(".")


def bound(value: dict[str, Any] | list[Any]) -> None:
    """Refuses a value that is nested deeper than `MAX_DEPTH`."""
    level: list[Any] = []
    for inner in value.values() if type(value) is dict else value:
        if type(inner) is dict or type(inner) is list:
            level.append(inner)
    if not level:
        return
    for _ in range(MAX_DEPTH - 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    wrong("body", "The body is nested too deeply.", f"nest at most {MAX_DEPTH} levels")


def string(value: Any, path: str) -> str:
    """`value`, if it is a string."""
    if type(value) is not str:
        wrong(path, f"{path} is not a string.", "send a string")
    return value


def optional_string(value: Any, path: str) -> str | None:
    """`value`, if it is a string or null."""
    return None if value is None else string(value, path)


def needed(data: dict[str, Any], key: str, path: str) -> str:
    """The non-empty string under `key`, taken out of `data`."""
    value = data.pop(key, None)
    if type(value) is not str or not value:
        wrong(f"{path}{key}", f"{path}{key} is missing or not a string.", f"send {key} as a non-empty string")
    return value


def mapping(value: Any, path: str) -> dict[str, Any]:
    """`value`, if it is an object."""
    if type(value) is not dict:
        wrong(path, f"{path} is not an object.", "send an object")
    return value


def array(value: Any, path: str) -> list[Any]:
    """`value`, if it is an array."""
    if type(value) is not list:
        wrong(path, f"{path} is not an array.", "send an array")
    return value


def flag(value: Any, path: str) -> bool | None:
    """`value`, if it is true, false or null."""
    if value is not None and type(value) is not bool:
        wrong(path, f"{path} is not a boolean.", "send true or false")
    return value


def integer(value: Any, path: str, low: int | None = None) -> int | None:
    """`value`, if it is null or a 64-bit integer of at least `low` (2.0 counts as 2)."""
    if value is None:
        return None
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        wrong(path, f"{path} is not an integer.", "send an integer")
    if low is not None and value < low:
        wrong(path, f"{path} is less than {low}.", f"send an integer of at least {low}")
    return value


def number(value: Any, path: str, low: float, high: float) -> float | None:
    """`value` as a float, if it is null or a number between `low` and `high`."""
    if value is None:
        return None
    if type(value) not in (int, float) or not low <= value <= high or not math.isfinite(value):
        wrong(path, f"{path} is not a number between {low:g} and {high:g}.", f"send a number from {low:g} to {high:g}")
    return float(value)


def at_least_one(value: Any, path: str) -> int | None:
    """`value`, if it is null or an integer of at least 1."""
    return integer(value, path, 1)


def share(value: Any, path: str) -> float | None:
    """`value` as a float, if it is null or a number from 0 to 1."""
    return number(value, path, 0, 1)


def strings(value: Any, path: str) -> tuple[str, ...]:
    """`value` as a tuple, if it is null or an array of strings."""
    if value is None:
        return ()
    for item in array(value, path):
        if type(item) is not str:
            wrong(path, f"{path} holds something that is not a string.", "send an array of strings")
    return tuple(value)


def one_of(value: Any, path: str, allowed: tuple[str, ...]) -> str:
    """`value`, if it is one of `allowed`."""
    if type(value) is not str or value not in allowed:
        wrong(path, f"{path} is not one of {', '.join(allowed)}.", f"send one of {', '.join(allowed)}")
    return value


def blob(value: Any, path: str) -> bytes:
    """The bytes behind base64 text; line breaks are tolerated."""
    text = string(value, path)
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        pass
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        wrong(path, f"{path} is not valid base64.", "send base64 without a data: prefix")


def base64(data: bytes) -> str:
    """Base64 text of `data`, one line."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def data_url(url: str, path: str) -> tuple[str, bytes]:
    """Media type and bytes of a `data:` URL."""
    head, comma, text = url[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        wrong(path, f"{path} is a data URL without base64.", "send data:MEDIA/TYPE;base64,DATA")
    return head[:-7].partition(";")[0], blob(text, path)


def ttl_of(value: Any, path: str) -> Ttl:
    """The cache point that an Anthropic `cache_control` object (or null) asks for."""
    if value is None:
        return ""
    control = mapping(value, path)
    one_of(control.get("type"), f"{path}.type", ("ephemeral",))
    ttl = control.get("ttl")
    if ttl is None:
        return "default"
    return one_of(ttl, f"{path}.ttl", ("5m", "1h"))  # type: ignore[return-value]


def take_point(item: dict[str, Any], path: str) -> Ttl:
    """Takes the cache point out of `item` (a block or tool); what else its `cache_control` says stays there."""
    if "cache_control" not in item:
        return ""
    control = item.pop("cache_control")
    ttl = ttl_of(control, f"{path}.cache_control")
    if ttl and len(control) > 1:
        more = {key: value for key, value in control.items() if key not in ("type", "ttl") and value is not None}
        if more:
            item["cache_control"] = more
    return ttl


def put_point(out: dict[str, Any], ttl: Ttl, extras: dict[str, Any]) -> None:
    """Writes the cache point of a block or tool and its further fields into `out`.

    Args:
        out: what is written so far.
        ttl: "" for no point; then what is left of one is dropped.
        extras: as `take_point` left them.
    """
    if extras:
        out.update((key, value) for key, value in extras.items() if key != "cache_control")
    if ttl:
        control = {"type": "ephemeral"} if ttl == "default" else {"type": "ephemeral", "ttl": ttl}
        more = extras.get("cache_control")
        out["cache_control"] = {**control, **more} if type(more) is dict else control


def arguments_of(value: Json) -> str:
    """JSON text of a tool call's input object."""
    return "{}" if value == {} else encode(value).decode()


def raw_arguments(text: str, path: str) -> msgspec.Raw:
    """The object in a tool call's JSON text, its bytes kept as they are."""
    if not text or text == "{}" or text.strip() in ("", "null"):  # what models write for a tool without parameters
        return msgspec.Raw(b"{}")
    data = text.encode("utf-8", "surrogatepass")
    try:
        value = _decode(data)
    except (ValueError, OverflowError, RecursionError):
        value = None
    if type(value) is not dict:
        wrong(path, "The arguments of a tool call are not a JSON object.", "send back valid arguments or drop the call")
    return msgspec.Raw(data)


def is_object(text: str) -> bool:
    """Whether `text` is a JSON object."""
    try:
        return type(_decode(text.encode("utf-8", "replace"))) is dict
    except (ValueError, OverflowError, RecursionError):
        return False


def count(value: Any) -> int:
    """A token count of a provider: anything that is not a non-negative whole number counts as 0."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value < 1 << 62 else 0


def without_nulls(data: dict[str, Any]) -> dict[str, Any]:
    """`data` without its null values."""
    return {key: value for key, value in data.items() if value is not None} if None in data.values() else data


def text(value: Any) -> str:
    """`value`, if it is a string, else ""."""
    return value if type(value) is str else ""
