"""What a provider kind declares about itself, in the file of its backend; `kinds.KINDS` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from msgspec import Meta, Struct

from hapenny.backends.contract import Backend
from hapenny.backends.fitting import Find
from hapenny.backends.passable import Passable
from hapenny.backends.pool import Pool
from hapenny.backends.proxy import Proxy
from hapenny.backends.url import origin
from hapenny.core.clock import Clock
from hapenny.vectors.remote import Style

PathFamily: TypeAlias = Literal["model", "openai-prefix", "openai", "anthropic", "sagemaker", "other"]
"""What a path that is passed through as it is belongs to: `/model/…`, `/openai/…`, `/v1/…` as OpenAI's or Anthropic's
clients ask, SageMaker's `/endpoints/…`, or anything else."""
BatchApi: TypeAlias = Literal["bedrock", "openai", "anthropic"]
"""Whose protocol a provider's batch jobs speak."""


class BackendOptions(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A provider we call. `kind` says which, and so which other options there are."""

    region: Annotated[
        str,
        Meta(description="AWS region, where the model names none and the kind has regions."),
    ] = "us-east-1"

    @property
    def kind(self) -> str:
        """The name of its kind."""
        return str(self.__struct_config__.tag)

    def problems(self) -> list[tuple[str, str]]:
        """What is wrong with the values: (option, what and how to fix it)."""
        return []

    def shares(self, collection: str, tenant: str) -> bool:
        """Whether a tenant may ask for what the operator keeps at the provider under that name."""
        return False


class HttpOptions(BackendOptions, kw_only=True):
    """A provider behind HTTP."""

    base_url: Annotated[str | None, Meta(description="Where to call instead of the provider's own address.")] = None
    api_key: Annotated[
        str | None,
        Meta(description="Key of the provider; a bearer key for bedrock. Best given as `${NAME}`."),
    ] = None
    connections: Annotated[
        int | None,
        Meta(description="Most connections to the provider; null follows the concurrency limit."),
    ] = None
    connect_s: Annotated[float, Meta(description="How long a connection may take to open.")] = 5.0
    idle_s: Annotated[float, Meta(description="The longest pause between bytes of a stream.")] = 60.0
    lifetime_s: Annotated[float, Meta(description="After how long a connection is replaced, 60 to 300.")] = 180.0
    proxy: Annotated[
        str | None,
        Meta(
            description="A forward proxy, `http://[user:password@]host:port`; the environment's proxies are not "
            "looked at.",
        ),
    ] = None
    max_answer_mb: Annotated[
        float,
        Meta(description="The longest answer that is read, whole or streamed; a longer one ends with an error."),
    ] = 32.0

    def problems(self) -> list[tuple[str, str]]:
        """What is wrong with the values."""
        problems = []
        if not 60 <= self.lifetime_s <= 300:
            problems.append(("lifetime_s", f"{self.lifetime_s:g} is outside 60-300. Fix: e.g. 180"))
        if self.max_answer_mb <= 0:
            problems.append(("max_answer_mb", f"{self.max_answer_mb:g} lets no answer in. Fix: e.g. 32"))
        if self.base_url:
            try:
                origin(self.base_url)
            except ValueError as error:
                problems.append(("base_url", f"{error}. Fix: e.g. http://127.0.0.1:8000/v1"))
        if self.proxy:
            try:
                Proxy.of(self.proxy)
            except ValueError as error:
                problems.append(("proxy", f"{error}. Fix: e.g. http://proxy.example:3128"))
        return problems


class AwsOptions(HttpOptions, kw_only=True):
    """A service of AWS, whose requests are signed where no key is given."""

    profile: Annotated[
        str | None,
        Meta(
            description="Profile of the AWS credentials file; without one: environment, web identity, container, "
            "instance.",
        ),
    ] = None


class Kind(NamedTuple):
    """A provider kind.

    A new one is a file in `backends/` that ends with its `KIND`, a line in `kinds.KINDS`, and what the contract test
    over that table wants of it.
    """

    name: str
    """Its word in the configuration: `backends.NAME.kind`."""
    options: type[BackendOptions]
    """Its part of the configuration, tagged with the name."""
    build: Callable[[str, Any, Clock, Find | None], Backend]
    """The backend of a configured name, its options, the clock, and the cards of models. Raises `ValueError`."""
    codec: str
    """The codec of its calls, and of the records of its batch jobs."""
    telemetry: str
    """`gen_ai.provider.name` of OpenTelemetry's conventions."""
    passes: Mapping[PathFamily, int]
    """Families of paths that it may know though no codec does; where several kinds do, the lowest number is asked."""
    ways: tuple[Passable, ...] = ()
    """What of such paths is let through; everything else is refused."""
    own_records: tuple[str, ...] = ()
    """Further codecs whose batch records its jobs take as they are."""
    batch: BatchApi | None = None
    """The protocol of its batch jobs; None: it has none."""
    batch_wants: Mapping[str, str] = {}
    """Options that a batch API of it cannot do without, and what each is."""
    embeds: Callable[[str], Style] | None = None
    """The dialect in which a model of it is asked for vectors; None: it makes none."""
    regional: bool = False
    """Whether a target names a region."""
    lists: bool = False
    """Whether it serves only models that the catalog knows."""
    serves: tuple[str, ...] = ()
    """Whose models it sells, by the catalog's `Card.provider`."""
    files: bool = False
    """Whether it keeps files for OpenAI's clients."""


def keyed(options: HttpOptions, home: str, key: str | None) -> tuple[str, str | None]:
    """Base URL and key. `key`, the environment's, goes to the provider it belongs to (`home`), to no other host."""
    base = options.base_url or home
    own = base.rstrip("/").removesuffix("/v1") == home.removesuffix("/v1")
    return base, options.api_key or (key if own else None)


def pool(clock: Clock, options: HttpOptions) -> Pool:
    """The connections of a provider behind HTTP."""
    return Pool(
        clock,
        connections=options.connections,
        connect_s=options.connect_s,
        idle_s=options.idle_s,
        lifetime_s=options.lifetime_s,
        answer_bytes=int(options.max_answer_mb * 1_000_000),
        proxy=Proxy.of(options.proxy) if options.proxy else None,
    )


def bedrock_style(model: str) -> Style:
    """How an embedding model on Bedrock is asked."""
    if "cohere" in model:
        return "cohere"
    if "nova" in model:
        return "nova"
    return "titan" if "titan" in model else "openai"
