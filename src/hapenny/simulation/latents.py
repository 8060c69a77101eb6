"""What nobody outside may know: how hard a question is, and whether a model gets it right.

Difficulty is a rank in [0, 1], uniform over questions. A fifth of all questions, the hardest, look like any other.
The rank of the rest follows a visible text score by correlation `SHARED`, the remainder is drawn by hash. `CUT` and
`SHARED` were chosen so that routing by the text score reaches an APGR of .67 (mean over the pairs Haiku > Sonnet and
3.5 Haiku > Sonnet), which is what text classifiers reach on recorded outcomes. Given the rank, a model is right with
the share that the card read off the outcome tables.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache
from statistics import NormalDist

from hapenny.core.messages import Data, Document, Request, Text, ToolResult

CUT = 0.8
SHARED = 0.9

_NORMAL = NormalDist()
_WORD = re.compile(r"\w+")
_REASON_WORDS = (
    "why how explain compare difference versus unless except although whereas because calculate average total both "
    "each every without instead if when which rather cheapest best recommend suggest between before after"
)
_REASONS = frozenset(_REASON_WORDS.split())
_MARKER = re.compile(r"(?:^|\n)\s*(?:question|query|user question|customer)\s*:\s*", re.IGNORECASE)

# Mean and deviation of the raw scores over shop and support questions: they only set the scale.
_COMPLEX_MEAN, _COMPLEX_SD = 3.45, 1.08
_WORDS_MEAN, _WORDS_SD = -0.22, 0.97
_COMPLEX_PART = 0.75


def chance(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def question_of(request: Request) -> str:
    """The question itself: the last user text, without a context pasted before it."""
    text = request.question
    if not text:
        for message in reversed(request.messages):
            if message.role == "user" and message.text:
                text = message.text
                break
    marked = _MARKER.split(text)
    if len(marked) > 1 and marked[-1].strip():
        return marked[-1].strip()
    parts = [part for part in text.split("\n\n") if part.strip()]
    return parts[-1].strip() if parts else text.strip()


def context_of(request: Request) -> list[str]:
    """All other text of the prompt, in order: system, earlier turns, documents, tool results, pasted context."""
    question = question_of(request)
    found: list[str] = []

    def take(block: object) -> None:
        match block:
            case Text():
                found.append(block.text)
            case Document():
                if block.text:
                    found.append(block.text)
            case ToolResult():
                for inner in block.content:
                    take(inner)
            case Data():
                found.append(_flat(block.value))
            case _:
                pass

    for block in request.system:
        take(block)
    for message in request.messages:
        for block in message.content:
            take(block)
    return [text for text in (part.replace(question, "") if question else part for part in found) if text.strip()]


def _flat(value: object, path: str = "") -> str:
    if isinstance(value, dict):
        return "\n".join(_flat(inner, f"{path} {key}".strip()) for key, inner in value.items())
    if isinstance(value, list):
        return "\n".join(_flat(inner, path) for inner in value)
    return f"{path}: {value}." if path else f"{value}."


def normal(question: str) -> str:
    """A question without case, marks and spacing: what the latents hang on."""
    return " ".join(_WORD.findall(question.casefold()))


@lru_cache(maxsize=1 << 16)
def _weight(word: str) -> float:
    """What a word tells of difficulty: standard normal, by hash."""
    return _NORMAL.inv_cdf(min(max(chance("word", word), 1e-9), 1 - 1e-9))


def visible(question: str) -> float:
    """The text score, about standard normal: length and reasoning words, and which words there are."""
    words = normal(question).split()
    if not words:
        return 0.0
    raw = math.log2(1 + len(words))
    raw += 0.5 * min(3, sum(word in _REASONS for word in words))
    raw += 0.4 * min(3, sum(any(mark.isdigit() for mark in word) for word in words))
    raw += 0.3 * min(3, len(re.findall(r"[,;:()]", question)))
    complexity = (raw - _COMPLEX_MEAN) / _COMPLEX_SD
    weights = [_weight(word) for word in set(words)]
    lexical = (sum(sorted(weights)) / math.sqrt(len(weights)) - _WORDS_MEAN) / _WORDS_SD
    return _COMPLEX_PART * complexity + math.sqrt(1 - _COMPLEX_PART**2) * lexical


@lru_cache(maxsize=4096)
def difficulty(question: str, seed: str) -> float:
    """The rank of `question` among all: 0 the easiest, 1 the hardest."""
    text = normal(question)
    if chance(seed, "hard", text) >= CUT:
        return CUT + (1 - CUT) * chance(seed, "rank", text)
    hidden = _NORMAL.inv_cdf(min(max(chance(seed, "rank", text), 1e-9), 1 - 1e-9))
    return CUT * _NORMAL.cdf(SHARED * visible(question) + math.sqrt(1 - SHARED**2) * hidden)


def share_right(correctness: tuple[float, ...], rank: float) -> float:
    """The share of right answers at difficulty `rank`, linear between the middles of the table's bins."""
    bins = len(correctness)
    place = min(max(rank * bins - 0.5, 0.0), bins - 1.0)
    low = min(int(place), bins - 2) if bins > 1 else 0
    if bins == 1:
        return correctness[0]
    part = place - low
    return correctness[low] * (1 - part) + correctness[low + 1] * part


def right(model: str, correctness: tuple[float, ...], question: str, seed: str) -> bool:
    """Whether `model` answers `question` rightly; always the same for the same question."""
    return chance(seed, "outcome", model, normal(question)) < share_right(correctness, difficulty(question, seed))
