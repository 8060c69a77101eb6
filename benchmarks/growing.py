"""Pathological texts that grow, and how much longer work takes on the longer ones.

A generator makes texts of each kind in any size: one character again and again, the beginnings of what rules look
for, openings without ends, alternations that invite a second try. `growth` times a function on a text and on one eight
times as long, in time of the processor, and gives the ratio of the two, the least of several tries each: about 8 where
the work is linear, about 64 where it is quadratic. No time is compared with a limit, only with another of the same
machine and moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable

TIMES = 8
"""How much longer the longer text is."""
LINEAR = 24.0
"""The ratio below which work counts as linear; three times what it should be, a third of a quadratic one's."""

_UNITS = (
    "a",
    "A",
    "0",
    "1 ",
    "12 ",
    " ",
    "\n",
    "\t",
    ".",
    "-",
    "@",
    "a@",
    "a.",
    "@a.",
    "a-",
    "<",
    "<doc>",
    "<doc ",
    "</doc>",
    "</",
    "<a<",
    "(",
    "((",
    "()",
    "[",
    "{",
    "{}",
    '{"a":',
    '"',
    "\\",
    '\\"',
    "+",
    "+1",
    "+1 ",
    "0-",
    "03-1234-",
    "4111 1111 ",
    "4242 4242 4242 4242 ",
    "DE89 3704 ",
    "sk-",
    "sk-a",
    "eyJ",
    "eyJa.",
    "-----BEGIN ",
    "-----BEGIN RSA PRIVATE KEY-----\n",
    "password",
    "password=",
    "password: ",
    "password is ",
    "://",
    "://a:",
    "1.",
    "1.1.",
    "::",
    "a:",
    "f:",
    "Mr. ",
    "My name is ",
    "My name is A",
    "Nguyễn ",
    "ông ",
    "佐藤",
    "佐藤様",
    "東京都",
    "東京都千代田区",
    "số ",
    "số 1 ",
    "1 Main ",
    "ignore ",
    "ignore all ",
    "disregard previous ",
    "あ",
    "ー",
    "々",
    "e\u0301",
    "\u200b",
    "が゛",
    "%41",
    "&#65;",
    "&amp;",
    "=",
    "|",
    "| a ",
    "||",
    "- ",
    "# ",
    "```",
    "**",
    "a,",
    "a;",
    "a, b and ",
    "and ",
    "the ",
    "what is ",
    "? ",
    "! ",
    "。",
    "、",
    "の",
    "という",
    "x y ",
    "A1 ",
    "1,",
    "$1",
    "http://",
    "http://a ",
    "www.",
    "_",
    "__",
    "i g n o r e ",
    "ⅸ",
    "ｱﾞ",
    "\U000e0041",
)


def texts(size: int) -> dict[str, str]:
    """Texts of about `size` characters by the unit that they repeat; some end with what the unit never reaches."""
    made: dict[str, str] = {}
    for unit in _UNITS:
        text = (unit * (size // len(unit) + 1))[:size]
        made[unit] = text
        made[f"{unit}…"] = text + "\x00"
    return made


def growth(work: Callable[[str], object], size: int, unit: str, tries: int = 3) -> float:
    """How many times longer `work` takes on a text of `TIMES * size` characters than on one of `size`."""
    short, long = texts_of(unit, size), texts_of(unit, TIMES * size)
    return least(work, long, tries) / max(least(work, short, tries), 1e-4)


def texts_of(unit: str, size: int) -> str:
    """One text of `texts`."""
    ends = unit.endswith("…") and len(unit) > 1
    plain = unit[:-1] if ends else unit
    return (plain * (size // len(plain) + 1))[:size] + ("\x00" if ends else "")


def least(work: Callable[[str], object], text: str, tries: int) -> float:
    """The least time of several."""
    best = float("inf")
    for _ in range(tries):
        began = time.thread_time()
        work(text)
        best = min(best, time.thread_time() - began)
    return best


def superlinear(work: Callable[[str], object], size: int = 2_000) -> dict[str, float]:
    """The units on which `work` grows faster than linear, with the ratio; looked at again before that is believed."""
    suspects = [unit for unit in texts(1) if growth(work, size, unit, tries=1) > LINEAR]
    again = {unit: growth(work, 2 * size, unit) for unit in suspects}
    return {unit: ratio for unit, ratio in again.items() if ratio > LINEAR}
