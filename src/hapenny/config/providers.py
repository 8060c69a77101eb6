"""Options of what is called: providers, models, reranking models, batch APIs."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from hapenny.batch.options import BatchOptions
from hapenny.config.section import Section
from hapenny.core.messages import Parameters


class QuotaOptions(Section):
    """Quotas of a simulated provider, a model; None is no limit."""

    rpm: int | None = None
    """Requests a minute."""
    tpm: int | None = None
    """Tokens a minute; `max_tokens` is reserved and settled, as Bedrock does."""


class BackendOptions(Section):
    """A provider we call.

    `kind` decides which other fields matter: `region` and credentials for bedrock, `base_url` and `api_key` for
    openai and anthropic, `card`, `seed`, `quota` and `faults` for simulated.
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
    faults: dict[str, Any] = field(default_factory=dict)
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
    stop: list[str] = field(default_factory=list)
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


class EmbedderOptions(Section):
    """An embedding model behind an API."""

    model: str
    """Titan or Cohere on Bedrock, or any model of an OpenAI-compatible server."""
    backend: str = ""
    """Name of a backend; empty: the default one."""
    dim: int | None = None
    """Length of its vectors; null: as the catalog knows it."""


class RerankerOptions(Section):
    """A reranking model.

    `kind`: `bedrock` (region and credentials), `server` (`base_url` before `/rerank`: Cohere, Jina, vLLM) or `tei`
    (text-embeddings-inference). `owned`: it runs on capacity of your own, calls cost nothing.
    """

    kind: Literal["bedrock", "server", "tei"]
    model: str
    """The model's id or ARN."""
    region: str = "us-east-1"
    """AWS region of a Bedrock model."""
    profile: str | None = None
    """Profile of the AWS credentials file."""
    base_url: str = ""
    api_key: str | None = None
    """Key of the server. Best given as `${NAME}`."""
    owned: bool = False
    connect_s: float = 2.0
    """How long a connection may take to open."""


class BatchApiOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A provider's batch API, used for records that can wait."""

    backend: str = ""
    """Whose models it serves; empty: the default backend."""
    bucket: str = ""
    """S3 bucket for Bedrock's input and output; for a simulated provider a folder."""
    role: str = ""
    """ARN of the role that Bedrock takes to read and write the bucket."""
    prefix: str = "hapenny-batch"
    """Where in the bucket jobs have their folders."""
    endpoint: str = ""
    """URL of the control plane instead of the region's."""
    s3_endpoint: str = ""
    """URL of S3 instead of the region's."""
    least: int | None = None
    """Records a job needs; the provider's usual minimum when left out."""
    most: int | None = None
    """Records a job may hold; the provider's usual maximum when left out."""
    turnaround_s: float = 14_400.0
    """How long a job is expected to take until jobs have shown it; with less time left none is begun."""


class BatchJobs(BatchOptions, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`/v1/files` and `/v1/batches`, answered here."""

    journal: str
    """Folder that keeps files, batches and answers; of one process alone."""
    poll_s: float = 5.0
    apis: tuple[BatchApiOptions, ...] = ()
    """Providers' batch APIs; records that none of them takes are answered one by one, at the flex tier where it is
    cheaper and there is time."""
