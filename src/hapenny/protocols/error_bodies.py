"""Reads the bodies of providers' errors: one reader for every shape in use, bounded in depth and size.

Shapes: `{"error": {"message", "type", "code", "param"}}` (OpenAI, Anthropic, vLLM, llama.cpp), the same within a list
(Gemini), `{"error": "text"}` with `code` or `error_type` beside it (xAI, Ollama, TGI), the object
without a wrapper (`{"object": "error", "message"}` of older vLLM, SGLang and Mistral; AWS's `{"message", "__type"}`),
`{"detail": ...}` as text or as a list of what does not fit (FastAPI), and a body of any of these as the text of
`message` (proxies).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

_TEXT = 2000
_DEPTH = 3
_ITEMS = 16
_DELAY = re.compile(r"(\d{1,6}(?:\.\d{1,12})?)s")


class ErrorBody(NamedTuple):
    """What an error says."""

    message: str = ""
    codes: tuple[str, ...] = ()
    """The provider's types, codes and reasons as it wrote them, the most telling one first."""
    status: int = 0
    """The status that the body names; 0 where it names none."""
    field: str | None = None
    about: str = ""
    """What else it says in words: limits that were reached, the text of a provider behind the provider."""
    retry_after: float | None = None
    """Seconds, where the body says when to try again."""


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`, or {} for anything else."""
    value = _parsed(body)
    return value if type(value) is dict else {}


def text_of(value: Any) -> str:
    """`value`, if it is a string, of at most 2,000 characters; else ""."""
    return value[:_TEXT] if type(value) is str else ""


def read(body: bytes) -> ErrorBody:
    """What `body` says; nothing at all for what is no JSON."""
    return _read(_parsed(body), _DEPTH)


def _parsed(body: bytes | str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError, OverflowError):
        return None


def _read(value: Any, depth: int) -> ErrorBody:
    if type(value) is list:
        value = next((item for item in value[:_ITEMS] if type(item) is dict), None)
    if type(value) is not dict:
        return ErrorBody()
    error = value.get("error")
    inner = error if type(error) is dict else value
    given = (
        inner.get("message")
        or inner.get("detail")
        or inner.get("Message")
        or inner.get("msg")
        or error
        or inner.get("title")
    )
    message = text_of(given) or _misfits(given)
    codes = [inner.get("code"), inner.get("type"), inner.get("status"), inner.get("__type"), inner.get("error_type")]
    codes += [value.get("code"), value.get("error_type")] if inner is not value else []
    about, reasons, delay = _details(inner)
    outer = ErrorBody(
        message,
        tuple(text_of(code) for code in (*codes, *reasons) if text_of(code)),
        _status(inner.get("code"), inner.get("status"), inner.get("status_code")),
        text_of(inner.get("param")) or None,
        about,
        delay,
    )
    if depth and message[:1] in ("{", "["):
        within = _read(_parsed(message), depth - 1)
        if within.message:
            return within._replace(
                codes=within.codes + outer.codes,
                status=within.status or outer.status,
                field=within.field or outer.field,
            )
    return outer


def _status(*codes: Any) -> int:
    return next((code for code in codes if type(code) is int and 400 <= code < 600), 0)


def _misfits(given: Any) -> str:
    """What does not fit where, of a list of such things; never what was sent."""
    if type(given) is dict:
        given = given.get("detail") or given.get("message")
    if type(given) is str:
        return given[:_TEXT]
    if type(given) is not list:
        return ""
    parts = []
    for item in given[:_ITEMS]:
        if type(item) is not dict:
            continue
        where = item.get("loc")
        place = ".".join(str(step)[:60] for step in where[:_ITEMS]) if type(where) is list else ""
        parts.append(f"{place}: {text_of(item.get('msg'))}" if place else text_of(item.get("msg")))
    return "; ".join(part for part in parts if part)[:_TEXT]


def _details(inner: dict[str, Any]) -> tuple[str, list[Any], float | None]:
    """Words, reasons and delay out of Google's `details`, OpenRouter's `metadata` and Azure's `innererror`."""
    words: list[str] = []
    reasons: list[Any] = []
    delay: float | None = None
    details = inner.get("details")
    for detail in details[:_ITEMS] if type(details) is list else ():
        if type(detail) is not dict:
            continue
        reasons.append(detail.get("reason"))
        violations = detail.get("violations")
        for violation in violations[:_ITEMS] if type(violations) is list else ():
            if type(violation) is dict:
                words.append(text_of(violation.get("quotaId")))
        if match := _DELAY.fullmatch(text_of(detail.get("retryDelay"))):
            delay = float(match[1])
    metadata = inner.get("metadata")
    if type(metadata) is dict:
        words.append(text_of(metadata.get("raw")))
        reasons.append(metadata.get("error_type"))
    within = inner.get("innererror")
    if type(within) is dict:
        reasons.append(within.get("code"))
    return " ".join(word for word in words if word)[:_TEXT], reasons, delay
