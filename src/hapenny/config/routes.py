"""Options of who asks and how it is treated: keys, routes, and the modes of all stages by preset."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import field

from hapenny.admission.options import Allowance
from hapenny.config.section import Section
from hapenny.config.stages import LOSSY, PRESETS
from hapenny.core.stage_spec import Mode, Preset, StageSpec
from hapenny.evidence.answers import ALIKE, APART


class RouteMatch(Section):
    """Which requests a route takes, if neither key nor header chose one. All given conditions must hold."""

    model: str | None = None
    """The model as asked."""
    feature: str | None = None
    """The label in `x-hapenny-feature`."""
    intent: str | None = None
    """The intent in `x-hapenny-intent`."""
    protocol: str | None = None
    """openai, responses, completions, anthropic, bedrock or invoke."""


class RouteOptions(Section):
    """How one kind of traffic is treated."""

    match: RouteMatch | None = None
    baseline: str = "strong"
    """Tier, alias or model that bills are compared with where a request names none."""
    treat_as: dict[str, str] = field(default_factory=dict)
    """Models that clients name, and what each is treated as: `auto`, a tier, an alias or a model. An application that
    names one model everywhere is so routed too. Bills stay compared with the model it named, which also answers what
    needs the strongest. The answer and its headers say which model answered."""
    preset: Preset = "safe"
    """The modes of all stages: `safe` switches on what cannot change an answer and lets the rest watch."""
    stages: dict[str, Mode] = field(default_factory=dict)
    """Modes that differ from the preset, by stage."""
    begin_s: float = 30.0
    """How long a request may wait in queues and for the provider's first byte."""
    finish_s: float = 600.0
    """How long an answer may take in all."""
    idle_s: float = 60.0
    """The longest pause within a stream."""
    head_after_s: float | None = None
    """After how long a silent stream that the provider has accepted is told to the client as begun; from then on it is
    kept alive, and nothing is tried again. None: 1, or 5 where a fallback, a hedge or a cascade may still step in."""
    max_calls: int = 4
    """Serving calls that all stages may make together for one request."""
    max_quality_loss: float = 0.02
    """The loss budget that techniques which can change an answer share: of the answers that everything-off gets right,
    the share that may be lost, net. Evidence for it comes from audits."""
    unproven: Literal["closed", "open"] | None = None
    """What techniques that can change an answer do before there is evidence: `closed`, they watch until audits let them
    act within their part of `max_quality_loss`; `open`, they act at once, and step back where audits refute them. None:
    the preset's, `open` for `demo`, else `closed`."""
    audit_share: float | None = None
    """Share of requests that are also asked of the baseline (or, where it answered, of the cheap tiers), off the path,
    and compared. None: as evidence asks for, within `audit_budget_share`, where such a technique is on; 0 in the preset
    `demo`."""
    audit_budget_share: float = 0.03
    """Where `audit_share` is not given: what audits and judges may cost, as a share of what the route pays; twice that
    while there is less evidence than it takes to show `max_quality_loss`."""
    audit_budget_usd: float | None = None
    """Dollars a day that audits of this route may cost at most, judges included. None: no such limit."""
    audit_judge: str = "strong"
    """A tier, alias or model that compares answers, twice with places swapped. Empty, or the default where there is no
    such tier: words, numbers and vectors compare, which open nothing."""
    audit_alike: float = ALIKE
    """Without a model as judge: the cosine from which two answers count as the same (`hapenny train judge`)."""
    audit_apart: float = APART
    """The cosine up to which they count as different."""
    cache_any_temperature: bool = False
    """Consent to cache answers to requests whose temperature is unset or above 0."""
    cache_scope: Literal["user", "tenant", "shared"] = "tenant"
    """`user` keeps answers of a named user to that user; `shared` declares that everyone gets the same answers: tenants
    share them, and verified ones are published for a CDN at `/v1/answers/…`."""
    knowledge_epoch: str = ""
    """Part of every cache key: change it when the knowledge behind answers changes."""
    prompt_version: str = ""
    """Part of every cache key and certificate: change it with the prompt."""
    holdout: float = 0.01
    """Share of sessions with everything off: the proof."""

    def mode(self, stage: StageSpec[Any]) -> Mode:
        """The mode of a stage on this route."""
        return self.stages.get(stage.name, PRESETS[self.preset][stage.name])

    def modes(self) -> dict[str, Mode]:
        """The mode of every stage on this route, by name."""
        return {**PRESETS[self.preset], **self.stages}

    def acts_unproven(self) -> bool:
        """Whether techniques act before there is evidence for them."""
        return (self.unproven or UNPROVEN.get(self.preset, "closed")) == "open" or self.max_quality_loss >= 1

    def audits(self) -> float | None:
        """The share that is audited; None: as evidence asks for."""
        if self.audit_share is not None:
            return self.audit_share
        lossy = any(self.mode(spec) == "on" for spec in LOSSY)
        return None if lossy and self.preset != "demo" else 0.0


class KeyOptions(Allowance, kw_only=True, forbid_unknown_fields=True):
    """A key of ours: who holds it."""

    key: str
    """The secret clients send; at least 8 characters. Best given as `${NAME}`."""
    tenant: str = "default"
    """Whose books, quotas and cached answers its requests belong to."""
    routes: list[str] = field(default_factory=lambda: ["*"])
    """Routes it may ask for by `x-hapenny-route`."""
    default_route: str | None = None
    """The route of all its requests."""
    groups: list[str] = field(default_factory=list)
    """Document-access groups; part of the cache key."""
    models: list[str] = field(default_factory=lambda: ["*"])
    """Models and tiers it may ask for; `*` is all."""
    scopes: list[Literal["call", "metrics", "admin", "console"]] = field(default_factory=lambda: ["call"])
    """What it opens: `call` everything that clients do, `metrics` the page `/metrics` and the reasons of `/health`,
    `admin` what stands under `/v1/admin/` and the console, `console` the console's pages of its tenant."""
    priority: int = 0
    """The highest priority that its requests may ask for by `x-hapenny-priority`; above 0 goes before other tenants."""
    sigv4_access_key: str | None = None
    """Lets an AWS client sign with this access key id; `key` is then its secret."""


UNPROVEN = {"demo": "open"}
"""Presets in which techniques act before there is evidence."""

TIERS = ("fast", "balanced", "strong", "max")

CARD_TIERS = {
    "manga-2024": {
        "fast": "anthropic.claude-3-haiku-20240307-v1:0",
        "balanced": "anthropic.claude-3-5-haiku-20241022-v1:0",
        "strong": "anthropic.claude-3-sonnet-20240229-v1:0",
        "max": "anthropic.claude-3-opus-20240229-v1:0",
    },
    "current-2026": {
        "fast": "us.anthropic.claude-haiku-5-5",
        "balanced": "us.amazon.nova-2-lite-v1:0",
        "strong": "us.anthropic.claude-sonnet-5-5",
        "max": "us.anthropic.claude-opus-5-5",
    },
}
