"""Prometheus metrics. Plain counters in dictionaries on the hot path; families are built when somebody scrapes."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hapenny.core.exchange import Exchange
from hapenny.telemetry.live import Live
from hapenny.telemetry.rows import Entry, Row

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
DECIDE_SECONDS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25)
STEP_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.04, 0.06, 0.1, 0.135, 0.2, 0.33, 0.5, 0.65, 1.0, 1.5, 3.0)
"""With edges at the usual limits of steps."""
MAX_SERIES = 2_000
"""Label combinations of one metric; later ones are counted under `other`."""
LONGEST_LABEL = 256
"""Characters of a name that has series of its own; longer ones, which no provider has, are counted under `other`."""
FEATURES_A_TENANT = 50
"""Features of one tenant that have series of their own; its further ones are counted under `other`."""
MAX_PROMPT_SERIES = 50_000
"""The same for tokens by tenant, feature, model and part, where tenants are those of the keys."""
TOGETHER = 64
"""Requests that are counted in one go."""
OTHER = "other"
NANO = 1e-9


class Counts(dict[tuple[str, ...], float]):
    """A counter by label values, bounded."""

    def __init__(self, most: int = MAX_SERIES) -> None:
        super().__init__()
        self._most = most

    def inc(self, labels: tuple[str, ...], by: float = 1.0) -> None:
        """Adds."""
        known = self.get(labels)
        if known is not None:
            self[labels] = known + by
        elif len(self) < self._most:
            self[labels] = by
        else:
            rest = (OTHER,) * len(labels)
            self[rest] = self.get(rest, 0.0) + by

    def take(self, sums: Sums, unit: float = 1.0) -> None:
        """Adds what many requests bring, in units of `unit`."""
        for labels, by in sums.items():
            self.inc(labels, by * unit)


class Sums(defaultdict[tuple[str, ...], float]):
    """What many requests add to a counter."""

    def __init__(self) -> None:
        super().__init__(float)


class Labels:
    """Which names that clients choose have series of their own.

    A model has one where it is configured, or once it has answered: what a provider does not know makes none. Features
    are kept for each tenant by itself, so that the labels one tenant invents take nothing from another.
    """

    def __init__(self, most: int = FEATURES_A_TENANT) -> None:
        self.configured: Callable[[str], bool] = lambda model: False
        self._answered: set[str] = set()
        self._features: dict[str, set[str]] = {}
        self._most = most

    def model(self, name: str, answered: bool) -> str:
        """A model's label."""
        if name in self._answered or self.configured(name):
            return name
        if not answered or len(name) > LONGEST_LABEL or len(self._answered) >= MAX_SERIES // 10:
            return OTHER
        self._answered.add(name)
        return name

    def known(self, name: str) -> bool:
        """Whether a model has series of its own."""
        return name in self._answered or self.configured(name)

    def feature(self, tenant: str, name: str) -> str:
        """A feature's label within its tenant."""
        own = self._features.setdefault(tenant, set())
        if name in own:
            return name
        if len(name) > LONGEST_LABEL or len(own) >= self._most:
            return OTHER
        own.add(name)
        return name


class Histogram:
    """Buckets of one series."""

    __slots__ = ("buckets", "counts", "total")

    def __init__(self, buckets: tuple[float, ...]) -> None:
        self.buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Takes a value."""
        self.counts[bisect_left(self.buckets, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """As Prometheus wants them."""
        seen, buckets = 0, []
        for bound, count in zip((*map(str, self.buckets), "+Inf"), self.counts, strict=True):
            seen += count
            buckets.append((bound, float(seen)))
        return buckets


class Histograms(dict[tuple[str, ...], Histogram]):
    """A histogram by label values, bounded."""

    def __init__(self, buckets: tuple[float, ...]) -> None:
        super().__init__()
        self._buckets = buckets

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        """Takes a value."""
        histogram = self.get(labels)
        if histogram is None:
            if len(self) >= MAX_SERIES:
                labels = (OTHER,) * len(labels)
            histogram = self.setdefault(labels, Histogram(self._buckets))
        histogram.counts[bisect_left(histogram.buckets, value)] += 1
        histogram.total += value


class Series(NamedTuple):
    """A gauge by label values, as it is now (`_total` at the end of `name` makes it a counter)."""

    name: str
    what: str
    labels: tuple[str, ...]
    series: dict[tuple[str, ...], float]


class Metrics:
    """All metrics of a gateway. `observe` is the only thing on the hot path.

    Args:
        live: measures of the models: fed here, shown as gauges.
    """

    def __init__(self, live: Live) -> None:
        self.in_flight = 0
        self._rows: list[Row] = []
        """Requests that wait to be counted."""
        self.live = live
        self.canonical: Callable[[str], str] = str
        """The one name of a model, by which it is labelled whatever it was called."""
        self._tables: dict[str, tuple[str, tuple[str, ...], Callable[[], Iterable[tuple[tuple[str, ...], float]]]]] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._sources: dict[str, Callable[[], Iterable[Series]]] = {}
        self._requests, self._calls, self._cache = Counts(), Counts(), Counts()
        self._tokens, self._cost, self._baseline = Counts(), Counts(), Counts()
        self._saved, self._error, self._unpriced = Counts(), Counts(), Counts()
        self._prompts, self._freed = Counts(MAX_PROMPT_SERIES), Counts()
        self._by_tenant, self._tenant_cost, self._tenant_saved = Counts(), Counts(), Counts()
        self._tenant_tokens = Counts()
        self.labels = Labels()
        self._e2e, self._ttft = Histograms(SECONDS), Histograms(SECONDS)
        self._decide = Histograms(DECIDE_SECONDS)
        self._steps, self._reactions, self._missed = Histograms(STEP_SECONDS), Counts(), Counts()
        self._registry: Any = None

    def gauge(self, name: str, what: str, read: Callable[[], float]) -> None:
        """Adds a gauge that is read at each scrape (`_total` at the end of `name` makes it a counter)."""
        self._gauges[name] = (what, read)

    def table(
        self, name: str, what: str, labels: tuple[str, ...], read: Callable[[], Iterable[tuple[tuple[str, ...], float]]]
    ) -> None:
        """Adds a gauge with labels that is read at each scrape."""
        self._tables[name] = (what, labels, read)

    def source(self, name: str, read: Callable[[], Iterable[Series]]) -> None:
        """Adds series that are read at each scrape; a source of the same name is replaced."""
        self._sources[name] = read

    def observe(self, exchange: Exchange, row: Row) -> None:
        """Takes a finished request, and shows its calls to the live measures. Requests are counted many at once: when
        some have come, or somebody asks."""
        for attempt in exchange.calls:
            name = self.labels.model(self.canonical(attempt.target.model), attempt.outcome != "failed")
            if name != OTHER:
                self.live.observe(attempt)
        self._rows.append(row)
        if len(self._rows) >= TOGETHER:
            self.catch_up()

    def catch_up(self) -> None:
        """Counts the requests that wait for it."""
        rows, self._rows = self._rows, []
        model = self._model
        requests, tenants, caches, calls, tokens = Sums(), Sums(), Sums(), Sums(), Sums()
        cost, baseline, saved, errors, unpriced = Sums(), Sums(), Sums(), Sums(), Sums()
        tenant_cost, tenant_saved, tenant_tokens, prompts, freed = Sums(), Sums(), Sums(), Sums(), Sums()
        for row in rows:
            route, tenant = row.route, row.tenant
            served = model(row.model_served, row.outcome == "delivered")
            requests[route, row.outcome] += 1
            tenants[tenant, row.outcome] += 1
            if row.actual:
                tenant_cost[(tenant,)] += row.actual
            if not row.unpriced and row.savings:
                tenant_saved[(tenant,)] += sum(row.savings.values())
            if row.tokens is not None:
                tenant_tokens[tenant, "prompt"] += row.tokens.prompt
                tenant_tokens[tenant, "output"] += row.tokens.output
            if row.e2e is not None:
                self._e2e.observe((route,), row.e2e)
            if row.deadline is not None:
                self._timed(row, row.deadline)
            if row.ttft is not None:
                self._ttft.observe((route, served), row.ttft)
            for stage, seconds in row.decide.items():
                self._decide.observe((stage,), seconds)
            if row.cache_layer is not None:
                caches[row.cache_layer, "hit" if row.cache_hit else "miss"] += 1
            if row.parts:
                feature = self.labels.feature(tenant, row.feature)
                for part, count in row.parts.items():
                    if count:
                        prompts[tenant, feature, served, part] += count
            if row.scores and (given_up := row.scores.get("answer_freed")):
                freed[(route,)] += given_up
            for call in row.calls:
                name = model(call.model, call.outcome != "failed")
                calls[name, call.purpose, call.outcome] += 1
                if call.cost:
                    cost[(name,)] += call.cost
                if call.input:
                    tokens[name, "input"] += call.input
                if call.output:
                    tokens[name, "output"] += call.output
                if call.cache_read:
                    tokens[name, "cache_read"] += call.cache_read
                if call.cache_write or call.cache_write_1h:
                    tokens[name, "cache_write"] += call.cache_write + call.cache_write_1h
            if row.unpriced:
                unpriced[(route,)] += 1
                continue
            if row.baseline:
                baseline[(route,)] += row.baseline
            for technique, nano in row.savings.items():
                saved[(technique,)] += nano
            if row.estimate_error:
                errors[(route,)] += abs(row.estimate_error)
        for sums, counts in (
            (requests, self._requests), (tenants, self._by_tenant), (caches, self._cache), (calls, self._calls),
            (tokens, self._tokens), (tenant_tokens, self._tenant_tokens), (prompts, self._prompts),
            (freed, self._freed), (unpriced, self._unpriced),
        ):  # fmt: skip
            counts.take(sums)
        for sums, counts in (
            (cost, self._cost), (baseline, self._baseline), (saved, self._saved), (errors, self._error),
            (tenant_cost, self._tenant_cost), (tenant_saved, self._tenant_saved),
        ):  # fmt: skip
            counts.take(sums, NANO)

    def _timed(self, row: Row, deadline: float) -> None:
        """Counts what a request with a deadline did with its time."""
        for step, seconds in row.steps.items():
            self._steps.observe((row.route, step), seconds)
        for reaction in row.reactions:
            self._reactions.inc((row.route, reaction))
        if row.outcome == "failed" or (row.e2e or 0.0) + row.steps.get("routing", 0.0) > deadline:
            self._missed.inc((row.route,))

    def _model(self, name: str, answered: bool) -> str:
        return self.labels.model(self.canonical(name), answered)

    def bill(self, entry: Entry) -> None:
        """Counts what was paid for an hour of capacity."""
        self._cost.inc((entry.model,), entry.actual * NANO)
        self._saved.inc((entry.technique,), entry.saved * NANO)

    def render(self) -> bytes:
        """The exposition text, format 0.0.4."""
        from prometheus_client import CollectorRegistry, generate_latest

        if self._registry is None:
            self._registry = CollectorRegistry(auto_describe=False)
            self._registry.register(self)
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        self.catch_up()
        counters = (
            ("hapenny_requests", "Finished requests.", ("route", "outcome"), self._requests),
            ("hapenny_tenant_requests", "The same by tenant.", ("tenant", "outcome"), self._by_tenant),
            ("hapenny_tenant_cost_dollars", "What calls of a tenant cost.", ("tenant",), self._tenant_cost),
            ("hapenny_tenant_tokens", "Tokens of answers to a tenant.", ("tenant", "kind"), self._tenant_tokens),
            ("hapenny_calls", "Calls made to providers.", ("model", "purpose", "outcome"), self._calls),
            ("hapenny_cache_requests", "Cache look-ups.", ("layer", "result"), self._cache),
            ("hapenny_tokens", "Tokens billed by providers.", ("model", "kind"), self._tokens),
            (
                "hapenny_prompt_tokens",
                "Tokens of prompts as they came, estimated.",
                ("tenant", "feature", "model", "part"),
                self._prompts,
            ),
            ("hapenny_quota_freed_tokens", "Output tokens that answer_size did not reserve.", ("route",), self._freed),
            ("hapenny_cost_dollars", "What calls and capacity cost.", ("model",), self._cost),
            ("hapenny_baseline_dollars", "What requests would have cost without hapenny.", ("route",), self._baseline),
            ("hapenny_estimate_error_dollars", "Sum of absolute estimate errors.", ("route",), self._error),
            ("hapenny_unpriced_requests", "Requests with an unknown price.", ("route",), self._unpriced),
            (
                "hapenny_latency_reactions",
                "What was done to keep a deadline; degradations may have changed the answer.",
                ("route", "reaction"),
                self._reactions,
            ),
            ("hapenny_deadline_missed", "Requests that failed or took longer than allowed.", ("route",), self._missed),
        )
        for name, what, labels, counts in counters:
            family = CounterMetricFamily(name, what, labels=labels)
            for values, count in list(counts.items()):
                family.add_metric(values, count)
            yield family
        saved = GaugeMetricFamily(
            "hapenny_saved_dollars", "Saved so far, less own cost (may be negative).", labels=("technique",)
        )
        for values, count in list(self._saved.items()):
            saved.add_metric(values, count)
        yield saved
        by_tenant = GaugeMetricFamily(
            "hapenny_tenant_saved_dollars", "The same by tenant (may be negative).", labels=("tenant",)
        )
        for values, count in list(self._tenant_saved.items()):
            by_tenant.add_metric(values, count)
        yield by_tenant
        for title, (about, names, figures) in self._tables.items():
            table = GaugeMetricFamily(title, about, labels=names)
            for label, figure in figures():
                table.add_metric(label, figure)
            yield table
        histograms = (
            ("hapenny_request_duration_seconds", "Arrival to last byte.", ("route",), self._e2e),
            ("hapenny_time_to_first_token_seconds", "Arrival to first content.", ("route", "model"), self._ttft),
            ("hapenny_decide_seconds", "Time a stage took to decide.", ("stage",), self._decide),
            ("hapenny_step_seconds", "Time of a step of the latency budget.", ("route", "step"), self._steps),
        )
        for name, what, labels, series in histograms:
            histogram = HistogramMetricFamily(name, what, labels=labels)
            for values, measured in list(series.items()):
                histogram.add_metric(values, measured.cumulative(), measured.total)
            yield histogram
        yield GaugeMetricFamily("hapenny_requests_in_flight", "Requests under way.", value=self.in_flight)
        for name, (what, read) in self._gauges.items():
            if name.endswith("_total"):
                yield CounterMetricFamily(name, what, value=read())
            else:
                yield GaugeMetricFamily(name, what, value=read())
        for source in self._sources.values():
            for shown in source():
                kind = CounterMetricFamily if shown.name.endswith("_total") else GaugeMetricFamily
                labelled = kind(shown.name, shown.what, labels=shown.labels)
                for values, value in list(shown.series.items())[:MAX_SERIES]:
                    labelled.add_metric(values, value)
                yield labelled
        yield from self._paces(self.live)

    @staticmethod
    def _paces(live: Live) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        ttft = GaugeMetricFamily(
            "hapenny_upstream_ttft_seconds", "Upstream's first token.", labels=("model", "quantile")
        )
        tpot = GaugeMetricFamily("hapenny_upstream_tpot_seconds", "Upstream's pace.", labels=("model", "quantile"))
        for model, pace in live.snapshot().items():
            for quantile, name in (("0.5", "p50"), ("0.95", "p95")):
                for family, measure in ((ttft, "ttft"), (tpot, "tpot")):
                    value = pace[f"{measure}_{name}_s"]
                    if value is not None:
                        family.add_metric((model, quantile), value)
        yield ttft
        yield tpot
