"""What a deployment may be told: one strict struct a section."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

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
from hapenny.telemetry.emf import EmfOptions
from hapenny.telemetry.ledger import LedgerOptions
from hapenny.telemetry.recorder import KeptTexts
from hapenny.telemetry.traces import TraceOptions


class ApiGatewayOptions(Section):
    """A WebSocket API of Amazon API Gateway whose routes call `POST /v1/apigateway` (docs/chat.md)."""

    url: Annotated[
        str,
        Meta(
            description="Where answers are posted: the API's address with its stage, "
            "`https://ID.execute-api.REGION.amazonaws.com/STAGE`.",
        ),
    ]
    region: Annotated[str, Meta(description="AWS region, for signatures.")] = "us-east-1"
    profile: Annotated[
        str | None,
        Meta(description="Profile of the AWS credentials file; without one as for Bedrock."),
    ] = None


class ServerOptions(Section):
    """The HTTP server that clients talk to."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port to listen on; 0 takes a free one.")] = 8790
    max_body_mb: Annotated[float, Meta(description="The largest request body; a larger one is answered 413.")] = 32.0
    drain_s: Annotated[float, Meta(description="How long requests under way may go on at shutdown or reload.")] = 30.0
    stalled_write_s: Annotated[
        float,
        Meta(description="How long a client may take no byte of a stream before its request ends."),
    ] = 60.0
    keep_alive_s: Annotated[
        float,
        Meta(
            description="After how long without a word a stream is told that it goes on: an SSE comment, "
            "Anthropic's `ping`. AWS event streams have no word for it.",
        ),
    ] = 2.0
    head_s: Annotated[
        float,
        Meta(description="How long the head of a request may take, from its first byte to its last."),
    ] = 20.0
    body_s: Annotated[
        float,
        Meta(description="How long a body may take, besides a second for each 64 KB of it that came."),
    ] = 60.0
    connections: Annotated[
        int,
        Meta(description="Clients at once; 0: half of the process's file descriptors, but for 32."),
    ] = 0
    connections_per_address: Annotated[
        int,
        Meta(
            description="Clients at once from one address; 0: as many as in all. Behind a proxy all clients have "
            "its address.",
        ),
    ] = 0
    http2: Annotated[
        bool,
        Meta(
            description="Whether HTTP/2 is spoken too: with clients that begin it, and over TLS with those that "
            "choose it.",
        ),
    ] = True
    streams_per_connection: Annotated[
        int,
        Meta(
            description="Requests at once on one HTTP/2 connection; each beyond the first counts as a connection "
            "of its address.",
        ),
    ] = 128
    buffered_mb: Annotated[
        float,
        Meta(
            description="Bodies of all requests together, from their first byte until they are answered; beyond "
            "it new ones get 503.",
        ),
    ] = 512.0
    apigateway: Annotated[
        ApiGatewayOptions | None,
        Meta(description="The WebSocket API in front, if there is one."),
    ] = None
    hosts: Annotated[
        list[str],
        Meta(
            description="Names by which a gateway without keys may be called, besides addresses, `localhost` and "
            "names without a dot.",
        ),
    ] = field(default_factory=list)
    cors_origins: Annotated[
        list[str],
        Meta(
            description="Sites whose pages may call from a browser, e.g. `https://app.example.com`; `*` is all of "
            "them.",
        ),
    ] = field(default_factory=list)
    metrics_from: Annotated[
        list[str],
        Meta(
            description="Addresses and networks that may read `/metrics` without a key, e.g. `10.0.0.0/8`. "
            "Without keys everybody may.",
        ),
    ] = field(default_factory=list)
    tls_certificate: Annotated[
        str | None,
        Meta(
            description="Path of a PEM file; with `tls_key` the server speaks HTTPS, HTTP/2 where the client "
            "chooses it.",
        ),
    ] = None
    tls_key: Annotated[str | None, Meta(description="Path of the PEM file with the certificate's key.")] = None

    def problems(self) -> list[tuple[str, str]]:
        """Option, and what is wrong with it and the fix."""
        wrong = []
        for name, path in (("tls_certificate", self.tls_certificate), ("tls_key", self.tls_key)):
            if path is not None and not Path(path).is_file():
                wrong.append((name, f"{path!r} is no file. Fix: the path of a PEM file"))
        if (self.tls_certificate is None) != (self.tls_key is None):
            wrong.append(("", "TLS needs both tls_certificate and tls_key. Fix: give both, or none"))
        for address in self.metrics_from:
            try:
                ipaddress.ip_network(address, strict=False)
            except ValueError:
                wrong.append(("metrics_from", f"{address!r} is no address. Fix: e.g. 10.0.0.7 or 10.0.0.0/8"))
        for origin in self.cors_origins:
            if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
                wrong.append(("cors_origins", f"{origin!r} is no site. Fix: e.g. https://app.example.com, or '*'"))
        for name in ("max_body_mb", "stalled_write_s", "keep_alive_s", "head_s", "body_s", "buffered_mb"):
            if getattr(self, name) <= 0:
                wrong.append((name, f"{getattr(self, name):g} is not above 0. Fix: leave it out"))
        if self.apigateway is not None and not self.apigateway.url.startswith(("http://", "https://")):
            wrong.append(("apigateway.url", "no address. Fix: https://ID.execute-api.REGION.amazonaws.com/STAGE"))
        if not 1 <= self.streams_per_connection <= 10_000:
            wrong.append(("streams_per_connection", "outside 1-10000. Fix: e.g. 128; clients expect at least 100"))
        if self.buffered_mb < self.max_body_mb:
            wrong.append(("buffered_mb", "less than one body may have. Fix: at least max_body_mb"))
        if not 0 <= self.port <= 65_535:
            wrong.append(("port", f"{self.port} is no port. Fix: 1 to 65535, or 0 for a free one"))
        return wrong


class CountingOptions(Section):
    """How tokens are estimated before a provider reports them."""

    vocabulary: Annotated[
        bool,
        Meta(
            description="Start from the o200k vocabulary (extra `tokenizers`): estimates are a fifth closer, for "
            "about 0.1 ms more CPU on each 3 KB of new text and 75 MB of memory.",
        ),
    ] = False
    seed: Annotated[
        bool,
        Meta(
            description="Teach the estimator of a model that is used for the first time by the provider's own "
            "free count (Bedrock CountTokens, Anthropic count_tokens) of twenty short texts. Bedrock "
            "needs the permission `bedrock:CountTokens`.",
        ),
    ] = False
    audit_share: Annotated[
        float,
        Meta(
            description="Share of requests whose prompt the provider counts again, free of charge: "
            "`hapenny_count_audit_error_ratio`.",
        ),
    ] = 0.0


class CollectionOptions(Section):
    """A collection of documents: one that `hapenny index build` made, or a knowledge base of Amazon Bedrock."""

    path: Annotated[str, Meta(description="Folder that `hapenny index build` wrote.")] = ""
    knowledge_base: Annotated[
        KnowledgeBaseOptions | None,
        Meta(description="Instead of a folder: a knowledge base of Amazon Bedrock, searched by `Retrieve`."),
    ] = None
    remote: Annotated[
        Remote,
        Meta(
            description="When a reranking or rewriting model is asked, for routes that let it "
            "(`stages.retrieval.remote`).",
        ),
    ] = Remote()
    refresh_s: Annotated[
        float,
        Meta(
            description="How often what `hapenny index build` changed meanwhile is looked at: it is searched from "
            "then on, and answers that rest on what it replaced go stale.",
        ),
    ] = 2.0

    def problems(self) -> list[tuple[str, str]]:
        """Option, and what is wrong with it and the fix."""
        if (self.knowledge_base is None) == (not self.path):
            return [("", "a folder or a knowledge base, one of the two. Fix: `path` or `knowledge_base`")]
        if self.path and not Path(self.path).is_dir():
            return [("path", f"{self.path!r} is no folder. Fix: hapenny index build {self.path} FILES")]
        return []


class Config(Section):
    """A whole deployment. Empty: simulated models, ready to try."""

    server: ServerOptions = field(default_factory=ServerOptions)
    backends: dict[str, BackendSection] = field(default_factory=lambda: {"simulated": SimulatedOptions()})
    default_backend: Annotated[str, Meta(description="The backend of models that name none; empty: the first.")] = ""
    models: dict[str, ModelOptions] = field(default_factory=dict)
    aliases: Annotated[
        dict[str, str],
        Meta(description="Further names for models and tiers."),
    ] = field(default_factory=dict)
    tiers: Annotated[
        dict[str, str],
        Meta(description="The model of each tier: fast, balanced, strong, max."),
    ] = field(default_factory=dict)
    fallbacks: Annotated[
        dict[str, list[str]],
        Meta(description="Where to go when a name's model is unavailable, in order."),
    ] = field(default_factory=dict)
    routes: dict[str, RouteOptions] = field(default_factory=lambda: {"default": RouteOptions()})
    collections: dict[str, CollectionOptions] = field(default_factory=dict)
    embedders: dict[str, EmbedderOptions] = field(default_factory=dict)
    rerankers: dict[str, RerankerOptions] = field(default_factory=dict)
    guardrails: Annotated[
        dict[str, GuardrailOptions],
        Meta(
            description="Guardrails that providers run, for the stages guard_input, guard_context and "
            "guard_output to ask (`remote`).",
        ),
    ] = field(default_factory=dict)
    stages: StageOptions = field(default_factory=StageOptions)
    keys: list[KeyOptions] = field(default_factory=list)
    auth: Annotated[
        Literal["keys", "open"],
        Meta(
            description="Without keys the gateway listens on this machine alone; `open` says that everybody who "
            "reaches it may use it.",
        ),
    ] = "keys"
    tenants: Annotated[
        dict[str, TenantOptions],
        Meta(description="Budgets and limits of tenants, by name; `*` is every tenant that is not named."),
    ] = field(default_factory=dict)
    admission: Annotated[
        AdmissionOptions,
        Meta(description="Where keys and budgets are kept."),
    ] = field(default_factory=AdmissionOptions)
    alerts: Annotated[
        AlertOptions,
        Meta(description="Where alerts go: budgets that are nearly spent."),
    ] = field(default_factory=AlertOptions)
    isolate_prompt_cache: Annotated[
        bool,
        Meta(
            description="Put a mark of the tenant before every prompt, so that tenants that share an account at a "
            "provider do not share its prompt cache: usage would tell one whether another has sent a "
            "prefix. Costs some twenty tokens a call, and what tenants saved by sending the same "
            "prefix; the report shows it as `isolation`. Set `fingerprint_key`, so that the mark "
            "lasts.",
        ),
    ] = False
    ledger: LedgerOptions | None = field(default_factory=LedgerOptions)
    state: Annotated[
        str | None,
        Meta(
            description="SQLite file of what is learnt about token counts and answer lengths, so that it survives "
            "a restart. None: beside the ledger (`ledger.state.db`), nowhere if there is no ledger "
            "file. Empty: nowhere.",
        ),
    ] = None
    content: Annotated[
        KeptTexts | None,
        Meta(description="Texts of requests, off unless a route opts in; needs the extra `content`."),
    ] = None
    traces: Annotated[TraceOptions | None, Meta(description="OpenTelemetry spans; needs the extra `otel`.")] = None
    emf: Annotated[
        EmfOptions | None,
        Meta(description="CloudWatch metrics by model and feature, as lines of the Embedded Metric Format."),
    ] = None
    batch: Annotated[BatchJobs | None, Meta(description="Batch jobs, off unless a journal is named.")] = None
    precompute: Annotated[
        PrefetchOptions,
        Meta(description="Predictable questions answered ahead, off unless routes are named."),
    ] = field(default_factory=PrefetchOptions)
    edge: Annotated[
        EdgeOptions,
        Meta(description="Published answers and the CDN in front of them."),
    ] = field(default_factory=EdgeOptions)
    shared: Annotated[
        str,
        Meta(
            description="`redis://…` or `rediss://…` (Redis, Valkey, ElastiCache, MemoryDB): several gateways act as "
            "one. Stored answers, calls under way, quotas, keys and budgets are then shared there, but for what is "
            "named elsewhere (`counters`, `admission.store`). All of them need the same `fingerprint_key`.",
        ),
    ] = ""
    counters: Annotated[
        str,
        Meta(
            description="Where quotas are counted: `memory`, or `redis://…` (`rediss://…`) to share them with "
            "other gateways; with `shared` it is that.",
        ),
    ] = "memory"
    counting: CountingOptions = field(default_factory=CountingOptions)
    prices: Annotated[str | None, Meta(description="Path of a file with negotiated prices.")] = None
    intents: Annotated[
        str | None,
        Meta(description="File that `hapenny train intents` wrote: says the intent of requests that come without one."),
    ] = None
    fingerprint_key: Annotated[
        str,
        Meta(
            description="Secret that keys hashes and fingerprints; drawn at start when empty (cached answers then "
            "end with it).",
        ),
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least severe lines that are logged; prompts and keys never are."),
    ] = "info"

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

    @property
    def simulated(self) -> list[str]:
        """Names of the backends whose models are played by the gateway itself."""
        return [name for name, options in self.backends.items() if options.kind == "simulated"]
