"""Finds the items of a text, and from where on its end may still become one.

Theory of operation. Rules read the text in normal form (`normal`); each yields every match that begins at or behind a
place, and whether one begins somewhere depends on at most `BEHIND` characters before it and the rule's longest match
behind it. What is found is united (`finding.united`). `open_from` says for a text that goes on from where on a match
may still begin or change: the word that is being written, numbers that may get another group, an unfinished key.
Everything before that is decided for good, which is what lets a stream hold back those few characters and nothing
else.

Cost: some passes of the regular expression engine over the text, each linear; rules whose characters are not there (no
digit, no @) are not asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from hapenny.guarding import credentials, network, numbers, people
from hapenny.guarding.finding import Finding, Kind, united
from hapenny.guarding.normal import Normal, normal

BEHIND: Final = 128
"""Characters before a place on which what begins there may depend."""

Rule: TypeAlias = Callable[[str, int], Iterator[Finding]]

_WITH_DIGITS: Final[dict[Kind, Rule]] = {
    "iban": numbers.accounts,
    "card": numbers.cards,
    "my_number": numbers.my_numbers,
    "cccd": numbers.cccds,
    "ssn": numbers.ssns,
    "phone": numbers.phones,
    "postal_code": numbers.postal_codes,
}
_DIGIT = re.compile(r"[0-9]")
_TELLING = re.compile(r"[0-9@!#$%&*+/=?^_~|\\\-]|[A-Z]{12}|eyJ")
"""A character without which no structured item is complete."""
LOUD = re.compile(r"[0-9@!#$%&*+/=?^_~|\\\-(]|[A-Z]{12}|eyJ")
"""The same, and the bracket that a phone number may begin with: where none of it is held, only a word is open."""
# Read from the end of a text to the left, so that the work is what is read.
_TOKEN = re.compile(r"[!-~\u00a1-\u024f\u1e00-\u1eff]++")
_GROUPS = re.compile(r"(?: ?[0-9A-Z+().\-ー])++ ?")
_DIGIT_OR_PLUS = re.compile(r"[0-9+(]|[A-Z]{1,2}[0-9]")
_PEM_OPEN = "-----BEGIN "


class Detector:
    """Finds items of some kinds.

    Args:
        kinds: which are looked for.
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.kinds = frozenset(kinds)
        self._numeric = tuple(rule for kind, rule in _WITH_DIGITS.items() if kind in self.kinds)
        self._names = "person" in self.kinds
        self._places = "address" in self.kinds

    def find(self, text: str) -> list[Finding]:
        """The items of a whole text, in order, at their places in it."""
        form = normal(text)
        return placed(form, self.within(form.text, 0))

    def within(self, text: str, start: int, before: int | None = None) -> list[Finding]:
        """Those of a text in normal form that begin at or behind `start`, and before `before`."""
        if not self.kinds:
            return []
        kinds, out = self.kinds, list[Finding]()
        if _DIGIT.search(text, start) is not None:
            for rule in self._numeric:
                out.extend(rule(text, start))
        if "email" in kinds:
            out.extend(network.emails(text, start))
        if "ip" in kinds:
            out.extend(network.ips(text, start))
        if "secret" in kinds:
            out.extend(credentials.secrets(text, start))
        if self._names:
            out.extend(people.names(text, start))
        if self._places:
            out.extend(people.addresses(text, start))
        if before is not None:
            out = [each for each in out if each.start < before]
        return united(out)

    def tells(self, text: str, start: int, end: int) -> bool:
        """Whether an item may begin between `start` and `end` of a text in normal form: a cheap look before `within`.
        Names have no character that gives them away."""
        return self._names or self._places or _TELLING.search(text, start, end) is not None

    def open_from(self, text: str, start: int) -> int:
        """From where on a text in normal form is still open, at least `start`: an item that begins there may begin, end
        or fall away with what comes next. The text's length: nothing is."""
        length = len(text)
        if not self.kinds:
            return length
        least = length
        tail = text[_left(text, start, network.LONGEST) :][::-1]
        token = _TOKEN.match(tail)
        if token is not None:
            least = length - token.end()
        groups = _GROUPS.match(tail, 0, numbers.LONGEST + 4)
        if groups is not None:
            first = _DIGIT_OR_PLUS.search(text, length - groups.end())
            if first is not None:  # from the beginning of the word that it stands in
                least = min(least, text.rfind(" ", length - groups.end(), first.start()) + 1 or length - groups.end())
        if "secret" in self.kinds:
            least = min(least, _open_secret(text, start, least))
        if self._names:
            least = min(least, people.open_name(text, start))
        if self._places:
            least = min(least, people.open_address(text, start))
        return max(start, least)


def open_word(held: str) -> int | None:
    """Characters of the word at the end of a text without `LOUD` ones; None: it is so long that it may be a key."""
    token = _TOKEN.match(held[::-1])
    if token is None:
        return 0
    return token.end() if token.end() < network.LONGEST else None


def _left(text: str, start: int, width: int) -> int:
    return max(start, len(text) - width)


def _open_secret(text: str, start: int, token: int) -> int:
    """From where on a key may go on behind the end of the text."""
    least = len(text)
    if token <= len(text) - network.LONGEST:  # a token this long is a key, or nothing that a rule would cover
        match = credentials.OPEN.search(text, _left(text, start, credentials.LONGEST))
        if match is not None:
            least = match.start()
    at = text.rfind(_PEM_OPEN, _left(text, start, credentials.LONGEST))
    if at >= 0 and credentials.PEM_END.search(text, at) is None:
        least = min(least, at)
    return least


def placed(form: Normal, findings: list[Finding]) -> list[Finding]:
    """Findings of a normal form at their places in the text as it was."""
    if form.places is None:
        return findings
    return [Finding(*form.span(each.start, each.end), each.kind) for each in findings]
