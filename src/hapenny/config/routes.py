"""Options of who asks and how it is treated: keys, routes, and the modes of all stages by preset."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from hapenny.admission.options import Allowance
from hapenny.config.section import Section
from hapenny.config.stages import LOSSY, PRESETS
from hapenny.core.stage_spec import INSIDE, Mode, Preset, StageSpec
from hapenny.evidence.answers import ALIKE, APART


class RouteMatch(Section):
    """Which requests a route takes, if neither key nor header chose one. All given conditions must hold."""

    model: Annotated[str | None, Meta(description="The model as asked.")] = None
    feature: Annotated[str | None, Meta(description="The label in `x-hapenny-feature`.")] = None
    intent: Annotated[str | None, Meta(description="The intent in `x-hapenny-intent`.")] = None
    protocol: Annotated[
        str | None,
        Meta(description="openai, responses, completions, anthropic, bedrock or invoke."),
    ] = None


class RouteOptions(Section):
    """How one kind of traffic is treated."""

    match: RouteMatch | None = None
    baseline: Annotated[
        str,
        Meta(description="Tier, alias or model that bills are compared with where a request names none."),
    ] = "strong"
    treat_as: Annotated[
        dict[str, str],
        Meta(
            description="Models that clients name, and what each is treated as: `auto`, a tier, an alias or a "
            "model. An application that names one model everywhere is so routed too. Bills stay "
            "compared with the model it named, which also answers what needs the strongest. The "
            "answer and its headers say which model answered.",
        ),
    ] = field(default_factory=dict)
    preset: Annotated[
        Preset,
        Meta(
            description="The modes of all stages: `safe` switches on what cannot change an answer and lets the "
            "rest watch.",
        ),
    ] = "safe"
    stages: Annotated[
        dict[str, Mode],
        Meta(description="Modes that differ from the preset, by stage."),
    ] = field(default_factory=dict)
    begin_s: Annotated[
        float,
        Meta(description="How long a request may wait in queues and for the provider's first byte."),
    ] = 30.0
    finish_s: Annotated[float, Meta(description="How long an answer may take in all.")] = 600.0
    idle_s: Annotated[float, Meta(description="The longest pause within a stream.")] = 60.0
    head_after_s: Annotated[
        float | None,
        Meta(
            description="After how long a silent stream that the provider has accepted is told to the client as "
            "begun; from then on it is kept alive, and nothing is tried again. None: 1, or 5 where a "
            "fallback, a hedge or a cascade may still step in.",
        ),
    ] = None
    max_calls: Annotated[int, Meta(description="Serving calls that all stages may make together for one request.")] = 4
    max_quality_loss: Annotated[
        float,
        Meta(
            description="The loss budget that techniques which can change an answer share: of the answers that "
            "everything-off gets right, the share that may be lost, net. Evidence for it comes from "
            "audits.",
        ),
    ] = 0.02
    unproven: Annotated[
        Literal["closed", "open"] | None,
        Meta(
            description="What techniques that can change an answer do before there is evidence: `closed`, they "
            "watch until audits let them act within their part of `max_quality_loss`; `open`, they "
            "act at once, and step back where audits refute them. None: the preset's, `open` for "
            "`demo`, else `closed`.",
        ),
    ] = None
    audit_share: Annotated[
        float | None,
        Meta(
            description="Share of requests that are also asked of the baseline (or, where it answered, of the "
            "cheap tiers), off the path, and compared. None: as evidence asks for, within "
            "`audit_budget_share`, where such a technique is on; 0 in the preset `demo`.",
        ),
    ] = None
    audit_budget_share: Annotated[
        float,
        Meta(
            description="Where `audit_share` is not given: what audits and judges may cost, as a share of what "
            "the route pays; twice that while there is less evidence than it takes to show "
            "`max_quality_loss`.",
        ),
    ] = 0.03
    audit_budget_usd: Annotated[
        float | None,
        Meta(
            description="Dollars a day that audits of this route may cost at most, judges included. None: no such "
            "limit.",
        ),
    ] = None
    audit_judge: Annotated[
        str,
        Meta(
            description="A tier, alias or model that compares answers, twice with places swapped. Empty, or the "
            "default where there is no such tier: words, numbers and vectors compare, which open "
            "nothing.",
        ),
    ] = "strong"
    audit_alike: Annotated[
        float,
        Meta(
            description="Without a model as judge: the cosine from which two answers count as the same (`hapenny "
            "train judge`).",
            extra=INSIDE,
        ),
    ] = ALIKE
    audit_apart: Annotated[
        float,
        Meta(description="The cosine up to which they count as different.", extra=INSIDE),
    ] = APART
    cache_any_temperature: Annotated[
        bool,
        Meta(description="Consent to cache answers to requests whose temperature is unset or above 0."),
    ] = False
    cache_scope: Annotated[
        Literal["user", "tenant", "shared"],
        Meta(
            description="`user` keeps answers of a named user to that user; `shared` declares that everyone gets "
            "the same answers: tenants share them, and verified ones are published for a CDN at "
            "`/v1/answers/…`.",
        ),
    ] = "tenant"
    knowledge_epoch: Annotated[
        str,
        Meta(description="Part of every cache key: change it when the knowledge behind answers changes."),
    ] = ""
    prompt_version: Annotated[
        str,
        Meta(description="Part of every cache key and certificate: change it with the prompt."),
    ] = ""
    holdout: Annotated[float, Meta(description="Share of sessions with everything off: the proof.")] = 0.01

    def problems(self) -> list[tuple[str, str]]:
        """Option, and what is wrong with it and the fix."""
        wrong = []
        shares = {
            "max_quality_loss": self.max_quality_loss,
            "holdout": self.holdout,
            "audit_share": self.audit_share or 0.0,
            "audit_budget_share": self.audit_budget_share,
            "audit_alike": self.audit_alike,
            "audit_apart": self.audit_apart,
        }
        for name, value in shares.items():
            if not 0 <= value <= 1:
                wrong.append((name, f"{value:g} is outside 0-1. Fix: a share, e.g. 0.02"))
        if self.audit_budget_usd is not None and self.audit_budget_usd < 0:
            wrong.append(("audit_budget_usd", f"{self.audit_budget_usd:g} is below 0. Fix: dollars a day"))
        if self.audit_apart >= self.audit_alike:
            wrong.append(("audit_apart", f"{self.audit_apart:g} is not below audit_alike. Fix: a smaller cosine"))
        if self.audit_judge == "auto":
            wrong.append(("audit_judge", "a judge is one model. Fix: a tier, alias or model"))
        if self.begin_s > self.finish_s:
            wrong.append(("begin_s", f"{self.begin_s:g} is later than finish_s. Fix: begin_s <= finish_s"))
        if self.head_after_s is not None and self.head_after_s <= 0:
            wrong.append(("head_after_s", f"{self.head_after_s:g} is not above 0. Fix: e.g. 1, or leave it out"))
        if self.max_calls < 1:
            wrong.append(("max_calls", f"{self.max_calls} allows no call. Fix: at least 1"))
        return wrong

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

    key: Annotated[str, Meta(description="The secret clients send; at least 8 characters. Best given as `${NAME}`.")]
    tenant: Annotated[
        str,
        Meta(description="Whose books, quotas and cached answers its requests belong to."),
    ] = "default"
    routes: Annotated[
        list[str],
        Meta(description="Routes it may ask for by `x-hapenny-route`."),
    ] = field(default_factory=lambda: ["*"])
    default_route: Annotated[str | None, Meta(description="The route of all its requests.")] = None
    groups: Annotated[
        list[str],
        Meta(description="Document-access groups; part of the cache key."),
    ] = field(default_factory=list)
    models: Annotated[
        list[str],
        Meta(description="Models and tiers it may ask for; `*` is all."),
    ] = field(default_factory=lambda: ["*"])
    scopes: Annotated[
        list[Literal["call", "metrics", "admin", "console"]],
        Meta(
            description="What it opens: `call` everything that clients do, `metrics` the page `/metrics` and the "
            "reasons of `/health`, `admin` what stands under `/v1/admin/` and the console, "
            "`console` the console's pages of its own tenant.",
        ),
    ] = field(default_factory=lambda: ["call"])
    priority: Annotated[
        int,
        Meta(
            description="The highest priority that its requests may ask for by `x-hapenny-priority`; above 0 goes "
            "before other tenants.",
        ),
    ] = 0
    sigv4_access_key: Annotated[
        str | None,
        Meta(description="Lets an AWS client sign with this access key id; `key` is then its secret."),
    ] = None


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
