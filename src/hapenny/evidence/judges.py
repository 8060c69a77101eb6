"""Judges that need no model: normalised and numeric equality, JSON schema shape, embedding similarity.

Each returns a score in [0, 1]. Normalisation follows SQuAD's evaluation (lower case, no articles, no punctuation at the
ends) with LaTeX's outer wrapping and number formats made equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_SPACES = re.compile(r"\s+")
_WRAP = re.compile(r"\\(?:text|mathrm|mathbf|boxed)\s*\{([^{}]*)\}")
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")
_FRACTION = re.compile(r"\\d?frac\s*\{([-+]?\d+)\}\s*\{(\d+)\}|([-+]?\d+)\s*/\s*(\d+)")


def normalised(answer: str) -> str:
    """The answer with case, articles, spacing, currency, LaTeX wrapping and end punctuation taken out."""
    text = _WRAP.sub(r"\1", answer.strip().strip("$"))
    text = (
        text.replace("\\!", "")
        .replace("\\,", "")
        .replace("\\left", "")
        .replace("\\right", "")
        .replace("\\dfrac", "\\frac")
    )
    value = number(text)
    if value is not None:
        return f"{value:.10g}"
    text = _ARTICLES.sub(" ", text.lower())
    return _SPACES.sub(" ", text).strip(" .,;:!?'\"`$")


def number(text: str) -> float | None:
    """The number an answer is, with thousands separators, currency, percent or a plain fraction; else None."""
    bare = text.strip().strip("$£€¥ .").removesuffix("%").removesuffix("\\").strip()
    fraction = _FRACTION.fullmatch(bare)
    if fraction:
        top, bottom = (fraction[1], fraction[2]) if fraction[1] is not None else (fraction[3], fraction[4])
        return int(top) / int(bottom) if int(bottom) else None
    if not bare or not any(c.isdigit() for c in bare) or not _NUMBER.fullmatch(bare):
        return None
    value = float(bare.replace(",", ""))
    return value if math.isfinite(value) else None


def agree(first: str, second: str) -> bool:
    """Whether two answers say the same; two empty ones do not."""
    a, b = normalised(first), normalised(second)
    return bool(a) and a == b


def exact(answer: str, reference: str) -> float:
    """1 if the normalised answer is the normalised reference."""
    return float(agree(answer, reference))


def numeric(answer: str, reference: str, relative: float = 1e-6) -> float:
    """1 if the last number in the answer is the reference's, within a relative tolerance."""
    wanted = number(reference)
    if wanted is None:
        return 0.0
    found = [m.group() for m in _NUMBER.finditer(answer) if any(c.isdigit() for c in m.group())]
    got = number(answer) if number(answer) is not None else number(found[-1]) if found else None
    return float(got is not None and math.isclose(got, wanted, rel_tol=relative, abs_tol=relative))


def similarity(answer: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Cosine of two embeddings, negative ones as 0."""
    a, b = np.asarray(answer, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(0.0, float(a @ b) / length) if length else 0.0


def schema(answer: str, shape: Mapping[str, Any]) -> float:
    """1 if the answer is JSON of that schema (type, properties, required, items, enum, bounds, pattern)."""
    text = answer.strip()
    if text.startswith("```"):
        text = text.strip("`").removeprefix("json").strip()
    try:
        value = msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return 0.0
    return float(fits(value, shape))


def fits(value: Any, shape: Mapping[str, Any]) -> bool:
    """Whether a JSON value follows the common core of JSON Schema (2020-12)."""
    kind = shape.get("type")
    if kind is not None and not any(_is(value, one) for one in ([kind] if isinstance(kind, str) else kind)):
        return False
    if "enum" in shape and value not in shape["enum"]:
        return False
    if "const" in shape and value != shape["const"]:
        return False
    if any(not fits(value, part) for part in shape.get("allOf", ())):
        return False
    if "anyOf" in shape and not any(fits(value, part) for part in shape["anyOf"]):
        return False
    if isinstance(value, dict):
        return _fits_object(value, shape)
    if isinstance(value, list):
        return _between(len(value), shape, "minItems", "maxItems") and all(
            fits(item, shape.get("items") or {}) for item in value
        )
    if isinstance(value, str):
        pattern = shape.get("pattern")
        return _between(len(value), shape, "minLength", "maxLength") and (
            not pattern or bool(re.search(pattern, value))
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _between(value, shape, "minimum", "maximum")
    return True


def _fits_object(value: dict[str, Any], shape: Mapping[str, Any]) -> bool:
    known: Mapping[str, Any] = shape.get("properties") or {}
    if any(name not in value for name in shape.get("required", ())):
        return False
    more = shape.get("additionalProperties", True)
    for name, item in value.items():
        if name in known:
            if not fits(item, known[name]):
                return False
        elif more is False or (isinstance(more, dict) and not fits(item, more)):
            return False
    return True


def _between(size: float, shape: Mapping[str, Any], low: str, high: str) -> bool:
    return bool(shape.get(low, -math.inf) <= size <= shape.get(high, math.inf))


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
    return False
