"""Check digits: payment cards (ISO/IEC 7812-1), account numbers (ISO 13616), My Number (Japan, 2014 ordinance no.
85).
"""

from __future__ import annotations

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip
"""Characters of an account number by country (SWIFT's registry)."""

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: str) -> bool:
    """Whether the last of `digits` is the check digit of the others."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        total += _DOUBLED[int(digit)] if index % 2 else int(digit)
    return total % 10 == 0


def iban(account: str) -> bool:
    """Whether an account number without spaces has its country's length, and its check digits are right."""
    if IBAN_LENGTHS.get(account[:2]) != len(account):
        return False
    moved = account[4:] + account[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def my_number(digits: str) -> bool:
    """Whether the last of 12 digits is the check digit of the others."""
    if len(digits) != 12:
        return False
    total = sum(
        int(digit) * (place + 1 if place <= 6 else place - 5) for place, digit in enumerate(reversed(digits[:11]), 1)
    )
    rest = total % 11
    return int(digits[11]) == (0 if rest <= 1 else 11 - rest)
