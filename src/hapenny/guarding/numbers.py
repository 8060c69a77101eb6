"""Rules for numbers that name a person or an account: telephones, cards, accounts, national ids, postal codes.

Theory of operation. A pattern says what a number may look like; its check digit, the words before it and the
plausible ranges decide. Every pattern begins with one class of characters and looks around itself with ASCII classes
(`\\b` takes kana and kanji for parts of a word, so that nothing would ever begin behind them), repeats are bounded,
and separators are never optional between two repeats: work is linear in the text. Places are tried one by one, also
within an earlier match, so that a match depends on its neighbourhood alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hapenny.guarding import check_digits, context_words
from hapenny.guarding.context_words import before, is_other_number
from hapenny.guarding.finding import Finding, Kind

LONGEST = 60
"""Characters of the longest number, its separators among them."""

_END = r"(?![0-9A-Za-z_])"
_CARD = re.compile(
    r"[2-6](?<![0-9A-Za-z_][0-9])"
    r"(?:[0-9]{3}([ \-ー]?)[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|[0-9]{3}([ \-ー]?)[0-9]{6}\2[0-9]{4,5})" + _END
)
_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|5[1-5][0-9]{14}|2[2-7][0-9]{14}|3[47][0-9]{13}|35[0-9]{14}|3[0689][0-9]{12}"
    r"|6[0-9]{15,18}"
)
_IBAN = re.compile(r"[A-Z](?<![0-9A-Za-z_][A-Z])[A-Z][0-9]{2} ?[A-Z0-9]{4}")
_INTERNATIONAL = re.compile(
    r"\+(?<![0-9A-Za-z_]\+) ?[0-9]{1,15}(?:[ .\-ー]?\([0-9]{1,4}\)[ .\-]?[0-9]{1,6}|[ .\-ー][0-9]{1,10}){0,6}" + _END
)
_ZERO_ZERO = re.compile(r"0(?<![0-9A-Za-z_.]0)(?<![0-9][ \-ー]0)0[1-9][0-9]{0,2}(?:[ .\-][0-9]{1,10}){2,6}" + _END)
_NATIONAL = re.compile(
    r"0(?<![0-9A-Za-z_]0)(?<![0-9][.\-/ー]0)(?:"
    r"[1-9][0-9]{0,3}(?:[ .\-ー][0-9]{2,4}[ .\-ー][0-9]{3,4}|\([0-9]{1,4}\)[0-9]{3,4}|[ .\-][0-9]{6})"
    r"|[1-9](?:[ .\-][0-9]{2}){4})" + _END + r"(?![.\-ー/][0-9])"
)
_BRACKETS = re.compile(r"\((?<![0-9A-Za-z_]\()[0-9]{1,5}\)[ .\-]?[0-9]{2,4}(?:[ .\-ー][0-9]{3,4}){1,2}" + _END)
_AMERICAN = re.compile(
    r"[1-9](?<![0-9A-Za-z_.][0-9])(?<![0-9][\-ー/][0-9])"
    r"(?:(?<=1)[ .\-]\(?[2-9])?[0-9]{2}\)?[ .\-][2-9][0-9]{2}[ .\-][0-9]{4}"
    + _END + r"(?![.\-ー][0-9])"
)  # fmt: skip
_MOBILE = re.compile(
    r"0(?<![0-9A-Za-z_]0)(?<![0-9][.\-/ー]0)(?:[5789]0[0-9]{8}|[35789][0-9]{8})" + _END + r"(?![.\-ー][0-9])"
)
_NAMED = re.compile(r"[0-9](?<![0-9A-Za-z_][0-9])(?:[0-9]{8,11}|(?<=1)[89]00[ .\-]?[0-9]{4,6})" + _END)
_TWELVE = re.compile(
    r"[0-9](?<![0-9A-Za-z_][0-9])(?<![0-9][\-ー][0-9])[0-9]{3}([ \-ー]?)[0-9]{4}\1[0-9]{4}" + _END + r"(?![ \-ー][0-9])"
)
_VIETNAMESE = re.compile(
    r"[0-9](?<![0-9A-Za-z_][0-9])[0-9]{2}(?:([ .]?)[0-9]{3}\1[0-9]{3}\1[0-9]{3}|([ .]?)[0-9]{3}\2[0-9]{3})" + _END
)
_SSN = re.compile(r"[0-9](?<![0-9A-Za-z_][0-9])(?<![0-9]-[0-9])[0-9]{2}([ \-]?)[0-9]{2}\1[0-9]{4}" + _END)
_POSTAL_JA = re.compile(
    r"[0-9](?<![0-9A-Za-z_][0-9])(?<![0-9][\-ー][0-9])[0-9]{2}[\-ー]?[0-9]{4}" + _END + r"(?![\-ー][0-9])"
)
_POSTAL_UK = re.compile(r"[A-Z](?<![0-9A-Za-z_][A-Z])[A-Z]?[0-9][A-Z0-9]? [0-9][ABD-HJLNP-UW-Z]{2}" + _END)
_POSTAL_CA = re.compile(r"[ABCEGHJ-NPRSTVXY](?<![0-9A-Za-z_][A-Z])[0-9][A-Z] [0-9][A-Z][0-9]" + _END)
_POSTAL_5 = re.compile(r"[0-9](?<![0-9A-Za-z_][0-9])(?<![0-9][.,\-][0-9])[0-9]{4}(?:-[0-9]{4}|[0-9])?" + _END)
_STATE = re.compile(
    r"(?:^|[ ,])(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT"
    r"|V[AT]|W[AIVY]),? $"
)
_NEAR = 20
"""Characters before a number within which a word must stand that makes it an item."""


def places(pattern: re.Pattern[str], text: str, start: int) -> Iterator[re.Match[str]]:
    """Every place from `start` on where `pattern` matches, also within an earlier match."""
    match = pattern.search(text, start)
    while match is not None:
        yield match
        match = pattern.search(text, match.start() + 1)


def starts(text: str, words: tuple[str, ...], start: int) -> Iterator[int]:
    """Where from `start` on one of `words` (in small letters) stands in a text in normal form, large or small."""
    small = text.lower()
    for word in words:
        at = small.find(word, start)
        while at >= 0:
            yield at
            at = small.find(word, at + 1)


def digits(text: str) -> str:
    """The digits of a text, nothing else."""
    return "".join(character for character in text if "0" <= character <= "9")


def cards(text: str, start: int) -> Iterator[Finding]:
    """Payment cards: an issuer's form, the check digit, and no word that makes it an order's number."""
    for match in places(_CARD, text, start):
        plain = digits(match[0])
        if _ISSUERS.fullmatch(plain) and check_digits.luhn(plain) and len(set(plain)) > 1:
            near = before(text, match.start())
            if not is_other_number(near, context_words.CARD):
                yield Finding(match.start(), match.end(), "card")


def accounts(text: str, start: int) -> Iterator[Finding]:
    """IBANs: as many characters as their country's have, in groups or not, and the check digits."""
    for match in places(_IBAN, text, start):
        wanted = check_digits.IBAN_LENGTHS.get(match[0][:2])
        if wanted is None:
            continue
        at = match.start()
        taken: list[str] = []
        while len(taken) < wanted and at < len(text):
            character = text[at]
            if character == " " and text[at - 1] != " ":
                at += 1
                continue
            if not ("0" <= character <= "9" or "A" <= character <= "Z"):
                break
            taken.append(character)
            at += 1
        if at < len(text) and (text[at].isascii() and (text[at].isalnum() or text[at] == "_")):
            continue
        if len(taken) == wanted and check_digits.iban("".join(taken)):
            yield Finding(match.start(), at, "iban")


def phones(text: str, start: int) -> Iterator[Finding]:
    """Telephone numbers: international, national with a leading zero, North American, and any that a word announces."""
    if "+" in text:
        for match in places(_INTERNATIONAL, text, start):
            if 8 <= len(digits(match[0])) <= 15:
                yield _phone(match)
    for pattern in (_NATIONAL, _MOBILE, _BRACKETS, _AMERICAN, _ZERO_ZERO):
        for match in places(pattern, text, start):
            plain = digits(match[0])
            if pattern is _ZERO_ZERO:
                right = 10 <= len(plain) <= 17
            elif pattern is _AMERICAN:
                right = len(plain) == 10 + (plain[0] == "1") and plain[-10] in "23456789"
            else:
                right = 9 <= len(plain) <= 11
            if right and not is_other_number(before(text, match.start()), context_words.PHONE):
                yield _phone(match)
    for match in places(_NAMED, text, start):
        near = before(text, match.start())[-_NEAR:]
        if context_words.PHONE.search(near) and not is_other_number(near, context_words.PHONE):
            yield _phone(match)


def _phone(match: re.Match[str]) -> Finding:
    return Finding(match.start(), match.end(), "phone")


def my_numbers(text: str, start: int) -> Iterator[Finding]:
    """Japan's My Number: 12 digits with their check digit, behind a word that says so."""
    for match in places(_TWELVE, text, start):
        if check_digits.my_number(digits(match[0])) and context_words.MY_NUMBER.search(before(text, match.start())):
            yield Finding(match.start(), match.end(), "my_number")


def cccds(text: str, start: int) -> Iterator[Finding]:
    """Vietnam's citizen id (12 digits: province 001-096, century and gender, year) and its forerunner (9 digits)."""
    for match in places(_VIETNAMESE, text, start):
        plain, near = digits(match[0]), before(text, match.start())
        if len(plain) == 12:
            right = 1 <= int(plain[:3]) <= 96 and context_words.CCCD.search(near) is not None
        else:
            right = context_words.CMND.search(near) is not None
        if right:
            yield Finding(match.start(), match.end(), "cccd")


def ssns(text: str, start: int) -> Iterator[Finding]:
    """Social Security numbers of the USA, in the ranges that are given out: with hyphens, or behind a word for them."""
    for match in places(_SSN, text, start):
        plain = digits(match[0])
        if plain[:3] in ("000", "666") or plain[0] == "9" or plain[3:5] == "00" or plain[5:] == "0000":
            continue
        near = before(text, match.start())
        named = context_words.SSN.search(near) is not None
        if named or (match[1] == "-" and not is_other_number(near)):
            yield Finding(match.start(), match.end(), "ssn")


def postal_codes(text: str, start: int) -> Iterator[Finding]:
    """Postal codes whose form or whose word tells them: Japan, the UK, Canada, the USA, Vietnam."""
    kind: Kind = "postal_code"
    for pattern in (_POSTAL_UK, _POSTAL_CA):
        for match in places(pattern, text, start):
            yield Finding(match.start(), match.end(), kind)
    for match in places(_POSTAL_JA, text, start):
        near = before(text, match.start())[-14:]
        strong = "〒" in near[-3:] or "郵便番号" in near[-10:]
        if strong or ("-" in match[0] and context_words.POSTAL_JA.search(near)):
            yield Finding(match.start(), match.end(), kind)
    for match in places(_POSTAL_5, text, start):
        near = before(text, match.start())
        length = match.end() - match.start()
        close = near[-_NEAR:]
        if (length != 6 and (context_words.ZIP.search(close) or _STATE.search(near))) or (
            length < 7 and context_words.POSTAL_VI.search(close)
        ):
            yield Finding(match.start(), match.end(), kind)
