"""What a configuration would have done with traffic that was logged: no model is called, no text is needed.

Theory of operation. Each logged request becomes one of the same sizes (`logged`), and all go through a whole gateway of
the new configuration in virtual time, at their own times. The provider is the log: it answers with the tokens and at
the pace that were logged, and keeps a prompt cache as providers do. What caches, coalescing, prefix points, quotas,
queues and service tiers do is therefore run, not guessed.

What hangs on the text, the log cannot know: whether a paraphrase is a semantic hit, whether a cheaper tier would have
been right, what pruning would cut. Such techniques do not act in the replay; where the log's gateway had them watch,
what they would have saved stands in it, and the saving is an interval from nothing to that. No log tells temperatures:
its requests are taken to be deterministic, as applications that are worth caching send them.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import cast, get_args

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from hapenny.admission.keys import OPEN
from hapenny.admission.options import AdmissionOptions
from hapenny.backends.contract import Backend
from hapenny.config import STAGES, Config
from hapenny.config.stages import LOSSY
from hapenny.core.errors import Failure
from hapenny.core.events import StopReason
from hapenny.core.messages import Context
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop
from hapenny.simulation.loop import VirtualClock
from hapenny.studies.arrivals import serve_all
from hapenny.studies.logged import Logged, LoggedProvider, Pace, request
from hapenny.studies.virtual_run import quiet_collector
from hapenny.telemetry.conditions import condition
from hapenny.telemetry.figures import Scope
from hapenny.telemetry.holdout import ratio
from hapenny.telemetry.rows import Row
from hapenny.telemetry.schema import open_ledger, read_row
from hapenny.workload.trace import from_csv

MOST = 20_000
"""Requests of a log that are replayed at most: its newest."""
_REASONS = frozenset(get_args(StopReason))
_SLACK = 8
"""Tokens by which counts of short messages err."""
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


class Log(Struct, frozen=True, kw_only=True):
    """Requests of a log, what its models were like, and what watching techniques noted."""

    rows: list[Logged]
    paces: dict[str, Pace]
    features: list[tuple[str, str, str]]
    """Feature, session and tenant of each row."""
    asked: list[str]
    """The model each request named."""
    watched: dict[str, float] = {}
    source: str = ""
    start: float = 0.0
    """Epoch seconds of the first request; 0 where the log tells none."""


def read(path: Path, scope: Scope | None = None, most: int = MOST) -> Log:
    """A ledger (SQLite) or a trace (CSV).

    Args:
        path: of the file.
        scope: which requests of a ledger; None: all.
        most: of these, the newest.

    Raises:
        ValueError: it is neither, or empty, or a trace of which a part is asked for.
    """
    with path.open("rb") as file:
        ledger = file.read(16) == b"SQLite format 3\x00"
    if ledger:
        return _ledger(path, scope or Scope(), most)
    if scope is not None and scope != Scope():
        raise ValueError(f"{path}: a trace tells neither dates nor labels. Fix: leave the range and the filters out")
    return _trace(path, most)


def _trace(path: Path, most: int) -> Log:
    """A trace tells sizes and times alone: nothing comes twice, nothing is shared, and models answer as is usual."""
    rows = [
        Logged(
            at=each.at, identity=f"t{number}", input_tokens=each.input, output_tokens=each.output,
            cached_tokens=each.cached, history=f"t{number}", cacheable=False, first_s=0.5,
            rest_s=each.output / 80,
        )
        for number, each in enumerate(from_csv(path)[-most:])
    ]  # fmt: skip
    return Log(
        rows=rows, paces={"": Pace(0.5, 1 / 80)}, features=[("", "", "default")] * len(rows), asked=[""] * len(rows),
        source="trace: times of answers are assumed (0.5 s, 80 tokens a second)",
    )  # fmt: skip


def _ledger(path: Path, scope: Scope, most: int) -> Log:
    where, values = condition(scope)
    connection = open_ledger(str(path), read_only=True)
    try:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'requests'").fetchone() is None:
            raise ValueError(f"{path}: no ledger. Fix: the file that `ledger.path` names")
        newest = connection.execute(
            f"SELECT * FROM requests WHERE (background IS NULL OR background = '') AND {where}"
            " ORDER BY wall DESC LIMIT ?",
            (*values, most),
        ).fetchall()
        rows = [read_row(connection, each) for each in reversed(newest)]
    finally:
        connection.close()
    rows = [row for row in rows if row.outcome in ("delivered", "left", "refused")]
    if not rows:
        what = "no requests" if scope == Scope() else "no requests in this range with these filters"
        raise ValueError(f"{path}: {what}. Fix: a ledger with traffic in it")
    start = rows[0].wall
    logged, features, asked = [], [], []
    reading = _Reading()
    paces: dict[str, list[tuple[float, float, int]]] = {}
    watched: dict[str, float] = {}
    for row in rows:
        for name, nano in row.would_save.items():
            watched[name] = watched.get(name, 0.0) + max(0, nano) / 1e9
        entry = reading.request(row, row.wall - start)
        logged.append(entry)
        features.append((row.feature, row.session.hex() if row.session else "", row.tenant))
        asked.append(row.model_asked)
        if entry.first_s is not None and entry.rest_s is not None:
            paces.setdefault(entry.model, []).append((entry.first_s, entry.rest_s, entry.output_tokens))
    means = {
        model: Pace(
            float(np.mean([each[0] for each in seen])),
            sum(each[1] for each in seen) / max(1, sum(each[2] - 1 for each in seen)),
        )
        for model, seen in paces.items()
    }
    return Log(
        rows=[reading.even(each) for each in logged],
        paces=means,
        features=features,
        asked=asked,
        watched=watched,
        source="ledger",
        start=start,
    )


class _Reading:
    """A ledger's rows on their way to requests: which of them share what."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[int, ...]] = {}
        self._sizes: list[tuple[bool, list[int]]] = []
        """Of each system prompt: whether it has tools, and its tokens as each request's were counted."""
        self._sessions: dict[str, list[tuple[str, int]]] = {}
        """Messages of each session so far, and their tokens."""

    def request(self, row: Row, at: float) -> Logged:
        """A row as a request; its system prompt's size is what it was counted as until `even`."""
        parts = row.parts
        fingerprint = row.fingerprint.hex() if row.fingerprint else row.id
        identity = f"{fingerprint}-{'-'.join(map(str, parts.values()))}".replace(" ", "")
        call = next((each for each in row.calls if each.adopted and each.purpose != "embed"), None)
        if call is None:  # a store answered: what the first answer to it was is known, where that is in the log
            known = self._answers.get(identity)
            if known is None:
                known = (sum(parts.values()), row.output_tokens)
            prompt, output, model, first, rest = known[0], known[1], "", None, None
        else:
            prompt = call.input + call.cache_read + call.cache_write + call.cache_write_1h
            output, model = call.output, call.model
            self._answers[identity] = (prompt, output)
            first = call.began - call.started if call.began is not None else None
            rest = call.ended - call.began if call.began is not None and call.ended is not None else None
        shared = self._shared(parts.get("system", 0), parts.get("tools", 0))
        system = parts.get("system", 0) + parts.get("tools", 0)
        session = row.session.hex() if row.session else row.id
        turns = self._turns(session, parts.get("history", 0))
        history = max(parts.get("history", 0), sum(tokens for _, tokens in turns))
        asked, output = max(1, prompt - system - history), max(1, output)
        if row.session:
            self._sessions[session] = [*turns, (identity, asked), (f"{session} {identity}", output)]
        return Logged(
            at=at, identity=identity, system=str(shared), system_tokens=system, history=session, history_tokens=history,
            turns=turns, input_tokens=asked, output_tokens=output, model=model, first_s=first, rest_s=rest,
            stopped=cast(StopReason, row.stopped) if row.stopped in _REASONS else "end_turn", stream=row.stream,
        )  # fmt: skip

    def even(self, row: Logged) -> Logged:
        """`row` with the usual size of its system prompt: counts are estimates that move with each request."""
        if not row.system_tokens:
            return row
        usual = round(median(self._sizes[int(row.system)][1]))
        rest = max(1, row.input_tokens + row.system_tokens - usual)
        return replace(row, system_tokens=usual, input_tokens=rest)

    def _shared(self, system: int, tools: int) -> int:
        """Which system prompt a request has: prompts with (or without) tools of about one size are taken for one."""
        tokens = system + tools
        for place, (has_tools, sizes) in enumerate(self._sizes):
            if has_tools == (tools > 0) and abs(sizes[0] - tokens) <= 0.2 * sizes[0]:
                sizes.append(tokens)
                return place
        self._sizes.append((tools > 0, [tokens]))
        return len(self._sizes) - 1

    def _turns(self, session: str, history: int) -> tuple[tuple[str, int], ...]:
        """The session's messages so far that the history is long enough to hold, give or take what counts err."""
        left = history + max(_SLACK, round(0.1 * history))
        turns = []
        for turn in self._sessions.get(session, ()):
            if turn[1] > left:
                break
            turns.append(turn)
            left -= turn[1]
        return tuple(turns) if history else ()


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
        config, routes=routes, ledger=None, keys=[], guardrails={}, collections={}, embedders={}, rerankers={},
        state="", shared="", counters="memory", admission=AdmissionOptions(store="memory:"),
        alerts=replace(config.alerts, webhook=""), traces=None, emf=None, content=None, batch=None, intents=None,
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
