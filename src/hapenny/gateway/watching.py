"""What goes on beside requests, and what holds them back, as the gateway's health and its metrics show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hapenny.core.guard import Guard
from hapenny.telemetry.metrics import Series
from hapenny.throughput import view

if TYPE_CHECKING:
    from hapenny.gateway.assembly import Assembly


def guards(parts: Assembly) -> list[Guard]:
    """Of every background task of a deployment."""
    shared = parts.shared
    owners = [*parts.tasks.guards, parts.dispatchers.guard, shared.gathered.guard]
    if shared.recorder.ledger is not None:
        owners.append(shared.recorder.ledger.guard)
    if shared.state is not None:
        owners.append(shared.state.guard)
    return [*owners, *shared.counters.guards, *shared.guards]


def watch(parts: Assembly) -> None:
    """Shows it all in the deployment's metrics; what a previous one showed there is replaced."""
    metrics = parts.shared.recorder.metrics

    def known(model: str) -> bool:
        return metrics.labels.known(metrics.canonical(model))

    metrics.source("throughput", lambda: view.series(parts.dispatchers, known))
    metrics.source("utilisation", lambda: parts.utilisation.series(known))
    metrics.source("tasks", lambda: _tasks(parts))
    metrics.source("guardrails", lambda: _findings(parts))


def _tasks(parts: Assembly) -> Iterator[Series]:
    failures: dict[tuple[str, ...], float] = {}
    for guard in guards(parts):
        failures[(guard.name,)] = failures.get((guard.name,), 0.0) + guard.failures
    what = "Times that a background task failed and was begun again."
    yield Series("hapenny_task_failures_total", what, ("task",), failures)


def _findings(parts: Assembly) -> Iterator[Series]:
    what = "What guardrails found in requests and answers and acted upon, by what was done."
    yield Series("hapenny_guardrail_findings_total", what, ("stage", "kind", "action"), parts.shared.guard_counts)
