"""What a rule found in a text: which kind of item, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal[
    "secret",
    "iban",
    "card",
    "email",
    "ip",
    "my_number",
    "cccd",
    "ssn",
    "phone",
    "postal_code",
    "address",
    "person",
]
KINDS: Final[tuple[Kind, ...]] = (
    "secret", "iban", "card", "email", "ip", "my_number", "cccd", "ssn", "phone", "postal_code", "address", "person",
)  # fmt: skip
"""Every kind of item; where two claim the same place from the same character on, the earlier one names it."""
STRUCTURED: Final[frozenset[Kind]] = frozenset(KINDS) - {"address", "person"}
"""Kinds whose form alone tells them apart; of names and addresses rules find only some."""
RANK: Final[dict[Kind, int]] = {kind: place for place, kind in enumerate(KINDS)}


class Finding(NamedTuple):
    """One item of a text: characters `start` to `end` of it."""

    start: int
    end: int
    kind: Kind


def united(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that overlap as one, in order of their places; the one that begins first names it.

    A character is covered where any rule covers it. That makes the result a matter of each place's neighbourhood alone,
    whatever stands far before it: a text that comes in pieces is redacted as the whole would be.
    """
    out: list[Finding] = []
    for finding in sorted(findings, key=lambda each: (each.start, RANK[each.kind], -each.end)):
        if out and finding.start < out[-1].end:
            last = out[-1]
            if finding.end > last.end:
                out[-1] = last._replace(end=finding.end)
        else:
            out.append(finding)
    return out


def tally(findings: Sequence[Finding]) -> dict[str, int]:
    """How many of each kind."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    return counts
