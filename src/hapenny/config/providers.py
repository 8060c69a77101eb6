"""Options of what is called: providers, models, reranking models, batch APIs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from hapenny.batch.options import BatchOptions
from hapenny.config.section import Section
from hapenny.core.messages import Parameters


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
    card: str = ""
    """Which model of the catalog it is, where its id does not say (provisioned throughput, application profiles,
    imported and tuned models, servers of your own): prices to compare with, limits, capabilities."""
    backend: str = ""
    """Name of a backend; empty: the default one."""
    region: str = ""
    """AWS region; empty: the backend's."""
    service_tier: str = "standard"
    """standard, priority, flex, reserved or batch."""
    endpoint: str = ""
    """Address of an endpoint of its own (a second endpoint family, a server of a pool)."""
    provisioned: bool = False
    """Provisioned throughput: paid by the hour, see `hourly_usd`."""
    hourly_usd: float | None = None
    """What its capacity costs an hour, where that is paid instead of calls (provisioned throughput, a reserved tier, a
    server of your own): calls cost 0, the bill is booked each hour. Unknown, its requests are unpriced."""
    parameters: ModelParameters = field(default_factory=ModelParameters)

    def tier(self) -> str:
        """The service tier of its calls; `owned` where the hour is paid."""
        if self.provisioned:
            return "provisioned"
        return "owned" if self.hourly_usd is not None and self.service_tier != "reserved" else self.service_tier


class EmbedderOptions(Section):
    """An embedding model behind an API."""

    model: str
    """Titan or Cohere on Bedrock, or any model of an OpenAI-compatible server."""
    backend: str = ""
    """Name of a backend; empty: the default one."""
    dim: int | None = None
    """Length of its vectors; null: as the catalog knows it."""
    hourly_usd: float | None = None
    """What its server costs an hour, if that is paid instead of calls."""


class RerankerOptions(Section):
    """A reranking model.

    `kind`: `bedrock` (region and credentials), `server` (`base_url` before `/rerank`: Cohere, Jina, vLLM) or `tei`
    (text-embeddings-inference). `owned`: it runs on capacity of your own, calls cost nothing; `hourly_usd` is what that
    costs an hour.
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
    hourly_usd: float | None = None
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
    uploads_mb: float = 1_000.0
    """What the uploads of one tenant may take on the disk together."""
    uploads: int = 1_000
    """How many a tenant may have at once."""
    upload_days: float = 30.0
    """After so long an upload is removed; batches made of it have their own copy. 0: never."""
    apis: tuple[BatchApiOptions, ...] = ()
    """Providers' batch APIs; records that none of them takes are answered one by one, at the flex tier where it is
    cheaper and there is time."""
