"""The batch APIs that a configuration names, each with what runs its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, cast, runtime_checkable

from hapenny.backends.kind import BackendOptions
from hapenny.backends.kinds import KINDS
from hapenny.batch.bedrock import BedrockBatch, Bucket, Control, S3Bucket
from hapenny.batch.hosted import AnthropicBatch, Http, OpenAIBatch
from hapenny.batch.records import BatchProvider
from hapenny.config import BatchApiOptions, Config
from hapenny.core.clock import Clock
from hapenny.core.exchange import Limits
from hapenny.jobs.translator import Answerer, BatchTranslator, Hold
from hapenny.protocols.registry import codec

_SIMULATED_ROLE = "arn:aws:iam::000000000000:role/simulated"


@runtime_checkable
class OwnJobService(Protocol):
    """A backend that brings the control plane and the bucket of its batch jobs with it."""

    def job_service(self, folder: Path, least: int | None) -> tuple[Control, Bucket]:
        """Both, over a folder. `least`: records that a job needs."""


def translated(
    config: Config, apis: Sequence[BatchApiOptions], near: str, answerer: Answerer, hold: Hold, clock: Clock
) -> dict[str, BatchProvider]:
    """The batch APIs by name, for records that `answerer` understands. `near`: the dialect that is kept where a
    provider takes it.

    Raises:
        ValueError: one cannot be used here, with the fix.
    """
    made: dict[str, BatchProvider] = {}
    for options in apis:
        name = config.backend_of(options.backend)
        backend = config.backends[name]
        kind = KINDS[backend.kind]
        far = near if near in kind.own_records else kind.codec
        inner = _provider(options, name, backend, far, hold, clock)
        translator = BatchTranslator(inner, codec(far), name, answerer, hold, clock)
        made[translator.name] = translator
    return made


def untranslated(config: Config, apis: Sequence[BatchApiOptions], hold: Hold, clock: Clock) -> dict[str, BatchProvider]:
    """Those batch APIs by backend that take a provider's own bodies (InvokeModel's): records go as they are, and who
    asked for them keeps their books.

    Raises:
        ValueError: one cannot be used here, with the fix.
    """
    made: dict[str, BatchProvider] = {}
    for options in apis:
        name = config.backend_of(options.backend)
        if "invoke" in KINDS[config.backends[name].kind].own_records:
            made[name] = _provider(options, name, config.backends[name], "invoke", hold, clock)
    return made


def _provider(
    options: BatchApiOptions, name: str, backend: BackendOptions, form: str, hold: Hold, clock: Clock
) -> BatchProvider:
    made: BedrockBatch | OpenAIBatch | AnthropicBatch
    match KINDS[backend.kind].batch:
        case "openai":
            made = OpenAIBatch(_http(name, hold, clock), clock)
        case "anthropic":
            made = AnthropicBatch(_http(name, hold, clock), clock)
        case "bedrock":
            made = _bedrock(options, name, backend, "InvokeModel" if form == "invoke" else "Converse", hold, clock)
        case None:
            raise ValueError(f"{name!r} has no batch API. Fix: leave it out")
    if options.least is not None:
        made.least = options.least
    if options.most is not None:
        made.most = options.most
    made.turnaround_s = options.turnaround_s
    return made


def _bedrock(
    options: BatchApiOptions,
    name: str,
    backend: BackendOptions,
    form: Literal["InvokeModel", "Converse"],
    hold: Hold,
    clock: Clock,
) -> BedrockBatch:
    with hold() as gateway:
        serving = gateway.backends[name]
    role = options.role
    if isinstance(serving, OwnJobService):
        control, bucket = serving.job_service(Path(options.bucket), options.least)
        role = role or _SIMULATED_ROLE
    elif "role" in KINDS[backend.kind].batch_wants:
        control, bucket = _aws(options, backend)
    else:
        raise ValueError(f"{name!r} has no job service here. Fix: leave its batch API out")
    return BedrockBatch(control, bucket, clock, role=role, form=form, prefix=options.prefix)


def _aws(options: BatchApiOptions, backend: BackendOptions) -> tuple[Control, Bucket]:
    try:
        import boto3
    except ImportError:
        raise ValueError("Bedrock's batch API needs boto3. Fix: pip install 'hapenny[aws]'") from None
    session = boto3.Session(profile_name=getattr(backend, "profile", None), region_name=backend.region)
    control = session.client("bedrock", endpoint_url=options.endpoint or None)
    s3 = session.client("s3", endpoint_url=options.s3_endpoint or None)
    return cast(Control, control), S3Bucket(s3, options.bucket)


def _http(name: str, hold: Hold, clock: Clock) -> Http:
    async def exchange(
        method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        with hold() as gateway:
            now = clock.now()
            limits = Limits(now + 60, now + 600)
            raw = await gateway.backends[name].forward(method, path, {"content-type": content_type}, body, limits)
            try:
                pieces = []
                while (piece := await raw.body.read()) is not None:
                    pieces.append(piece)
            finally:
                raw.body.close()
        return raw.status, b"".join(pieces)

    return exchange
