"""Options of what is called: providers, models, reranking models, batch APIs."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from hapenny.batch.options import BatchOptions
from hapenny.catalog import Catalog, refusals
from hapenny.config.section import Section
from hapenny.core.messages import Parameters


class ModelParameters(Section):
    """What is sent where the client sends nothing."""

    max_tokens: Annotated[int | None, Meta(description="The longest answer.")] = None
    temperature: Annotated[float | None, Meta(description="0 is the most repeatable.")] = None
    top_p: Annotated[
        float | None,
        Meta(description="Nucleus sampling; newer models take it or temperature, not both."),
    ] = None
    top_k: Annotated[int | None, Meta(description="How many tokens are candidates, where the model takes it.")] = None
    stop: Annotated[list[str], Meta(description="Sequences that end the answer.")] = field(default_factory=list)
    effort: Annotated[str | None, Meta(description="How much to think, where the model takes it: low to max.")] = None

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

    id: Annotated[str, Meta(description="The provider's model id, inference profile or ARN.")]
    card: Annotated[
        str,
        Meta(
            description="Which model of the catalog it is, where its id does not say (provisioned throughput, "
            "application profiles, imported and tuned models, servers of your own): prices to compare "
            "with, limits, capabilities.",
        ),
    ] = ""
    backend: Annotated[str, Meta(description="Name of a backend; empty: the default one.")] = ""
    region: Annotated[str, Meta(description="AWS region; empty: the backend's.")] = ""
    service_tier: Annotated[str, Meta(description="standard, priority, flex, reserved or batch.")] = "standard"
    endpoint: Annotated[
        str,
        Meta(description="Address of an endpoint of its own (a second endpoint family, a server of a pool)."),
    ] = ""
    provisioned: Annotated[
        bool,
        Meta(description="Provisioned throughput: paid by the hour, see `hourly_usd`."),
    ] = False
    hourly_usd: Annotated[
        float | None,
        Meta(
            description="What its capacity costs an hour, where that is paid instead of calls (provisioned "
            "throughput, a reserved tier, a server of your own): calls cost 0, the bill is booked "
            "each hour. Unknown, its requests are unpriced.",
        ),
    ] = None
    parameters: ModelParameters = field(default_factory=ModelParameters)

    def tier(self) -> str:
        """The service tier of its calls; `owned` where the hour is paid."""
        if self.provisioned:
            return "provisioned"
        return "owned" if self.hourly_usd is not None and self.service_tier != "reserved" else self.service_tier

    def problems(self, catalog: Catalog) -> list[tuple[str, str]]:
        """Option, and what is wrong with it and the fix."""
        wrong = []
        profile = re.match(r"(us|eu|apac|jp|au|us-gov|global)\.", self.id) or ":inference-profile/" in self.id
        if self.provisioned and profile:
            what = f"provisioned throughput cannot be used with the cross-region profile {self.id!r}. "
            wrong.append(("", what + "Fix: use the provisioned-model ARN, or drop `provisioned`"))
        for refusal in refusals(catalog.resolve(self.id), self.parameters.said(), self.id):
            wrong.append((f"parameters.{refusal.name}", f"{refusal.why}. Fix: {refusal.fix}"))
        if ":provisioned-model/" in self.id and self.region and f":{self.region}:" not in self.id:
            wrong.append(("region", f"{self.region!r} is not the region of the ARN. Fix: drop `region`"))
        return wrong


class EmbedderOptions(Section):
    """An embedding model behind an API."""

    model: Annotated[str, Meta(description="Titan or Cohere on Bedrock, or any model of an OpenAI-compatible server.")]
    backend: Annotated[str, Meta(description="Name of a backend; empty: the default one.")] = ""
    dim: Annotated[int | None, Meta(description="Length of its vectors; null: as the catalog knows it.")] = None
    hourly_usd: Annotated[
        float | None,
        Meta(description="What its server costs an hour, if that is paid instead of calls."),
    ] = None


class RerankerOptions(Section):
    """A reranking model."""

    kind: Annotated[
        Literal["bedrock", "server", "tei"],
        Meta(
            description="`bedrock` (region and credentials), `server` (Cohere, Jina, vLLM) or `tei` "
            "(text-embeddings-inference).",
        ),
    ]
    model: Annotated[str, Meta(description="The model's id or ARN.")]
    region: Annotated[str, Meta(description="AWS region of a Bedrock model.")] = "us-east-1"
    profile: Annotated[str | None, Meta(description="Profile of the AWS credentials file.")] = None
    base_url: Annotated[str, Meta(description="Address before `/rerank`; for `server` and `tei`.")] = ""
    api_key: Annotated[str | None, Meta(description="Key of the server. Best given as `${NAME}`.")] = None
    owned: Annotated[bool, Meta(description="Whether it runs on capacity of your own: calls cost nothing.")] = False
    hourly_usd: Annotated[float | None, Meta(description="What that capacity costs an hour.")] = None
    connect_s: Annotated[float, Meta(description="How long a connection may take to open.")] = 2.0

    def problems(self) -> list[tuple[str, str]]:
        """Option, and what is wrong with it and the fix."""
        wrong = []
        if self.kind != "bedrock" and not re.match(r"https?://[^/]", self.base_url):
            what = f"{self.base_url!r} is no URL. Fix: what stands before /rerank, e.g. "
            wrong.append(("base_url", what + "https://api.cohere.com/v2 or http://localhost:8000/v1"))
        if self.kind == "bedrock" and self.api_key:
            wrong.append(("api_key", "Bedrock's Rerank takes no API key. Fix: AWS credentials, or a profile"))
        return wrong


class BatchApiOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A provider's batch API, used for records that can wait."""

    backend: Annotated[str, Meta(description="Whose models it serves; empty: the default backend.")] = ""
    bucket: Annotated[
        str,
        Meta(description="S3 bucket for Bedrock's input and output; for a simulated provider a folder."),
    ] = ""
    role: Annotated[str, Meta(description="ARN of the role that Bedrock takes to read and write the bucket.")] = ""
    prefix: Annotated[str, Meta(description="Where in the bucket jobs have their folders.")] = "hapenny-batch"
    endpoint: Annotated[str, Meta(description="URL of the control plane instead of the region's.")] = ""
    s3_endpoint: Annotated[str, Meta(description="URL of S3 instead of the region's.")] = ""
    least: Annotated[
        int | None,
        Meta(description="Records a job needs; the provider's usual minimum when left out."),
    ] = None
    most: Annotated[
        int | None,
        Meta(description="Records a job may hold; the provider's usual maximum when left out."),
    ] = None
    turnaround_s: Annotated[
        float,
        Meta(
            description="How long a job is expected to take until jobs have shown it; with less time left none is "
            "begun.",
        ),
    ] = 14_400.0


class BatchJobs(BatchOptions, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`/v1/files` and `/v1/batches`, answered here."""

    journal: Annotated[str, Meta(description="Folder that keeps files, batches and answers; of one process alone.")]
    poll_s: Annotated[float, Meta(description="How often a provider is asked about a job, in seconds.")] = 5.0
    uploads_mb: Annotated[
        float,
        Meta(description="What the uploads of one tenant may take on the disk together."),
    ] = 1_000.0
    uploads: Annotated[int, Meta(description="How many a tenant may have at once.")] = 1_000
    upload_days: Annotated[
        float,
        Meta(description="After so long an upload is removed; batches made of it have their own copy. 0: never."),
    ] = 30.0
    apis: Annotated[
        tuple[BatchApiOptions, ...],
        Meta(
            description="Providers' batch APIs; records that none of them takes are answered one by one, at the "
            "flex tier where it is cheaper and there is time.",
        ),
    ] = ()
