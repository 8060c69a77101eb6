"""What a report holds: figures as typed data."""

from __future__ import annotations

from msgspec import Struct, field
from msgspec.structs import replace


class Scope(Struct, frozen=True, kw_only=True):
    """Which rows are meant. Times are epoch seconds; None is open."""

    since: float | None = None
    until: float | None = None
    tenant: str | None = None
    route: str | None = None
    feature: str | None = None
    model: str | None = None
    """Who answered: a model, `(cache)`, or `(none)`."""
    key: str | None = None
    """Id of a key."""

    @property
    def times(self) -> Scope:
        """The same range, without filters."""
        return Scope(since=self.since, until=self.until)

    @property
    def filters(self) -> Scope:
        """The same filters, at any time."""
        return replace(self, since=None, until=None)

    @property
    def whole(self) -> bool:
        """Whether nothing is filtered but by time."""
        return self.filters == Scope()


class Latency(Struct, kw_only=True):
    """A latency in seconds: how many were measured, percentiles, and a histogram over logarithmic bins."""

    count: int
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    edges: list[float] = []
    """Bounds of the bins: one more than counts."""
    counts: list[int] = []


class Group(Struct, kw_only=True):
    """Rows that share a label. Money in nano-dollars."""

    name: str
    requests: int
    baseline: int
    saved: int
    actual: int
    background: int = 0
    """What background work under the same label cost; not in `actual`."""
    ttft_p95: float | None = None
    e2e_p95: float | None = None


class Technique(Struct, kw_only=True):
    """A technique's part: what it saved less its own costs, and on how many requests."""

    name: str
    requests: int
    saved: int
    cost: int
    """Paid by calls of its own that delivered no answer; already subtracted from `saved`."""
    alone: int | None = None
    """Leave-one-out: what would be lost if it alone were off. Unlike `saved`, these do not add up. None: the ledger is
    of a version that does not tell."""


class Promise(Struct, kw_only=True):
    """A certificate under which answers were served: which promise, on how many requests, and when last (epoch
    seconds)."""

    route: str
    intent: str
    certificate: str
    requests: int
    last: float


class Audits(Struct, kw_only=True):
    """What audits of a route found: the mean loss of answers that a technique had changed, against the baseline's."""

    route: str
    audits: int
    loss: float
    cost: int
    """Nano-dollars."""


class Judging(Struct, kw_only=True):
    """What evidence about a technique cost: reference answers and verdicts on its answers, nano-dollars."""

    technique: str
    calls: int
    cost: int


class Ahead(Struct, frozen=True, array_like=True):
    """From so many further requests on: the share of a route's requests on which a technique may act, and what share of
    their price with everything off that spares."""

    requests: int
    share: float
    spares: float


class Spent(Struct, kw_only=True):
    """Where a technique stands with its part of a route's loss budget, as last noted. Losses are shares of the route's
    answers; `share` is that of its requests on which it may act."""

    route: str
    technique: str
    state: str
    why: str
    limit: float
    bound: float
    loss: float
    pairs: int
    share: float
    ahead: list[Ahead] = []
    """What it may act on now, and after each of the next looks at its evidence; empty: evidence does not open it."""


class Side(Struct, kw_only=True):
    """One side of the holdout. Money in nano-dollars; `cost` is the mean of a request with what evidence costs."""

    requests: int
    units: int
    """Sessions, users or, where neither is named, questions: what was drawn."""
    baseline: int
    actual: int
    saved: float
    """Share of the baseline that was not paid."""
    saved_low: float
    """95 % interval, over units."""
    saved_high: float
    judged: int
    """Answers with a person's or a judge's score."""
    quality: float | None
    quality_low: float | None
    quality_high: float | None
    cached: int
    """Answers that came from a store."""


class Holdout(Struct, kw_only=True):
    """Requests with everything off against the rest. They come from other sessions, so that only means compare."""

    held_out: Side
    rest: Side
    shared_hits: int
    """Answers of the rest that a store gave and that were stored under another session: what carries over between
    sessions, which the holdout neither gives nor gets."""


class Advice(Struct, kw_only=True):
    """What switching a step on would save, as its stage in shadow saw it. Nano-dollars; `share` of what was paid."""

    name: str
    what: str
    change: dict[str, object]
    """What to change on the route (and `model`: what clients are to ask for)."""
    saves: int
    """All of it in as much traffic again: at once, or once evidence has opened it everywhere."""
    low: int
    high: int
    """The interval of `saves` (95 %) that comes from how few requests were seen."""
    share: float
    requests: int
    """On how many it watched."""
    evidence: str
    missing: str
    route: str = "default"
    after: int = 0
    """Requests until evidence may first open it; 0: it acts as soon as it is switched on."""
    days: float = 0.0
    """The same in days of this traffic."""
    costs: int = 0
    """What evidence costs at most in as much traffic again."""


class Underway(Struct, kw_only=True):
    """A technique that is on and acts as far as evidence bears it. Nano-dollars."""

    name: str
    route: str
    state: str
    why: str
    pairs: int
    share: float
    """Of the route's requests that it acts on now."""
    after: int
    """Requests until the next look at the evidence; 0: unknown."""
    days: float
    likely: float
    """The share after that look, if further pairs turn out as so far."""
    gain: int
    """What the share of now saves more in as much traffic again than was saved in this."""
    most: int
    """What it would save more if it acted everywhere."""


class AdviceTotal(Struct, kw_only=True):
    """All steps together, without counting anything twice."""

    saves: int = 0
    low: int = 0
    high: int = 0
    share: float = 0.0
    at_once: int = 0
    """Of `saves`, what needs no evidence first."""


class Slice(Struct, kw_only=True):
    """A span of time, `at` its start (epoch seconds); money in nano-dollars."""

    at: float
    requests: int
    baseline: int
    actual: int
    ttft_p95: float | None = None


class Summary(Struct, kw_only=True):
    """The report. Money in nano-dollars, times in seconds, shares 0 to 1.

    `baseline - saved - estimate_error == actual` over all priced rows and entries.
    """

    first: float | None
    last: float | None
    exchange_rows: int
    background_rows: int
    background_cost: int = 0
    errors: int
    left: int
    refused: int
    streamed: int
    baseline: int
    saved: int
    estimate_error: int
    actual: int
    saved_share: float
    estimate_error_share: float
    """sum |estimate_error| / sum actual"""
    unpriced_rows: int
    estimated_rows: int
    """Rows with a call whose usage was not reported."""
    identity_violations: int
    overflowed_rows: int
    capacity: int
    adjustments: int
    techniques: list[Technique]
    would_save: dict[str, int]
    """What stages in shadow would have saved; in no sum."""
    advice: list[Advice] = []
    """The same as steps to take, the largest gain first."""
    advised: AdviceTotal = field(default_factory=AdviceTotal)
    underway: list[Underway] = []
    """What is on and waits for evidence, or for more of it."""
    features: list[Group]
    models: list[Group]
    routes: list[Group]
    tenants: list[Group]
    cache: dict[str, int]
    """Hits by layer."""
    tokens: dict[str, int]
    """Billed tokens by kind."""
    parts: dict[str, int]
    """Estimated prompt tokens by part, before anything was done."""
    prompts: dict[str, dict[str, dict[str, int]]]
    """The same by `tenant`, `feature` and `model` (who answered): dimension, name, part."""
    quota_freed: int
    """Output tokens of quota that learned answer limits did not reserve."""
    ttft: Latency
    e2e: Latency
    decide_p95: dict[str, float]
    """Seconds each stage took to decide."""
    course: list[Slice]
    certificates: list[Promise] = []
    audits: list[Audits] = []
    judging: list[Judging] = []
    budgets: list[Spent] = []
    holdout: Holdout | None = None
    """None: nothing was held out."""

    @property
    def by_technique(self) -> dict[str, int]:
        """Nano-dollars saved by technique."""
        return {technique.name: technique.saved for technique in self.techniques}
