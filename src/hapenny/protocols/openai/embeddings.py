"""OpenAI embeddings: reading a request, writing its answer.

Vectors keep the numbers that the provider wrote: lists of decimal numbers stay 64-bit, base64 is 32-bit.
"""

from __future__ import annotations

import binascii
from typing import Any, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.protocols import fields as f
from hapenny.protocols.gauge import Gauge

Numbers: TypeAlias = "NDArray[np.float32] | NDArray[np.float64]"
MOST_INPUTS = 2_048


class Asked(Struct, frozen=True, kw_only=True):
    """A request. `inputs` are texts, or arrays of token ids."""

    model: str
    inputs: tuple[Any, ...]
    base64: bool
    dimensions: int | None
    user: str | None
    extras: dict[str, Any]
    """Further fields, for servers that speak as OpenAI does."""

    @property
    def texts(self) -> bool:
        """Whether all inputs are texts."""
        return all(type(each) is str for each in self.inputs)


def decode(body: bytes) -> Asked:
    """The request in `body`. Raises `Failure`, `invalid_request`."""
    data = f.load(body)
    f.bound(data)
    model = f.needed(data, "model", "")
    inputs = _inputs(data.pop("input", None))
    form = data.pop("encoding_format", None)
    dimensions = f.at_least_one(data.pop("dimensions", None), "dimensions")
    return Asked(
        model=model,
        inputs=inputs,
        base64=form is not None and f.one_of(form, "encoding_format", ("float", "base64")) == "base64",
        dimensions=dimensions,
        user=f.optional_string(data.pop("user", None), "user"),
        extras=f.without_nulls(data),
    )


def _inputs(given: Any) -> tuple[Any, ...]:
    if type(given) is str:
        given = [given]
    if type(given) is not list or not given:
        f.wrong("input", "input is missing, empty or neither text nor an array.", "send a text or an array of texts")
    if type(given[0]) is int:
        given = [given]
    if len(given) > MOST_INPUTS:
        f.wrong("input", f"input holds more than {MOST_INPUTS} entries.", f"send at most {MOST_INPUTS} at once")
    kind = type(given[0])
    for i, each in enumerate(given):
        right = type(each) is kind and each
        if not right or kind not in (str, list):
            f.wrong(
                f"input[{i}]", f"input[{i}] is empty, or not of the same kind as the others.", "send texts, none empty"
            )
        if kind is list and not all(type(token) is int for token in each):
            f.wrong(f"input[{i}]", f"input[{i}] holds something that is no token.", "send whole numbers")
    return tuple(given)


def upstream(asked: Asked, model: str, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """The body for a server of the same dialect."""
    out: dict[str, Any] = {"model": model, "input": list(inputs), **asked.extras}
    if asked.base64:
        out["encoding_format"] = "base64"
    if asked.dimensions is not None:
        out["dimensions"] = asked.dimensions
    if asked.user is not None:
        out["user"] = asked.user
    return out


def rows(answer: Any) -> list[Numbers]:
    """The vectors of an answer of the same dialect, in the order of the inputs. Raises `Failure`, `upstream`."""
    try:
        ordered = sorted(answer["data"], key=lambda item: int(item["index"]))
        return [_row(item["embedding"]) for item in ordered]
    except (KeyError, TypeError, ValueError):
        raise Failure("upstream", "The provider's answer holds no vectors.") from None


def _row(value: Any) -> Numbers:
    if type(value) is str:
        return np.frombuffer(binascii.a2b_base64(value), dtype="<f4")
    return np.array(value, dtype=np.float64)


def encode(asked: Asked, model: str, vectors: list[Numbers], tokens: int, more: dict[str, Any] | None = None) -> bytes:
    """The answer. `more`: what else the provider said."""
    data = [
        {"object": "embedding", "index": number, "embedding": _written(row, asked.base64)}
        for number, row in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return f.encode({"model": model, **(more or {}), "object": "list", "data": data, "usage": usage})


def _written(row: Numbers, base64: bool) -> Any:
    return f.base64(row.astype("<f4").tobytes()) if base64 else row.tolist()


def counted(headers: dict[str, str], data: bytes) -> Tokens | None:
    """The tokens that an answer reports, in any provider's words."""
    gauge = Gauge(headers)
    gauge.feed(data)
    return gauge.end()
