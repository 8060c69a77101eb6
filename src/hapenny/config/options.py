"""What a deployment may be told: one strict struct a section."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import field

from hapenny.admission.options import AdmissionOptions, TenantOptions
from hapenny.backends.kinds import BackendSection
from hapenny.backends.simulated_kind import SimulatedOptions
from hapenny.caching.options import EdgeOptions
from hapenny.config.providers import BatchJobs, EmbedderOptions, ModelOptions, RerankerOptions
from hapenny.config.routes import KeyOptions, RouteOptions
from hapenny.config.section import Section
from hapenny.config.stages import StageOptions
from hapenny.guarding.options import GuardrailOptions
from hapenny.prefetch.options import PrefetchOptions
from hapenny.retrieval.options import KnowledgeBaseOptions, Remote
from hapenny.telemetry.alerts import AlertOptions
from hapenny.telemetry.ledger import LedgerOptions
from hapenny.telemetry.recorder import KeptTexts
from hapenny.telemetry.traces import TraceOptions


class ApiGatewayOptions(Section):
    """A WebSocket API of Amazon API Gateway whose routes call `POST /v1/apigateway` (docs/chat.md)."""

    url: str
    """Where answers are posted: the API's address with its stage, `https://ID.execute-api.REGION.amazonaws.com/STAGE`."""
    region: str = "us-east-1"
    """AWS region, for signatures."""
    profile: str | None = None
    """Profile of the AWS credentials file; without one as for Bedrock."""


class ServerOptions(Section):
    """The HTTP server that clients talk to."""

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
    keep_alive_s: float = 2.0
    """After how long without a word a stream is told that it goes on: an SSE comment, Anthropic's `ping`. AWS event
    streams have no word for it."""
    head_s: float = 20.0
    """How long the head of a request may take, from its first byte to its last."""
    body_s: float = 60.0
    """How long a body may take, besides a second for each 64 KB of it that came."""
    connections: int = 0
    """Clients at once; 0: half of the process's file descriptors, but for 32."""
    connections_per_address: int = 0
    """Clients at once from one address; 0: as many as in all. Behind a proxy all clients have its address."""
    http2: bool = True
    """Whether HTTP/2 is spoken too: with clients that begin it, and over TLS with those that choose it."""
    streams_per_connection: int = 128
    """Requests at once on one HTTP/2 connection; each beyond the first counts as a connection of its address."""
    buffered_mb: float = 512.0
    """Bodies of all requests together, from their first byte until they are answered; beyond it new ones get 503."""
    apigateway: ApiGatewayOptions | None = None
    """The WebSocket API in front, if there is one."""
    hosts: list[str] = field(default_factory=list)
    """Names by which a gateway without keys may be called, besides addresses, `localhost` and names without a dot."""
    cors_origins: list[str] = field(default_factory=list)
    """Sites whose pages may call from a browser, e.g. `https://app.example.com`; `*` is all of them."""
    metrics_from: list[str] = field(default_factory=list)
    """Addresses and networks that may read `/metrics` without a key, e.g. `10.0.0.0/8`. Without keys everybody may."""
    tls_certificate: str | None = None
    """Path of a PEM file; with `tls_key` the server speaks HTTPS, HTTP/2 where the client chooses it."""
    tls_key: str | None = None
    """Path of the PEM file with the certificate's key."""


class CountingOptions(Section):
    """How tokens are estimated before a provider reports them."""

    vocabulary: bool = False
    """Start from the o200k vocabulary (extra `tokenizers`): estimates are a fifth closer, for about 0.1 ms more CPU on
    each 3 KB of new text and 75 MB of memory."""
    seed: bool = False
    """Teach the estimator of a model that is used for the first time by the provider's own free count (Bedrock
    CountTokens, Anthropic count_tokens) of twenty short texts. Bedrock needs the permission `bedrock:CountTokens`."""
    audit_share: float = 0.0
    """Share of requests whose prompt the provider counts again, free of charge: `hapenny_count_audit_error_ratio`."""


class CollectionOptions(Section):
    """A collection of documents: one that `hapenny index build` made, or a knowledge base of Amazon Bedrock."""

    path: str = ""
    """Folder that `hapenny index build` wrote."""
    knowledge_base: KnowledgeBaseOptions | None = None
    """Instead of a folder: searched by Bedrock's `Retrieve`."""
    remote: Remote = Remote()
    """When a reranking or rewriting model is asked, for routes that let it (`stages.retrieval.remote`)."""
    refresh_s: float = 2.0
    """How often what `hapenny index build` changed meanwhile is looked at: it is searched from then on, and answers
    that rest on what it replaced go stale."""


class Config(Section):
    """A whole deployment. Empty: simulated models, ready to try."""

    server: ServerOptions = field(default_factory=ServerOptions)
    backends: dict[str, BackendSection] = field(default_factory=lambda: {"simulated": SimulatedOptions()})
    default_backend: str = ""
    """The backend of models that name none; empty: the first."""
    models: dict[str, ModelOptions] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    """Further names for models and tiers."""
    tiers: dict[str, str] = field(default_factory=dict)
    """The model of each tier: fast, balanced, strong, max."""
    fallbacks: dict[str, list[str]] = field(default_factory=dict)
    """Where to go when a name's model is unavailable, in order."""
    routes: dict[str, RouteOptions] = field(default_factory=lambda: {"default": RouteOptions()})
    collections: dict[str, CollectionOptions] = field(default_factory=dict)
    embedders: dict[str, EmbedderOptions] = field(default_factory=dict)
    rerankers: dict[str, RerankerOptions] = field(default_factory=dict)
    guardrails: dict[str, GuardrailOptions] = field(default_factory=dict)
    """Guardrails that providers run, for the stages guard_input, guard_context and guard_output to ask (`remote`)."""
    stages: StageOptions = field(default_factory=StageOptions)
    keys: list[KeyOptions] = field(default_factory=list)
    auth: Literal["keys", "open"] = "keys"
    """Without keys the gateway listens on this machine alone; `open` says that everybody who reaches it may use it."""
    tenants: dict[str, TenantOptions] = field(default_factory=dict)
    """Budgets and limits of tenants, by name; `*` is every tenant that is not named."""
    admission: AdmissionOptions = field(default_factory=AdmissionOptions)
    """Where keys and budgets are kept."""
    alerts: AlertOptions = field(default_factory=AlertOptions)
    """Where alerts go: budgets that are nearly spent."""
    isolate_prompt_cache: bool = False
    """Put a mark of the tenant before every prompt, so that tenants that share an account at a provider do not share
    its prompt cache: usage would tell one whether another has sent a prefix. Costs some twenty tokens a call, and what
    tenants saved by sending the same prefix; the report shows it as `isolation`. Set `fingerprint_key`, so that the
    mark lasts."""
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
    precompute: PrefetchOptions = field(default_factory=PrefetchOptions)
    """Predictable questions answered ahead, off unless routes are named."""
    edge: EdgeOptions = field(default_factory=EdgeOptions)
    """Published answers and the CDN in front of them."""
    shared: str = ""
    """`redis://…` or `rediss://…` (Redis, Valkey, ElastiCache, MemoryDB): several gateways act as one. Stored answers,
    calls under way, quotas, keys and budgets are then shared there, but for what is named elsewhere (`counters`,
    `admission.store`). All of them need the same `fingerprint_key`."""
    counters: str = "memory"
    """Where quotas are counted: `memory`, or `redis://…` (`rediss://…`) to share them with other gateways; with
    `shared` it is that."""
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
        return self._beside_ledger(".state.db")

    def _beside_ledger(self, suffix: str) -> Path | None:
        """A file beside the ledger's; where that is a database, in the folder where a file would lie."""
        if self.ledger is None or self.ledger.path in ("", ":memory:"):
            return None
        return Path(".hapenny/ledger.db" if "://" in self.ledger.path else self.ledger.path).with_suffix(suffix)

    def counter_store(self) -> str:
        """Where quotas are counted."""
        return self.shared or "memory" if self.counters == "memory" else self.counters

    def admission_store(self) -> str:
        """Where keys, tenants and the pause switch are kept; `memory:`: nowhere."""
        if self.admission.store:
            return self.admission.store
        if self.ledger is not None and "://" in self.ledger.path:
            return self.ledger.path
        if self.shared and not self.shared.startswith("host:"):
            return self.shared
        file = self._beside_ledger(".admission.state.db")
        return "memory:" if file is None else str(file)

    def budget_store(self) -> str:
        """The Redis, PostgreSQL or SQLite file in which budgets are counted; empty: they are in memory."""
        store = self.admission_store()
        if "://" in store:
            return store
        if not store.endswith(".json") and store != "memory:":
            return store
        file = self._beside_ledger(".budgets.state.db")
        return "" if file is None else str(file)

    def backend_of(self, name: str) -> str:
        """The backend to use where none is named."""
        return name or self.default_backend or next(iter(self.backends))
