"""Made-up requests and made-up tokenizers, seeded: nothing here is text of the data."""

import random
import re

_SYLLABLES = [
    "ba",
    "co",
    "di",
    "fu",
    "gen",
    "hal",
    "ist",
    "jor",
    "kel",
    "lum",
    "men",
    "nor",
    "ost",
    "pre",
    "qui",
    "ras",
    "sto",
    "tion",
    "ur",
    "ving",
]
_VIET = ["một", "hai", "đường", "phố", "người", "được", "không", "những", "của", "với", "trong", "này", "thành", "phẩm"]
_KANA = "のにをはがでとしたいるますこれから"
_HAN = "日本語文章東京時間商品配送返品電話番号"


def _word(rng: random.Random) -> str:
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, 4)))


def segment(rng: random.Random) -> str:
    kind = rng.randrange(5)
    size = rng.randint(10, 60)
    if kind == 0:
        return " ".join(_word(rng).capitalize() if rng.random() < 0.1 else _word(rng) for _ in range(size)) + "."
    if kind == 1:
        return " ".join(rng.choice(_VIET) for _ in range(size))
    if kind == 2:
        return "".join(rng.choice(_KANA if rng.random() < 0.6 else _HAN) for _ in range(size * 2)) + "。"
    if kind == 3:
        fields = [f'"{_word(rng)}": {rng.randint(1, 99999)}' for _ in range(size // 4 + 1)]
        return "{" + ", ".join(fields) + "}"
    return "\n".join(f"{_word(rng)}: {_word(rng)} {rng.randint(0, 50)}" for _ in range(size // 3 + 1))


def requests(seed: int, count: int) -> list[list[str]]:
    rng = random.Random(seed)
    return [[segment(rng) for _ in range(rng.randint(1, 5))] for _ in range(count)]


_PIECES = re.compile(r"[A-Za-z]+|[^\W\d_a-zA-Z]+|\d+|\s+|[^\w\s]+|_+")


def tokenizer(letters: int, others: float, digits: int):
    """Cuts words every `letters` letters, other scripts at `others` tokens a character, numbers every `digits`."""

    def count(texts: list[str]) -> int:
        total = 7.0
        for piece in (piece for text in texts for piece in _PIECES.findall(text)):
            if piece[0].isascii() and piece[0].isalpha():
                total += -(-len(piece) // letters)
            elif piece.isdigit():
                total += -(-len(piece) // digits)
            elif piece.isspace():
                total += 0 if piece == " " else 1
            elif piece[0].isalpha():
                total += max(1.0, len(piece) * others)
            else:
                total += 1
        return round(total)

    return count
