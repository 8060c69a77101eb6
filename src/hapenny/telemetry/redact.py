"""Takes out of texts what identifies people or opens doors: e-mail addresses, telephone and card numbers, keys."""

from __future__ import annotations

import re

from hapenny.core.patterns import pattern

_EMAIL = pattern(r"(?<![\w.+-])[\w.+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}", re.ASCII)
_KEY = pattern(
    r"\b(?:sk|pk|rk|hk|gsk|xox[abprs])-[\w-]{12,}"  # OpenAI, Anthropic, Stripe, Slack and their like
    r"|\b(?:AKIA|ASIA|ABSK)[A-Z0-9+/=]{12,}"  # AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bAIza[\w-]{30,}"  # Google
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # JWT
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?i:(?<=bearer )|(?<=password[=:])|(?<=password[=:] )|(?<=passwd[=:])|(?<=secret[=:])|(?<=api_key[=:])"
    r"|(?<=apikey[=:])|(?<=token[=:]))[^\s\"'&,;]{6,}",
    re.DOTALL,
)
_CARD = pattern(r"(?<![\d.])(?:\d[ -]?){12,18}\d(?![\d.]|-\d)")
_PHONE = pattern(
    r"(?<![A-Za-z0-9_.])(?:\+\d{1,3}[ .-]?(?:\(\d{1,5}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}"  # international
    r"|\(\d{2,5}\)[ .-]?\d{2,5}(?:[ .-]?\d{2,5}){1,3}"  # area code in brackets
    r"|0\d{1,4}(?:[ .-]\d{2,5}){1,4}|0\d{8,11}"  # national with a leading zero
    r"|\d{3}[ .-]\d{3}[ .-]\d{4})(?![A-Za-z0-9_]|[.-]\d)"  # North America
)
_IBAN = pattern(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")


def redact(text: str) -> str:
    """`text` with each find replaced by what it was: `[email]`, `[phone]`, `[card]`, `[iban]`, `[key]`."""
    if not text:
        return text
    text = _KEY.sub("[key]", text)
    if "@" in text:
        text = _EMAIL.sub("[email]", text)
    text = _IBAN.sub(lambda match: "[iban]" if _iban(match[0]) else match[0], text)
    text = _CARD.sub(lambda match: "[card]" if _luhn(match[0]) else match[0], text)
    return _PHONE.sub(lambda match: "[phone]" if _digits(match[0]) >= 8 else match[0], text)


def _digits(text: str) -> int:
    return sum(character.isdigit() for character in text)


def _luhn(text: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1)."""
    digits = [int(character) for character in text if character.isdigit()]
    total = sum(digits[-1::-2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return 13 <= len(digits) <= 19 and total % 10 == 0 and any(digits)


def _iban(text: str) -> bool:
    """The check digits of account numbers (ISO 13616)."""
    plain = text.replace(" ", "")
    moved = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(character, 36)) for character in moved)) % 97 == 1
