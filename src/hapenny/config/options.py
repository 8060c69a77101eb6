"""What a deployment may be told: one strict struct a section."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from hapenny.caching.ahead import AheadOptions
from hapenny.caching.options import ExactOptions, FlightOptions, SemanticOptions
from hapenny.caching.prefix.stage import PrefixOptions
from hapenny.core.messages import Parameters
from hapenny.core.stage import Mode
from hapenny.retrieval.stage import RetrievalOptions
from hapenny.routing.options import CascadeOptions, TierOptions
from hapenny.telemetry.desk import KeptTexts
from hapenny.telemetry.ledger import LedgerOptions
from hapenny.telemetry.traces import TraceOptions
from hapenny.throughput.batch.engine import BatchOptions
from hapenny.throughput.options import ThroughputOptions
from hapenny.tokens.options import (
    BrevityOptions,
    PruneOptions,
    SizeOptions,
    StructureOptions,
    TemplateOptions,
    WindowOptions,
)
from hapenny.tuning.options import ArmOptions, ParameterOptions


class Section(Struct, kw_only=True, forbid_unknown_fields=True):
    """A part of the configuration."""


class ServerOptions(Section):
    """The near bank."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8790
    """Port to listen on; 0 takes a free one."""
    max_body_mb: float = 32.0
    """The largest request body; a larger one is answered 413."""
    drain_s: float = 30.0
    """How long requests under way may go on at shutdown or reload."""
    stalled_write_s: float = 60.0
    """How long a client may take no byte of a stream before its request ends."""
    tls_certificate: str | None = None
    """Path of a PEM file; with `tls_key` the server speaks HTTPS."""
    tls_key: str | None = None
    """Path of the PEM file with the certificate's key."""


class QuotaOptions(Section):
    """Quotas of a simulated provider, a model; None is no limit."""

    rpm: int | None = None
    """Requests a minute."""
    tpm: int | None = None
    """Tokens a minute; `max_tokens` is reserved and settled, as Bedrock does."""


class BackendOptions(Section):
    """A provider we call.

    `kind` decides which other fields matter: `region` and credentials for bedrock, `base_url` and `api_key` for
    openai and anthropic, `card`, `seed`, `speed` and `quota` for simulated.
    """

    kind: Literal["simulated", "bedrock", "openai", "anthropic"]
    """The dialect it speaks."""
    region: str = "us-east-1"
    """AWS region, where the model names none."""
    profile: str | None = None
    """Profile of the AWS credentials file; without one: environment, web identity, container, instance."""
    base_url: str | None = None
    """Where to call instead of the provider's own address."""
    api_key: str | None = None
    """Key of the provider; a bearer key for bedrock. Best given as `${NAME}`."""
    card: str = "manga-2024"
    """Which simulated models: `manga-2024` or `current-2026`."""
    seed: int = 7
    """Seeds simulated latencies and faults."""
    quota: QuotaOptions | None = None
    faults: dict[str, Any] = {}
    """What goes wrong in a simulated provider: kind to share, e.g. `{throttle: 0.05}`."""
    connections: int | None = None
    """Most connections to the provider; null follows the concurrency limit."""
    connect_s: float = 5.0
    """How long a connection may take to open."""
    idle_s: float = 60.0
    """The longest pause between bytes of a stream."""
    lifetime_s: float = 180.0
    """After how long a connection is replaced, 60 to 300."""


class ModelParameters(Section):
    """What is sent where the client sends nothing."""

    max_tokens: int | None = None
    """The longest answer."""
    temperature: float | None = None
    """0 is the most repeatable."""
    top_p: float | None = None
    """Nucleus sampling; newer models take it or temperature, not both."""
    top_k: int | None = None
    """How many tokens are candidates, where the model takes it."""
    stop: list[str] = []
    """Sequences that end the answer."""
    effort: str | None = None
    """How much to think, where the model takes it: low to max."""

    def said(self) -> Parameters:
        """As parameters of a request."""
        return Parameters(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            stop=tuple(self.stop),
            effort=self.effort,
        )


class ModelOptions(Section):
    """A model under a name of our own."""

    id: str
    """The provider's model id, inference profile or ARN."""
    backend: str = ""
    """Name of a backend; empty: the default one."""
    region: str = ""
    """AWS region; empty: the backend's."""
    service_tier: str = "standard"
    """standard, priority, flex or batch."""
    endpoint: str = ""
    """Address of an endpoint of its own (a second endpoint family, a server of a pool)."""
    provisioned: bool = False
    """Paid by the hour: its calls cost 0, its capacity has rows of its own."""
    parameters: ModelParameters = field(default_factory=ModelParameters)


class RouteMatch(Section):
    """Which requests a route takes, if neither key nor header chose one. All given conditions must hold."""

    model: str | None = None
    """The model as asked."""
    feature: str | None = None
    """The label in `x-hapenny-feature`."""
    intent: str | None = None
    """The intent in `x-hapenny-intent`."""
    protocol: str | None = None
    """openai, anthropic, bedrock or invoke."""


class RouteOptions(Section):
    """How one kind of traffic is treated."""

    match: RouteMatch | None = None
    baseline: str = "strong"
    """Tier, alias or model that bills are compared with where a request names none."""
    preset: Literal["safe", "balanced", "demo"] = "safe"
    """The modes of all stages: `safe` switches on what cannot change an answer and lets the rest watch."""
    stages: dict[str, Mode] = {}
    """Modes that differ from the preset, by stage."""
    begin_s: float = 30.0
    """How long an answer may take to begin."""
    finish_s: float = 600.0
    """How long an answer may take in all."""
    idle_s: float = 60.0
    """The longest pause within a stream."""
    max_calls: int = 4
    """Serving calls that all stages may make together for one request."""
    max_quality_loss: float = 0.02
    """The loss budget that techniques which can change an answer share; watched where `audit_share` is above 0."""
    audit_share: float = 0.0
    """Share of requests that are also asked of the baseline, off the path, and compared. Costs what the baseline costs;
    .01 is enough to notice a broken promise within some thousand requests."""
    audit_budget_usd: float = 1.0
    """Dollars a day that audits of this route may cost at most."""
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


class KeyOptions(Section):
    """A key of ours: who holds it."""

    key: str
    """The secret clients send; at least 8 characters. Best given as `${NAME}`."""
    tenant: str = "default"
    """Whose books, quotas and cached answers its requests belong to."""
    routes: list[str] = field(default_factory=lambda: ["*"])
    """Routes it may ask for by `x-hapenny-route`."""
    default_route: str | None = None
    """The route of all its requests."""
    groups: list[str] = []
    """Document-access groups; part of the cache key."""
    models: list[str] = field(default_factory=lambda: ["*"])
    """Models and tiers it may ask for; `*` is all."""
    sigv4_access_key: str | None = None
    """Lets an AWS client sign with this access key id; `key` is then its secret."""


class CountingOptions(Section):
    """How tokens are estimated before a provider reports them."""

    vocabulary: bool = False
    """Start from the o200k vocabulary (extra `tokenizers`): estimates are a fifth closer, for about 0.1 ms more CPU on
    each 3 KB of new text and 75 MB of memory."""


class CollectionOptions(Section):
    """A collection of documents that `hapenny index build` made."""

    path: str
    """Folder that `hapenny index build` wrote."""


class BatchJobs(BatchOptions, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`/v1/files` and `/v1/batches`, answered here."""

    journal: str
    """Folder that keeps files, batches and answers; of one process alone."""
    poll_s: float = 5.0


class StageOptions(Section):
    """What each stage may be told; the mode is the route's. In the order of a request's life."""

    arms: ArmOptions = field(default_factory=ArmOptions)
    templates: TemplateOptions = field(default_factory=TemplateOptions)
    exact: ExactOptions = field(default_factory=ExactOptions)
    flights: FlightOptions = field(default_factory=FlightOptions)
    semantic: SemanticOptions = field(default_factory=SemanticOptions)
    retrieval: RetrievalOptions = field(default_factory=RetrievalOptions)
    tiers: TierOptions = field(default_factory=TierOptions)
    cascade: CascadeOptions = field(default_factory=CascadeOptions)
    structure: StructureOptions = field(default_factory=StructureOptions)
    window: WindowOptions = field(default_factory=WindowOptions)
    prune: PruneOptions = field(default_factory=PruneOptions)
    brevity: BrevityOptions = field(default_factory=BrevityOptions)
    answer_size: SizeOptions = field(default_factory=SizeOptions)
    parameters: ParameterOptions = field(default_factory=ParameterOptions)
    prefix: PrefixOptions = field(default_factory=PrefixOptions)
    throughput: ThroughputOptions = field(default_factory=ThroughputOptions)


class Config(Section):
    """A whole deployment. Empty: simulated models, ready to try."""

    server: ServerOptions = field(default_factory=ServerOptions)
    backends: dict[str, BackendOptions] = field(default_factory=lambda: {"simulated": BackendOptions(kind="simulated")})
    default_backend: str = ""
    """The backend of models that name none; empty: the first."""
    models: dict[str, ModelOptions] = {}
    aliases: dict[str, str] = {}
    """Further names for models and tiers."""
    tiers: dict[str, str] = {}
    """The model of each tier: fast, balanced, strong, max."""
    fallbacks: dict[str, list[str]] = {}
    """Where to go when a name's model is unavailable, in order."""
    routes: dict[str, RouteOptions] = field(default_factory=lambda: {"default": RouteOptions()})
    collections: dict[str, CollectionOptions] = {}
    stages: StageOptions = field(default_factory=StageOptions)
    keys: list[KeyOptions] = []
    ledger: LedgerOptions | None = field(default_factory=LedgerOptions)
    state: str | None = None
    """SQLite file of what is learnt about token counts and answer lengths, so that it survives a restart. None: beside
    the ledger (`ledger.state.db`), nowhere if there is no ledger file. Empty: nowhere."""
    content: KeptTexts | None = None
    """Texts of requests, off unless a route opts in; needs the extra `content`."""
    traces: TraceOptions | None = None
    """OpenTelemetry spans; needs the extra `otel`."""
    batch: BatchJobs | None = None
    """Batch jobs, off unless a journal is named."""
    precompute: AheadOptions = field(default_factory=AheadOptions)
    """Predictable questions answered ahead, off unless routes are named."""
    counters: str = "memory"
    """Where quotas are counted: `memory`, or `redis://…` (`rediss://…`) to share them with other gateways."""
    counting: CountingOptions = field(default_factory=CountingOptions)
    prices: str | None = None
    """Path of a file with negotiated prices."""
    intents: str | None = None
    """File that `hapenny train intents` wrote: says the intent of requests that come without one."""
    fingerprint_key: str = ""
    """Secret that keys hashes and fingerprints; drawn at start when empty (cached answers then end with it)."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are logged; prompts and keys never are."""

    def state_path(self) -> Path | None:
        """Where learnt state is kept; None: nowhere."""
        if self.state is not None:
            return Path(self.state) if self.state else None
        if self.ledger is None or self.ledger.path in ("", ":memory:"):
            return None
        return Path(self.ledger.path).with_suffix(".state.db")

    def backend_of(self, name: str) -> str:
        """The backend to use where none is named."""
        return name or self.default_backend or next(iter(self.backends))


TIERS = ("fast", "balanced", "strong", "max")
CARD_TIERS = {
    "manga-2024": {
        "fast": "anthropic.claude-3-haiku-20240307-v1:0",
        "balanced": "anthropic.claude-3-5-haiku-20241022-v1:0",
        "strong": "anthropic.claude-3-sonnet-20240229-v1:0",
        "max": "anthropic.claude-3-opus-20240229-v1:0",
    }
}

# What runs where a route does not say. What cannot change an answer is on, the rest watches (design rule 12); the
# semantic layer and retrieval are off until they are wanted: even to watch, they embed every question.
_SAFE: dict[str, Mode] = {
    "arms": "on",
    "templates": "shadow",
    "exact": "on",
    "flights": "on",
    "semantic": "off",
    "retrieval": "off",
    "tiers": "shadow",
    "cascade": "off",
    "structure": "on",
    "window": "shadow",
    "prune": "shadow",
    "brevity": "on",
    "answer_size": "shadow",
    "parameters": "on",
    "prefix": "on",
    "throughput": "on",
}
PRESETS: dict[str, dict[str, Mode]] = {
    "safe": _SAFE,
    "balanced": {**_SAFE, "templates": "on", "semantic": "on", "tiers": "on", "prune": "on", "window": "on"},
    "demo": {**_SAFE, "templates": "on", "semantic": "on", "tiers": "on", "prune": "on", "window": "on"},
}
