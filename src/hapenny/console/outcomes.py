"""Outcomes for training from what audits kept: a prompt, both models, and the verdict on the one that was judged."""

from __future__ import annotations

from collections.abc import Iterator

from hapenny.console.queue import Queue
from hapenny.routing.training import Logged, TrainingOutcome
from hapenny.telemetry.redact import redact
from hapenny.telemetry.rows import Row


def collected(queue: Queue) -> Iterator[Logged]:
    """One row for each kept question that two models answered and that has a verdict; personal data redacted.

    The answer it was judged against counts as right (1); people's verdicts go before the audit's.
    """
    for content in queue.contents():
        rival = content.rival
        turns = [text for role, text in content.messages if role != "system"]
        row = queue.row(content.request)
        judged = queue.row(rival.judges) if rival is not None else None
        if rival is None or row is None or judged is None or not turns or not row.model_served:
            continue
        score = judged.scores.get("quality", judged.scores.get("audit"))
        if score is None or row.model_served == rival.model:
            continue
        served, other = TrainingOutcome(score=score, cost=_dollars(row), latency=row.e2e), TrainingOutcome(score=1.0)
        if rival.candidate:
            served.score, other = 1.0, TrainingOutcome(score=score, cost=_dollars(judged), latency=judged.e2e)
        yield Logged(
            prompt=redact(turns[-1]),
            models={row.model_served: served, rival.model: other},
            intent=row.intent if row.intent != "unknown" else None,
            route=row.route,
        )


def _dollars(row: Row) -> float | None:
    paid = [call.cost for call in row.calls if call.adopted]
    return paid[0] / 1e9 if paid and paid[0] is not None else None
