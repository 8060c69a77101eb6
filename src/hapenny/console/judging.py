"""The judge of audits against people: how often they agree, and limits that make them agree more."""

from __future__ import annotations

from collections.abc import Iterable

from hapenny.console.queue import Item, Queue
from hapenny.evidence.answers import ALIKE, APART, Agreement, Labelled, agreement, labelled
from hapenny.vectors.embedder import Embedder


def agreed(judged: Iterable[tuple[Item, float, dict[str, float]]]) -> Agreement | None:
    """Agreement on pairs that both a person and an audit judged; None where there is none."""
    pairs = [
        Labelled(1.0 - verdicts["audit"], 0.0, 1.0 - score)
        for one, score, verdicts in judged
        if len(one.answers) == 2 and "audit" in verdicts
    ]
    return agreement(pairs, ALIKE, APART) if pairs else None


async def pairs(queue: Queue, embedder: Embedder) -> list[Labelled]:
    """Every labelled pair as the judge without a model sees it."""
    both = []
    for one, score, _ in queue.labelled():
        if len(one.answers) == 2:
            candidate, baseline = one.answers[one.candidate], one.answers[1 - one.candidate]
            both.append(await labelled(candidate, baseline, 1.0 - score, embedder.embed))
    return both
