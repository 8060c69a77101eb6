"""What a configuration would have done with traffic that was logged: no model is called, no text is needed.

Theory of operation. Each logged request becomes one of the same sizes (`logged`), and all go through a whole gateway of
the new configuration in virtual time, at their own times. The provider is the log: it answers with the tokens and at
the pace that were logged, and keeps a prompt cache as providers do. What caches, coalescing, prefix points, quotas,
queues and service tiers do is therefore run, not guessed.

What hangs on the text, the log cannot know: whether a paraphrase is a semantic hit, whether a cheaper tier would have
been right, what pruning would cut. Such techniques do not act in the replay; where the log's gateway had them watch,
what they would have saved stands in it, and the saving is an interval from nothing to that.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from hapenny.admission.keys import OPEN
from hapenny.backends.contract import Backend
from hapenny.config import STAGES, Config
from hapenny.config.stages import LOSSY
from hapenny.core.errors import Failure
from hapenny.core.messages import Context
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop
from hapenny.simulation.loop import VirtualClock
from hapenny.studies.arrivals import serve_all
from hapenny.studies.detached import detached
from hapenny.studies.logged import LoggedProvider, request
from hapenny.studies.traffic_log import Log
from hapenny.studies.virtual_run import quiet_collector
from hapenny.telemetry.holdout import ratio
from hapenny.telemetry.rows import Row

_BLIND = ("guard_input", "guard_context", "guard_output", "retrieval", "arms", "parameters", "structure")
"""Stages that read text, which the replay has not."""
SLICES = 48
"""Equal parts of the log's time: points of a course, and the units of intervals."""
QUANTILES = (1, *range(5, 100, 5), 99)
"""Per cent of requests at which `first_s` and `whole_s` are told."""
_Z = 1.959964


class Span(Struct, frozen=True):
    """From what is certain to what is possible."""

    low: float
    high: float


class Slice(Struct, frozen=True, kw_only=True):
    """A part of the log's time. `at`: its start, epoch seconds (of a trace from its first request)."""

    at: float
    requests: int
    baseline_usd: float
    paid_usd: float


class Outcome(Struct, frozen=True, kw_only=True):
    """What a configuration comes to on a log. Dollars, seconds, shares of requests."""

    requests: int
    paid_usd: float
    baseline_usd: float
    saved_share: Span
    """Of the baseline."""
    by_technique_usd: dict[str, float]
    first_p50_s: float
    first_p95_s: float
    whole_p50_s: float
    whole_p95_s: float
    answered_by_cache: float
    turned_away: float
    queued_p95_s: float
    unknown_pace: float
    """Share of calls to models that the log has no answers of: their pace is that of the others."""
    watched_usd: dict[str, float]
    """What techniques that hang on the text would have saved, as the log's gateway noted: the width of the interval."""
    sampled: Span
    """95 % interval of the certain saving: how far it moves with the traffic, from slice to slice."""
    course: list[Slice]
    first_s: list[tuple[float, float]]
    whole_s: list[tuple[float, float]]
    """Per cent of requests, and within how many seconds; empty where nothing was answered."""


def settled(config: Config) -> tuple[Config, list[str]]:
    """A configuration as it can be replayed, and the techniques that had to be left out of it.

    A replay touches nothing that the deployment has: no store, no account, no file but those of prices and quotas.
    """
    left = set()
    blind = {spec.name for spec in LOSSY} | set(_BLIND)
    routes = {}
    for name, route in config.routes.items():
        modes = dict(route.stages)
        for spec in STAGES:
            if spec.name in blind and route.mode(spec) != "off":
                if spec.name not in ("tiers", "cascade") and route.mode(spec) == "on":
                    left.add(spec.name)
                modes[spec.name] = "off"
        routes[name] = replace(route, stages=modes, audit_share=0.0)
    plain = Config()
    bare = replace(
        detached(config), routes=routes, keys=[], guardrails={}, embedders={}, rerankers={}, intents=None,
        precompute=plain.precompute, edge=plain.edge, counting=plain.counting,
    )  # fmt: skip
    return bare, sorted(left)


def replay(
    log: Log, config: Config, *, seed: int = 7, progress: Callable[[float], None] = lambda share: None
) -> Outcome:
    """Runs the log through a gateway of `config` in virtual time; `progress` is called with the share that is done."""
    settings, _ = settled(config)
    known = {row.identity: row for row in log.rows}
    rows: list[Row] = []
    providers: list[LoggedProvider] = []
    turned = [0]
    began = [0.0]
    step = max(1, len(log.rows) // 100)

    async def main(clock: VirtualClock) -> None:
        began[0] = clock.wall()
        backends: dict[str, Backend] = {}
        for name in settings.backends:
            provider = LoggedProvider(name, clock, known, log.paces)
            providers.append(provider)
            backends[name] = provider
        async with Gateway(settings, clock=clock, backends=backends) as gateway:
            gateway.parts.exchanges.observe(lambda exchange, row: rows.append(row))

            async def one(place: int) -> None:
                row, (feature, session, tenant) = log.rows[place], log.features[place]
                if place % step == 0:
                    progress(place / len(log.rows))
                model = log.asked[place] or "strong"
                context = Context(feature=feature or None, session=session or None, tenant=tenant)
                exchange = None
                try:
                    exchange = gateway.open(request(row, model), context, OPEN)
                    answer = await gateway.answer(exchange)
                    async for _ in answer:
                        pass
                except Failure:
                    turned[0] += 1
                finally:
                    if exchange is not None:
                        gateway.close(exchange)

            await serve_all(clock, ((row.at, place) for place, row in enumerate(log.rows)), one)

    with quiet_collector():
        loop.run(main, seed)
    progress(1.0)
    return _outcome(log, rows, providers, turned[0], began[0])


def _outcome(log: Log, rows: Sequence[Row], providers: Sequence[LoggedProvider], turned: int, began: float) -> Outcome:
    served = [row for row in rows if not row.background and row.outcome == "delivered"]
    paid = sum(row.actual or 0 for row in rows) / 1e9
    baseline = sum(row.baseline or 0 for row in served) / 1e9
    techniques: dict[str, float] = {}
    for row in served:
        for name, nano in row.savings.items():
            techniques[name] = techniques.get(name, 0.0) + nano / 1e9
    share = 1 - paid / baseline if baseline else 0.0
    watched = {name: usd for name, usd in log.watched.items() if usd > 0 and name not in techniques}
    more = sum(watched.values()) / baseline if baseline else 0.0
    calls = sum(provider.calls for provider in providers)
    course = _course(log, rows, began)
    first, whole = [row.ttft for row in served], [row.e2e for row in served]
    return Outcome(
        requests=len(log.rows),
        paid_usd=paid,
        baseline_usd=baseline,
        saved_share=Span(share, min(1.0, share + more)),
        by_technique_usd=techniques,
        first_p50_s=_percentile(first, 50),
        first_p95_s=_percentile(first, 95),
        whole_p50_s=_percentile(whole, 50),
        whole_p95_s=_percentile(whole, 95),
        answered_by_cache=sum(row.cache_hit for row in served) / max(1, len(served)),
        turned_away=turned / max(1, len(log.rows)),
        queued_p95_s=_percentile([row.queued for row in served], 95),
        unknown_pace=sum(provider.unknown for provider in providers) / max(1, calls),
        watched_usd=watched,
        sampled=_sampled(course),
        course=course,
        first_s=_quantiles(first),
        whole_s=_quantiles(whole),
    )


def _course(log: Log, rows: Sequence[Row], began: float) -> list[Slice]:
    """Money by the time at which requests came, in `SLICES` equal parts."""
    length = max(1.0, (log.rows[-1].at - log.rows[0].at) / SLICES)
    starts = [log.rows[0].at + number * length for number in range(SLICES)]
    sums = [[0, 0, 0] for _ in starts]
    for row in rows:
        part = sums[max(0, bisect.bisect_right(starts, row.wall - began) - 1)]
        part[0] += not row.background
        part[1] += (row.baseline or 0) if not row.background and row.outcome == "delivered" else 0
        part[2] += row.actual or 0
    return [
        Slice(at=log.start + at, requests=count, baseline_usd=baseline / 1e9, paid_usd=paid / 1e9)
        for at, (count, baseline, paid) in zip(starts, sums, strict=True)
    ]


def _sampled(course: Sequence[Slice]) -> Span:
    busy = [each for each in course if each.requests]
    paid, spread = ratio(
        np.array([each.paid_usd for each in busy], float), np.array([each.baseline_usd for each in busy], float)
    )
    return Span(1 - paid - _Z * spread, 1 - paid + _Z * spread)


def cheaper(one: Outcome, other: Outcome) -> tuple[float, Span]:
    """Dollars that `one` pays less than `other` on the same log, with the 95 % interval over its slices, in pairs."""
    pairs = [
        (theirs.paid_usd - ours.paid_usd)
        for ours, theirs in zip(one.course, other.course, strict=True)
        if ours.requests or theirs.requests
    ]
    less = other.paid_usd - one.paid_usd
    width = _Z * float(np.std(pairs, ddof=1)) * len(pairs) ** 0.5 if len(pairs) > 1 else 0.0
    return less, Span(less - width, less + width)


def _quantiles(values: Sequence[float | None]) -> list[tuple[float, float]]:
    known = [value for value in values if value is not None]
    return list(zip(QUANTILES, np.percentile(known, QUANTILES).tolist(), strict=True)) if known else []


def _percentile(values: Sequence[float | None], percent: float) -> float:
    known = [value for value in values if value is not None]
    return float(np.percentile(known, percent)) if known else 0.0


def compare(
    log: Log, configs: Mapping[str, Config], progress: Callable[[float], None] = lambda share: None
) -> dict[str, Outcome]:
    """Each configuration over the same log; `progress` is called with the share of all that is done."""
    outcomes: dict[str, Outcome] = {}
    for number, (name, config) in enumerate(configs.items()):
        outcomes[name] = replay(
            log,
            config,
            progress=lambda share, number=number: progress((number + share) / len(configs)),  # type: ignore[misc]
        )
    return outcomes
