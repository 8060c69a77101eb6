"""Judges that need no model: normalised and numeric equality, embedding similarity.

Each returns a score in [0, 1]. Normalisation follows SQuAD's evaluation (lower case, no articles, no punctuation at the
ends) with LaTeX's outer wrapping and number formats made equal.
"""

from __future__ import annotations

import math
import re

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
        try:
            return int(top) / int(bottom)
        except (ValueError, OverflowError, ZeroDivisionError):  # more digits than Python reads, or than a float holds
            return None
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
    numbers = [m.group() for m in _NUMBER.finditer(answer) if any(c.isdigit() for c in m.group())]
    got = number(answer) if number(answer) is not None else number(numbers[-1]) if numbers else None
    return float(got is not None and math.isclose(got, wanted, rel_tol=relative, abs_tol=relative))


def similarity(answer: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Cosine of two embeddings, negative ones as 0."""
    a, b = np.asarray(answer, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(0.0, float(a @ b) / length) if length else 0.0
