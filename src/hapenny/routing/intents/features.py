"""What a prompt looks like: token hashes and shape measures, read from its bytes in one vectorised pass.

Tokens are runs of letters, runs of digits, single symbols and single CJK characters, lower-cased, digits made equal.
Each gets a 64-bit polynomial hash from prefix sums (Karp and Rabin 1987), so that no Python loop touches a token:
tens of microseconds for a prompt of any length, because only its head and tail are read.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]

HEAD, TAIL = 3_000, 1_000
_SPACE, _LETTER, _DIGIT, _SYMBOL, _WIDE, _CONTINUED = range(6)
_BASE = 0x9E3779B97F4A7C15 | 1
_MASK = (1 << 64) - 1


def _tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
    kind = np.full(256, _SYMBOL, dtype=np.uint8)
    folded = np.arange(256, dtype=np.uint64)
    for code in range(256):
        if code <= 32 or code == 127:
            kind[code] = _SPACE
        elif chr(code).isdigit() and code < 128:
            kind[code], folded[code] = _DIGIT, ord("0")
        elif code < 128 and chr(code).isalpha():
            kind[code], folded[code] = _LETTER, ord(chr(code).lower())
        elif 0x80 <= code < 0xC0:
            kind[code] = _CONTINUED
        elif 0xC0 <= code < 0xE2:
            kind[code] = _LETTER
        elif code == 0xE2:
            kind[code] = _SYMBOL
        elif code >= 0xE3:
            kind[code] = _WIDE
    return kind, folded + 1


def _powers(count: int) -> tuple[Hashes, Hashes]:
    inverse = pow(_BASE, -1, 1 << 64)
    up, down = [1], [1]
    for _ in range(count):
        up.append(up[-1] * _BASE & _MASK)
        down.append(down[-1] * inverse & _MASK)
    return np.array(up, dtype=np.uint64), np.array(down, dtype=np.uint64)


_KIND, _FOLDED = _tables()
_POWERS, _INVERSES = _powers(4 * (HEAD + TAIL) + 8)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_PAIR = np.uint64(0x94D049BB133111EB)
_FOLD = np.uint64(32)
_UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OPERATORS = b"*+-/<=>^"

SHAPE = (
    "tokens",
    "symbols",
    "single_letters",
    "how_many",
    "negation",
    "condition",
    "code",
    "long_words",
    "numbers",
    "bytes_per_token",
    "long_word_share",
    "digit_share",
    "upper_share",
    "lines",
    "stops",
    "commas",
    "questions",
    "dollars",
    "backslashes",
    "operators",
    "parentheses",
    "quotes",
    "colons",
    "longest_word",
    "distinct_share",
    "wide",
)
"""Names of the shape measures, in the order of `Features.shape`; the first nine are what the cold-start score reads."""


class Features(NamedTuple):
    """`words` and `pairs`: 64-bit hashes of tokens and of neighbouring tokens; `shape`: floats, as named by SHAPE."""

    words: Hashes
    pairs: Hashes
    shape: Floats


def extract(text: str) -> Features:
    """The features of one prompt; longer ones than 4,000 characters are read at head and tail only."""
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]}\n{text[-TAIL:]}"
    raw = text.encode("utf-8", "replace")
    if not raw:
        return _EMPTY
    data = np.frombuffer(raw, dtype=np.uint8)
    starts, lengths, first = _spans(_KIND.take(data), raw.isascii())
    words = _hash(data, starts, lengths)
    pairs = (words[:-1] * _PAIR + words[1:]) * _MIX
    pairs ^= pairs >> _FOLD
    return Features(words, pairs, _shape(text.lower(), raw, first, lengths, words))


def _spans(
    kind: npt.NDArray[np.uint8], plain: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    begins = np.empty(len(kind) + 1, dtype=bool)
    begins[0] = begins[-1] = True
    inner = begins[1:-1]
    # A change of kind starts a token, and so does every symbol and every wide character.
    np.not_equal(kind[1:], kind[:-1], out=inner)
    inner |= kind[1:] == _SYMBOL
    if not plain:
        # A continuation byte belongs to what is before it, and a letter after it goes on with the same word.
        inner |= kind[1:] == _WIDE
        inner &= kind[1:] != _CONTINUED
        inner &= ~((kind[:-1] == _CONTINUED) & (kind[1:] == _LETTER))
    at = begins.nonzero()[0]
    starts = at[:-1]
    first = kind.take(starts)
    real = first.nonzero()[0]
    return starts.take(real), (at[1:] - starts).take(real), first.take(real)


def _hash(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.intp], lengths: npt.NDArray[np.intp]) -> Hashes:
    sums = np.empty(len(data) + 1, dtype=np.uint64)
    sums[0] = 0
    (_FOLDED.take(data) * _POWERS[: len(data)]).cumsum(out=sums[1:])
    words = (sums.take(starts + lengths) - sums.take(starts)) * _INVERSES.take(starts)
    words ^= words >> _FOLD
    words *= _MIX
    words ^= words >> _FOLD
    return words


def _shape(
    low: str,
    raw: bytes,
    first: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.intp],
    words: Hashes,
) -> Floats:
    size, n, log, count = len(raw), len(first), math.log, raw.count
    kinds = np.bincount(first, minlength=6).tolist()
    letters, digits, symbols, wide = kinds[_LETTER], kinds[_DIGIT], kinds[_SYMBOL], kinds[_WIDE]
    sizes: list[int] = np.bincount(lengths.take((first == _LETTER).nonzero()[0]), minlength=9).tolist()
    long = sum(sizes[8:])
    commas, stops, questions = count(b","), count(b"."), count(b"?")
    # Deleting bytes and looking at what is left is the fastest way to count a class of them.
    operators = size - len(raw.translate(None, _OPERATORS))
    upper = size - len(raw.translate(None, _UPPER))
    return np.array(
        (
            log(5 + n),
            log(3 + max(0, symbols - commas - stops - questions - count(b"'"))),
            log(2 + sizes[1]),
            "how many" in low or "how much" in low,
            " not " in low or "except" in low or "false" in low,
            " if " in low or " each " in low or " per " in low or " then " in low,
            "def " in low or "return" in low or "function" in low or "import " in low or "class " in low,
            long / (5 + letters),
            log(3 + digits),
            (size - count(b" ")) / max(1, n),
            long / max(1, letters),
            digits / max(1, n),
            upper / size,
            log(1 + count(b"\n")),
            log(1 + stops),
            log(1 + commas),
            min(3, questions),
            log(1 + count(b"$")),
            log(1 + count(b"\\")),
            log(1 + operators),
            log(1 + count(b"(")),
            log(1 + count(b'"')),
            log(1 + count(b":")),
            log(min(len(sizes), 41)) if letters else 0.0,
            np.unique(words).size / max(1, n),
            wide / max(1, n),
        )
    )


_EMPTY = Features(
    np.zeros(0, dtype=np.uint64),
    np.zeros(0, dtype=np.uint64),
    np.array([math.log(5), math.log(3), math.log(2)] + [0.0] * 23),
)
