"""What a text looks like to a tokenizer: counts of byte classes, their pairs and run lengths, in one numpy pass.

A byte-pair vocabulary is unknown from outside, but what decides how many pieces it makes of a text is visible:
scripts (lead bytes of UTF-8), words and their lengths, digit runs, punctuation runs, white space. Every feature is
additive over segments, so the vector of a request is the sum of the vectors of its parts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Counter = Callable[[str], int]

_LOWER, _UPPER, _DIGIT, _SPACE, _LINE, _QUOTE, _PUNCT = range(7)
_CONT, _LEAD2, _LEAD_VI, _LEAD_KANA, _LEAD_HAN, _LEAD_OTHER = range(7, 13)
_CLASSES = 13

NAMES: tuple[str, ...] = (
    "request", "segments", "base_plain", "base_structure", "base_accented", "base_cjk",
    "lower", "upper", "digit", "space", "line", "quote", "punct",
    "continuation", "lead2", "lead_vi", "lead_kana", "lead_han", "lead_other",
    "upper_runs", "space_runs", "space_punct", "punct_runs", "line_runs", "camel", "joined_words",
    "accented_inside", "letter_digit", "upper_pairs", "quote_pairs",
    "words_3", "words_6", "words_9", "words_long", "digit_runs", "digit_triples", "tools",
)  # fmt: skip
SIZE = len(NAMES)
REQUEST, SEGMENTS = 0, 1
TOOLS = SIZE - 1
"""1 for a request that offers tools: providers put instructions of their own before them, whatever the tools are."""
BASE = slice(2, 6)
_BYTES = slice(6, 19)


def _byte_classes() -> npt.NDArray[np.uint8]:
    table = np.full(256, _PUNCT, np.uint8)
    table[97:123], table[65:91], table[48:58] = _LOWER, _UPPER, _DIGIT
    table[32] = _SPACE
    table[[9, 10, 13]] = _LINE
    table[list(b"\"'\\")] = _QUOTE
    table[0x80:0xC0], table[0xC0:0xE0], table[0xE0:0x100] = _CONT, _LEAD2, _LEAD_OTHER
    table[0xE1], table[0xE3], table[0xE4:0xEA] = _LEAD_VI, _LEAD_KANA, _LEAD_HAN
    return table


def _projection() -> npt.NDArray[np.float64]:
    """The matrix from the histogram of class pairs (13 x 13, flat) to the features that depend on pairs alone."""
    matrix = np.zeros((_CLASSES, _CLASSES, SIZE))
    column = {name: index for index, name in enumerate(NAMES)}
    classes = NAMES[_BYTES]
    for index, name in enumerate(classes):
        matrix[:, index, column[name]] = 1  # the text is read with one space before it: each byte is a second one once
    text_like = (_PUNCT, _QUOTE)
    for before in range(_CLASSES):
        matrix[before, _UPPER, column["upper_runs"]] = before != _UPPER
        matrix[before, _SPACE, column["space_runs"]] = before != _SPACE
        matrix[before, _LINE, column["line_runs"]] = before != _LINE
        for mark in text_like:
            matrix[before, mark, column["punct_runs"]] = before not in text_like
    matrix[_SPACE, [_PUNCT, _QUOTE], column["space_punct"]] = 1
    matrix[_LOWER, _UPPER, column["camel"]] = 1
    matrix[_PUNCT, [_LOWER, _UPPER], column["joined_words"]] = 1
    matrix[_LOWER, [_LEAD2, _LEAD_VI], column["accented_inside"]] = 1
    matrix[[_LOWER, _UPPER, _DIGIT, _DIGIT], [_DIGIT, _DIGIT, _LOWER, _UPPER], column["letter_digit"]] = 1
    matrix[_UPPER, _UPPER, column["upper_pairs"]] = 1
    matrix[_QUOTE, [_PUNCT, _QUOTE], column["quote_pairs"]] = 1
    return matrix.reshape(_CLASSES * _CLASSES, SIZE)


def group(*names: str) -> Vector:
    """A mask of features, shape (SIZE,)."""
    return np.array([1.0 if name in names else 0.0 for name in NAMES])


# Features whose weights move together when the vocabulary changes.
GROUPS: tuple[Vector, ...] = (
    np.ones(SIZE),
    group(
        "lower", "upper", "upper_runs", "words_3", "words_6", "words_9", "words_long", "camel", "space", "space_runs"
    ),
    group("quote", "punct", "space_punct", "punct_runs", "line", "line_runs", "joined_words", "quote_pairs"),
    group("digit", "digit_runs", "digit_triples", "letter_digit"),
    group("continuation", "lead2", "lead_vi", "lead_other", "accented_inside"),
    group("continuation", "lead_kana", "lead_han"),
)

_LETTERS = frozenset((_LOWER, _UPPER, *range(_CONT, _CLASSES)))
_KINDS = [int(kind) for kind in _byte_classes()]
# Tables for `bytes.translate`, which is the cheapest map there is from bytes to bytes.
_TABLE = bytes(_KINDS)
_ROW = np.uint8(_CLASSES)
_IS_LETTER = bytes(kind in _LETTERS for kind in _KINDS)
_ONLY_DIGITS = bytes(48 if kind == _DIGIT else 32 for kind in _KINDS)
_PROJECTION = _projection()
_DIGITS = NAMES.index("digit")
_WORDS = NAMES.index("words_3")


def _script(vector: Vector, size: int) -> int:
    """Vocabularies differ most by script: 0 plain, 1 structure (JSON, code), 2 accented Latin and others, 3 CJK."""
    _, _, _, _, _, quote, punct, _, lead2, lead_vi, kana, han, other = vector[_BYTES].tolist()
    if 3 * (kana + han) > 0.3 * size:
        return 3
    if lead2 + lead_vi + other > 0.04 * size:
        return 2
    return 1 if quote + punct > 0.12 * size else 0


LONG = 1 << 18
"""Characters of a text that are looked at. Features are additive, so that of a longer text slices stand for the whole:
nobody waits while megabytes are counted."""
_SLICES = 16


def sample(text: str) -> str:
    """`text`, or slices spread evenly over a long one, `LONG` characters together."""
    size = len(text)
    if size <= LONG:
        return text
    each, room = LONG // _SLICES, size - LONG // _SLICES
    return "".join([text[start : start + each] for start in (room * n // (_SLICES - 1) for n in range(_SLICES))])


class _Scan(NamedTuple):
    text: str
    data: bytes
    edges: npt.NDArray[np.intp]


_scan = _Scan("", b"  ", np.zeros(0, np.intp))


def scanned(text: str) -> tuple[bytes, npt.NDArray[np.intp]]:
    """The bytes of `text` between two spaces, and where its words (runs of letters) begin and end, in turn.

    The last one is kept: its features and its bag of words are asked for one after the other.
    """
    global _scan
    if _scan.text is not text:
        data = b" " + text.encode("utf-8", "surrogatepass") + b" "
        letters = np.frombuffer(data.translate(_IS_LETTER), np.bool_)
        _scan = _Scan(text, data, (letters[1:] != letters[:-1]).nonzero()[0])
    return _scan.data, _scan.edges


def features(text: str, base: Counter | None = None) -> Vector:
    """The feature vector of one segment: float64, shape (SIZE,); `base` counts tokens by a known vocabulary."""
    if not text:
        vector: Vector = np.zeros(SIZE)
        vector[SEGMENTS] = 1
        return vector
    if len(text) > LONG:
        vector = features(sample(text), base) * (len(text) / LONG)
        vector[SEGMENTS] = 1
        return vector
    data, edges = scanned(text)
    kinds = np.frombuffer(data.translate(_TABLE), np.uint8)
    pairs = kinds[:-2] * _ROW
    pairs += kinds[1:-1]
    vector = np.bincount(pairs, minlength=_CLASSES * _CLASSES).astype(np.float64) @ _PROJECTION
    if len(edges):
        lengths = np.bincount(np.minimum(edges[1::2] - edges[::2], 10), minlength=11).tolist()
        vector[_WORDS : _WORDS + 4] = sum(lengths[1:4]), sum(lengths[4:7]), sum(lengths[7:10]), lengths[10]
    if vector[_DIGITS]:
        digits = data.translate(_ONLY_DIGITS).split()
        vector[_WORDS + 4] = len(digits)
        vector[_WORDS + 5] = sum([(len(run) + 2) // 3 for run in digits])
    vector[SEGMENTS] = 1
    if base is not None:
        vector[2 + _script(vector, len(data))] = base(text)
    return vector


class FeatureCache:
    """Features of segments seen before: system prompts, tools and history come back with every request.

    Keeps no text: the key is the string's own (per process salted) hash and its length. Least recently used out first.
    """

    def __init__(self, base: Counter | None = None, capacity: int = 8192) -> None:
        self.base = base
        self._capacity = capacity
        self._known: OrderedDict[tuple[int, int], Vector] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def segment(self, text: str) -> Vector:
        """The vector of one segment; treat it as read-only."""
        key = (hash(text), len(text))
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        vector = features(text, self.base)
        vector.flags.writeable = False
        self._known[key] = vector
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return vector

    def request(self, texts: Iterable[str]) -> Vector:
        """The vector of a whole request: the sum over its segments, plus the constant that every request carries."""
        total = np.zeros(SIZE)
        for text in texts:
            total += self.segment(text)
        total[REQUEST] = 1
        return total
