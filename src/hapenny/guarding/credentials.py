"""Rules for secrets: keys of known form, and what stands behind a word that announces one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hapenny.guarding.finding import Finding
from hapenny.guarding.numbers import places, starts

LONGEST = 8_192
"""Characters of the longest key that is covered whole; of a longer one its first ones are."""
REACH = 100
"""Characters before a value within which its word begins."""
LONGEST_VALUE = 256
"""Characters of the longest value behind a word."""

_PREFIX = (
    r"(?:sk-|(?:sk|pk|rk)_(?:live|test)_|whsec_|AKIA|ASIA|ABIA|ACCA|gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|AIza|npm_|hf_"
    r"|eyJ|ya29\.|SG\.|dop_v1_|pypi-|shpat_)"
)
_KEY = re.compile(r"(?<![A-Za-z0-9_\-./+])" + _PREFIX + rf"[A-Za-z0-9_\-.=+/]{{12,{LONGEST}}}")
_SHAPES = re.compile(
    r"sk-[A-Za-z0-9_\-]{20,}|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{16,}"
    r"|A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?![A-Za-z0-9])|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}"
    r"|glpat-[A-Za-z0-9_\-]{18,}|xox[abeprs]-[A-Za-z0-9\-]{18,}|AIza[A-Za-z0-9_\-]{30,}|npm_[A-Za-z0-9]{30,}"
    r"|hf_[A-Za-z0-9]{28,}|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*)?|ya29\.[A-Za-z0-9_\-]{20,}"
    r"|SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}|dop_v1_[a-f0-9]{40,}|pypi-[A-Za-z0-9_\-]{40,}|shpat_[a-f0-9]{24,}"
)
OPEN = re.compile(r"(?<![A-Za-z0-9_\-./+])" + _PREFIX + rf"[A-Za-z0-9_\-.=+/]{{0,{LONGEST}}}\Z")
"""A key that may go on behind the end of a text."""
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----"
    rf"(?:[A-Za-z0-9+/=\s:,]|-(?!----)){{0,{LONGEST - 100}}}+(?:-----END [A-Z0-9 ]{{0,30}}PRIVATE KEY-----)?"
)
PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY-----")

_WORD = (
    r"(?:pass(?:word|wd|phrase)?(?: wifi)?|pwd|secret|api[ _\-]?key"
    r"|apikey|access[ _\-]?key|private[ _\-]?key|credentials?"
    r"|token|パスワード|暗証番号|シークレットキー|シークレット|apiキー|アクセスキー|トークン|mật khẩu|mat khau|\bmk"
    r"|khóa bí mật|khóa api|mã truy cập)"
)
_ASSIGNED = re.compile(
    _WORD + r"[A-Za-z0-9_\-]{0,24}(?: (?:of|for|cho|của) [^\s:=]{1,16})?[\"'」』)]?\s?[:=]{1,2}>?\s?[\"'「『]?",
    re.IGNORECASE,
)
_SAID = re.compile(
    _WORD + r"(?: (?:của tôi|của em|of mine|key|mới|wifi)|[キ鍵]ー?)?"
    r"(?:\s(?:is now|is|was|to|là|la)\s|[はが]、?|\s|「)[\"'「『]?",
    re.IGNORECASE,
)
_STEMS = (
    "pass", "pwd", "secret", "api", "access", "private", "credential", "token", "パスワード", "暗証番号",
    "シークレット",     "アクセスキー", "トークン", "mật khẩu", "mat khau", "mk", "khóa", "mã truy",
)  # fmt: skip
"""How the words begin, in small letters: looked for first, since that is quick."""
_BEARER = re.compile(r"bearer\s", re.IGNORECASE)
_VALUE = re.compile(rf"[!#-&*-;=?-~]{{6,{LONGEST_VALUE}}}")
_IN_URL = re.compile(r"://(?=([^\s:/@?#]{1,64}):)[^\s:/@?#]{1,64}:([^\s@/]{3,128})@")
_TRAILING = ".,;:!?)]}>"


def secrets(text: str, start: int) -> Iterator[Finding]:
    """Keys of known form, private keys in PEM, values that a word announces, passwords in URLs."""
    for match in places(_KEY, text, start):
        shape = _SHAPES.match(text, match.start(), match.end())
        if shape is not None:
            yield Finding(match.start(), shape.end(), "secret")
    at = text.find("-----BEGIN ", start)
    while at >= 0:
        block = _PEM.match(text, at)
        if block is not None:
            yield Finding(at, block.end(), "secret")
        at = text.find("-----BEGIN ", at + 1)
    for cue, strict in _announced(text, max(0, start - REACH)):
        value = _VALUE.match(text, cue.end())
        if value is None or value.start() < start:
            continue
        end = value.end()
        while end > value.start() and text[end - 1] in _TRAILING and not (text[end - 1] == "!" and strict):
            end -= 1
        if _looks_secret(text[value.start() : end], strict=strict):
            yield Finding(value.start(), end, "secret")
    if "://" in text:
        for match in places(_IN_URL, text, max(0, start - REACH)):
            if match.start(2) >= start:
                yield Finding(match.start(2), match.end(2), "secret")


def _announced(text: str, reach: int) -> Iterator[tuple[re.Match[str], bool]]:
    """The words behind which a value may stand, from `reach` on, and whether the value must look like a secret."""
    for at in starts(text, _STEMS, reach):
        for pattern, strict in ((_ASSIGNED, False), (_SAID, True)):
            cue = pattern.match(text, at)
            if cue is not None:
                yield cue, strict
    for cue in places(_BEARER, text, reach):
        yield cue, True


def _looks_secret(value: str, *, strict: bool) -> bool:
    """Whether a value is no plain word: several kinds of characters, or digits where it is assigned."""
    if len(value) < 6 or len(set(value)) < 4:
        return False
    digit = any(character.isdigit() for character in value)
    letter = any(character.isalpha() for character in value)
    symbol = any(not character.isalnum() for character in value)
    mixed = any(character.islower() for character in value) and any(character.isupper() for character in value)
    if strict:
        return letter and digit and (symbol or mixed or len(value) >= 8) and "://" not in value
    return (digit or (symbol and mixed)) and (letter or symbol)
