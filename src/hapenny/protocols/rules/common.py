"""What the checks of all services share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hapenny.protocols.rules.subject import Service, Subject
from hapenny.protocols.rules.table import CONVERSE, RULES, Breach

POINTS = 4
"""Cache points a request may hold."""


def breach(name: str, service: Service, **values: Any) -> Breach:
    """The rule called `name`, in the words of `service`."""
    rule = RULES[name]
    return Breach(rule, rule.words[service].format(**values))


def is_blank(text: Any) -> bool:
    """Whether a text is empty or white space alone."""
    return isinstance(text, str) and (not text or text.isspace())


def ends_in_space(text: str) -> bool:
    """Whether a text ends in white space."""
    return text[-1:].isspace()


def stop_sequences(service: Service, sent: Any, subject: Subject) -> Iterator[Breach]:
    """Breaches of how many stop sequences a model takes, if any; `sent`: as they were sent, a list or a single text."""
    most = subject.card.stop_max if subject.card is not None else None
    if sent and most == 0:
        yield breach("stop_unsupported", service)
    elif isinstance(sent, list) and most is not None and len(sent) > most:
        yield breach("stop_count", service, limit=most, length=len(sent))


def cache_points(service: Service, points: Sequence[str], subject: Subject) -> Iterator[Breach]:
    """Breaches of the rules about cache points: lifetimes in the order tools, system, messages ("" is none)."""
    lifetimes = [ttl for ttl in points if ttl]
    if not lifetimes:
        return
    if not subject.caches:
        if service != "anthropic":
            yield breach("cache_unsupported", service)
        return
    if len(lifetimes) > POINTS:
        yield breach("cache_count", service, value=len(lifetimes))
    if "1h" in lifetimes and "5m" in lifetimes[: len(lifetimes) - lifetimes[::-1].index("1h")]:
        yield breach("cache_order", service)


def calls_and_results(service: Service, turns: Sequence[tuple[list[str], list[str]]]) -> Iterator[Breach]:
    """Calls without results in the next turn, and results without calls in the one before. `turns` are the ids of calls
    and of results."""
    before: list[str] = []
    for i, (uses, results) in enumerate(turns):
        answered, asked = frozenset(results), frozenset(before)
        missing = [one for one in before if one not in answered]
        strangers = [one for one in results if one not in asked]
        if missing:
            path = f"messages.{i}" if service == CONVERSE else f"messages.{i - 1}"
            yield breach("tool_pairs", service, path=path, ids=", ".join(missing))
        if strangers:
            yield breach("tool_orphans", service, path=f"messages.{i}", ids=", ".join(strangers))
        before = uses
    if before:
        n = len(turns)
        path = f"messages.{n}" if service == CONVERSE else f"messages.{n - 1}"
        yield breach("tool_pairs", service, path=path, ids=", ".join(before))
