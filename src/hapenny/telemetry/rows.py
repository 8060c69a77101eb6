"""What the ledger writes down. No text of a client: fingerprints, counts, labels, money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from hapenny.core.events import Tokens

RowOutcome: TypeAlias = Literal["delivered", "left", "refused", "failed", "background"]
"""delivered; the client left midway; a guardrail or the model refused; an error or shed; work of our own."""


class CallRow(Struct, frozen=True, gc=False):
    """One paid attempt. Times in seconds after the request's arrival; cost in nano-dollars, None: price unknown."""

    purpose: str
    technique: str
    model: str
    backend: str
    region: str
    service_tier: str
    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    reasoning: int
    cost: int | None
    outcome: str
    provenance: str
    failure: str | None
    started: float
    began: float | None
    ended: float | None
    adopted: bool
    units: tuple[tuple[str, int], ...] = ()
    """What was used beside text, by the names of `Tokens.units`."""
    opened: tuple[float, float, float] | None = None
    """Seconds that its connection took to open (name, TCP, TLS); None: it was kept from an earlier call."""


class Row(Struct, kw_only=True, gc=False):
    """One request. Money in nano-dollars, times in seconds.

    `baseline - sum(savings.values()) - estimate_error == actual` unless `unpriced`.
    """

    id: str
    wall: float
    """Epoch seconds of its arrival."""
    tenant: str
    key_id: str = ""
    user: bytes | None = None
    """Keyed fingerprint of the end user."""
    session: bytes | None = None
    fingerprint: bytes | None = None
    """Keyed fingerprint of the question, its case and white space levelled."""
    feature: str = ""
    tags: dict[str, str] = {}
    route: str = "default"
    intent: str = "unknown"
    protocol: str = ""
    stream: bool = False
    background: str = ""
    holdout: bool = False
    model_asked: str = ""
    model_baseline: str = ""
    model_served: str = ""
    outcome: RowOutcome = "delivered"
    stopped: str | None = None
    failure: str | None = None
    cache_layer: str | None = None
    cache_hit: bool = False
    cache_age: float | None = None
    ttft: float | None = None
    e2e: float | None = None
    queued: float | None = None
    """Seconds between arrival and the start of the first call."""
    decide: dict[str, float] = {}
    """Seconds each stage took to decide."""
    would_save: dict[str, int] = {}
    """What stages in shadow would have saved; never summed into savings."""
    arms: dict[str, str] = {}
    scores: dict[str, float] = {}
    notes: Sequence[str] = ()
    parts: dict[str, int] = {}
    """Estimated prompt tokens by part (tools, system, history, context, user), on the baseline model."""
    output_tokens: int = 0
    """Estimated tokens of the delivered output, on the baseline model."""
    tokens: Tokens | None = None
    """Usage of the call that delivered the answer."""
    baseline: int | None = 0
    savings: dict[str, int] = {}
    alone: dict[str, int] = {}
    """What each technique saved that would be lost if it alone were off: the others as they were, its own calls not
    made. Unlike `savings` these do not add up: what two techniques both save belongs to neither."""
    freed: str = ""
    """The technique that answered, so that no model had to: what its absence would have cost, other rows tell."""
    deadline: float | None = None
    """Seconds that the route allowed for the whole answer; None: it has no deadline."""
    steps: dict[str, float] = {}
    """Seconds by step of the latency budget (`hapenny.responsive.budget`), where there was a deadline: together
    `e2e`, and `routing` before it."""
    reactions: Sequence[str] = ()
    """What was done to keep the deadline (`hapenny.core.latency`); behind `would:` what a budget in shadow saw."""
    estimate_error: int | None = 0
    actual: int | None = 0
    unpriced: bool = False
    reported: bool = True
    """Whether the usage of every call was reported by its provider."""
    calls: Sequence[CallRow] = ()

    @property
    def saved(self) -> int | None:
        """All savings less own costs, nano-dollars; None where a price is unknown."""
        return None if self.unpriced else sum(self.savings.values())


class Entry(Struct, frozen=True, kw_only=True):
    """A row that is no request: the bill of provisioned or own capacity (`capacity`, an hour each, as a technique's
    negative saving), a late correction (`adjustment`), what overflowed the queue (`overflow`), or a person's verdict on
    a request's answer (`feedback`; no money, `detail` says score and source), or where a technique stands with its loss
    budget (`evidence`), how the books compare with a provider's (`invoice`), what the operator was told (`alert`); no
    money in these either."""

    kind: Literal["capacity", "adjustment", "overflow", "feedback", "evidence", "invoice", "alert"]
    wall: float
    technique: str
    actual: int
    """Nano-dollars that were really paid."""
    baseline: int = 0
    saved: int = 0
    estimate_error: int = 0
    request: str = ""
    """The request it corrects."""
    rows: int = 0
    """How many request rows an overflow stands for."""
    model: str = ""
    detail: Mapping[str, Any] = {}


def verdict(request: str, score: float, source: str, wall: float) -> Entry:
    """The entry of a verdict in [0, 1] on a request's answer; `source` "audit" is our own judge's."""
    return Entry(
        kind="feedback", wall=wall, technique="", actual=0, request=request, detail={"score": score, "source": source}
    )


def quality(verdicts: Mapping[str, float]) -> float:
    """One score of the newest verdict of each source: the mean of people's, else the judge's."""
    people = [score for source, score in verdicts.items() if source != "audit"]
    return sum(people) / len(people) if people else verdicts["audit"]
