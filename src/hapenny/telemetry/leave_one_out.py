"""Leave-one-out: what a technique saves that would be lost if it alone were off.

The waterfall gives a saving to whoever came first: an exact hit on a question that the cheap model would have answered
for little is booked at the dear model's price. Here each technique is taken out by itself, the others as they were.

Within one request (`alone`, computed when its row is made) a step changes what the prompt and what the answer cost by
some factor: fewer tokens, another model's rate, a read from the provider's cache. Without the step the last price is
divided by that factor, prompt and answer apart; what the technique paid for calls of its own is not paid. A technique
that answered by itself leaves no last price: without it the request would have cost what the same question cost when a
model answered it, or else what questions of its intent, its route, or all, cost beside their baselines (`replayed`,
from the ledger). Not assumed is that another cache would have stepped in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from hapenny.core.notes import Note
from hapenny.telemetry.schema import columns_of


class Part(NamedTuple):
    """The price of a request as it stood behind a technique, nano-dollars, by what it is paid for."""

    technique: str
    prompt: int
    output: int


class Alone(NamedTuple):
    """Leave-one-out of one request: what each technique saved by itself, nano-dollars; and which one answered for
    nothing, if one did."""

    saved: dict[str, int]
    freed: str


ALONE: Note[Alone] = Note("books.alone")


def alone(parts: Sequence[Part], others: Sequence[tuple[str, int | None]]) -> dict[str, int]:
    """What each technique of one request saved by itself, nano-dollars.

    Args:
        parts: from the baseline to what was served, a price each.
        others: (technique, cost) of each call that delivered no answer.
    """
    saved: dict[str, int] = {}
    for technique, cost in others:
        saved[technique] = saved.get(technique, 0) - (cost or 0)
    last = parts[-1] if parts else Part("", 0, 0)
    for technique in dict.fromkeys(part.technique for part in parts[1:]):
        prompt, output, added = float(last.prompt), float(last.output), 0
        for before, after in pairwise(parts):
            if after.technique != technique:
                continue
            if after.prompt + after.output == 0:  # capacity of one's own: no factor leads back from nothing
                added += before.prompt + before.output
                continue
            prompt *= before.prompt / after.prompt if after.prompt else 1.0
            output *= before.output / after.output if after.output else 1.0
        nano = round(prompt + output) + added - last.prompt - last.output
        saved[technique] = saved.get(technique, 0) + nano
    return {technique: nano for technique, nano in saved.items() if nano}


_COST = """
WITH paid AS (
  SELECT tenant, route, intent, fingerprint, baseline, actual FROM requests
  WHERE {where} AND NOT unpriced AND background = '' AND freed IS NULL AND baseline > 0
), by_question AS (
  SELECT tenant, route, fingerprint, 1.0 * sum(actual) / sum(baseline) AS share FROM paid
  WHERE fingerprint IS NOT NULL GROUP BY tenant, route, fingerprint
), by_intent AS (
  SELECT route, intent, 1.0 * sum(actual) / sum(baseline) AS share FROM paid GROUP BY route, intent
), by_route AS (
  SELECT route, 1.0 * sum(actual) / sum(baseline) AS share FROM paid GROUP BY route
), hits AS (
  SELECT tenant, route, intent, fingerprint, freed, baseline FROM requests
  WHERE {where} AND NOT unpriced AND background = '' AND freed IS NOT NULL
)
SELECT freed, sum(hits.baseline * coalesce(
  by_question.share, by_intent.share, by_route.share,
  (SELECT 1.0 * sum(actual) / sum(baseline) FROM paid), 1.0
)) FROM hits
LEFT JOIN by_question USING (tenant, route, fingerprint)
LEFT JOIN by_intent USING (route, intent)
LEFT JOIN by_route USING (route)
GROUP BY freed
"""


def replayed(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> dict[str, int] | None:
    """What each technique saved by itself over the rows that `where` (with its `values`) names, nano-dollars; None
    where the file is of a version that does not tell."""
    if "alone" not in columns_of(connection, "requests"):
        return None
    saved: dict[str, int] = dict(
        connection.execute(
            "SELECT key, sum(value) FROM requests, json_each(requests.alone)"
            f" WHERE {where} AND NOT unpriced AND alone IS NOT NULL GROUP BY key",
            tuple(values),
        ).fetchall()
    )
    for technique, cost in connection.execute(_COST.format(where=where), (*values, *values)):
        saved[technique] = saved.get(technique, 0) + round(cost)
    return saved
