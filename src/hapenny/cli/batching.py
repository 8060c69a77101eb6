"""What the verbs of `hapenny batch` share: forms of files, and an engine over a gateway and providers' batch APIs."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from hapenny.batch.api import BOM
from hapenny.batch.engine import BatchEngine, Status
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.options import BatchOptions
from hapenny.batch.records import BatchProvider, Record
from hapenny.batch.state import Batch
from hapenny.cli.printable import say
from hapenny.core.clock import Clock, RealClock

if TYPE_CHECKING:
    from hapenny.catalog import Rates
    from hapenny.config import BatchApiOptions, Config
    from hapenny.gateway.gateway import Gateway
    from hapenny.jobs.translator import ClientAnswerer

T = TypeVar("T")
FORMS = {
    "openai": ("custom_id", "body"),
    "invoke": ("recordId", "modelInput"),
    "converse": ("recordId", "modelInput"),
    "anthropic": ("custom_id", "params"),
}
CODECS = {"converse": "bedrock"}
"""The dialect of a form where it has another name."""

CHOSEN = "configuration"
"""In a batch's metadata: what it was handed in with."""
REGION = "us-east-1"
EMBED = "embed"
"""The journal of embeddings, whose records are a provider's own."""

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def read(data: bytes, model: str = "") -> tuple[str, list[Record]]:
    """Form and records of a file's bytes; `model` is for records that name none.

    Raises:
        click.ClickException: naming the line that is wrong.
    """
    form = ""
    records: list[Record] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(data.removeprefix(BOM).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
            own = next(f for f, (id, body) in FORMS.items() if id in row and isinstance(row.get(body), dict))
        except (msgspec.DecodeError, StopIteration, TypeError, AttributeError, RecursionError):
            raise click.ClickException(
                f"line {number} is neither OpenAI's (custom_id, body), Bedrock's (recordId, modelInput) "
                "nor Anthropic's (custom_id, params)"
            ) from None
        body = dict(row[FORMS[own][1]])
        if own == "invoke" and _is_converse(body):
            own = "converse"
        if form and own != form:
            raise click.ClickException(f"line {number} is of form {own}, the lines before of form {form}")
        form = own
        named = model or str(body.get("model") or "")
        body.pop("model", None)
        if not named:
            raise click.UsageError(f"name the model with --model: line {number} does not")
        id = str(row[FORMS[form][0]])
        if id in seen:
            raise click.ClickException(f"line {number} has the {FORMS[form][0]} of line {seen[id]}: {id[:64]!r}")
        seen[id] = number
        records.append(Record(id, body, named))
    if not records:
        raise click.ClickException("the file holds no records")
    return form, records


def seconds(text: str) -> float:
    """`90m` and the like in seconds."""
    span = _SPAN.fullmatch(text)
    if span is None:
        raise click.UsageError(f"{text!r} is no span of time; write 90m, 24h or 2d")
    return float(span[1]) * _SECONDS[span[2]]


class Chosen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What batches are worked on with. It is kept with each batch, so that `run` goes on as `submit` began."""

    config: str | None = None
    """Path of the gateway's configuration; None: simulated models, or Bedrock where there is a bucket."""
    bucket: str = ""
    """Bedrock's batch API with this bucket, besides those of the configuration."""
    role: str = ""
    """ARN of the role that may read and write it."""
    region: str = REGION
    """Of Bedrock, where no configuration says."""

    @classmethod
    def of(cls, config: str | None, bucket: str, role: str, region: str) -> Chosen:
        """From a command's options; the path holds wherever the next command is given."""
        return cls(str(Path(config).resolve()) if config else None, bucket, role, region)

    def kept(self) -> dict[str, Any]:
        """As it stands in a batch's metadata."""
        return {CHOSEN: msgspec.to_builtins(self)}


def chosen_for(batch: Batch) -> Chosen:
    """What a batch was handed in with.

    Raises:
        click.ClickException: its configuration is gone.
    """
    chosen = msgspec.convert(batch.metadata.get(CHOSEN) or {}, Chosen)
    if chosen.config is not None and not Path(chosen.config).exists():
        raise click.ClickException(
            f"{chosen.config}, with which {batch.id} was submitted, is not there any more; name another with -c"
        )
    return chosen


class Opened:
    """An engine over a gateway, which is built when it is needed and lives as long as the loop that uses it.

    Args:
        folder: of the journal.
        form: of the records.
        chosen: configuration, and Bedrock's batch API.
        spread: the store over which workers share the records that are sent one by one; empty: they are sent here.
    """

    def __init__(self, folder: Path, form: str, chosen: Chosen, spread: str = "") -> None:
        self._clock: Clock = RealClock()
        self._form = form
        self._gateway: Gateway | None = None
        self._config, apis = _configured(chosen)
        self._answerer = answerer_of(form)
        try:
            self._journal = Journal(folder)
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
        options: BatchOptions = self._config.batch or BatchOptions(poll_s=15.0 if apis else 0.5)
        self.engine = BatchEngine(self._journal, self._providers(apis), self._local(spread), self._clock, options)

    def _local(self, spread: str) -> Local:
        if not spread:
            return Local(self._send, self._clock)
        from hapenny.batch.open_shards import open_shards
        from hapenny.batch.spread import SpreadLocal

        try:
            self._shards = open_shards(spread, self._clock)
        except (ValueError, OSError, ImportError) as error:
            raise click.ClickException(str(error)) from None
        return SpreadLocal(self._shards, self._form, self._clock)

    def _providers(self, apis: tuple[BatchApiOptions, ...]) -> dict[str, BatchProvider]:
        from hapenny.jobs.embeddings import booked
        from hapenny.jobs.providers import translated, untranslated

        config, answerer = self._config, self._answerer
        try:
            if answerer is None:
                return booked(untranslated(config, apis, self._hold, self._clock), self._hold)
            dialect = CODECS.get(self._form, self._form)
            return translated(config, apis, dialect, answerer, self._hold, self._clock)
        except ValueError as error:
            raise click.ClickException(str(error)) from None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` on a loop of its own, and lets go of the gateway it used."""

        async def closing() -> T:
            gateway = self._built()
            await gateway.start()
            try:
                return await work
            finally:
                self._gateway = None
                await gateway.aclose()

        return asyncio.run(closing())

    def rates(self, model: str, tier: str) -> Rates | None:
        """The rates of a model by any of its names here; None: not known."""
        from hapenny.jobs.translator import target_of

        gateway = self._built()
        target = target_of(gateway, model)
        return gateway.books.prices.place(target).rates(tier, self._clock.wall()) if target is not None else None

    def _built(self) -> Gateway:
        if self._gateway is None:
            from hapenny.gateway.gateway import Gateway

            self._gateway = Gateway(self._config, clock=self._clock)
        return self._gateway

    @contextlib.contextmanager
    def _hold(self) -> Iterator[Gateway]:
        yield self._built()

    async def _send(self, record: Record) -> dict[str, Any]:
        """One record through the gateway, at background priority."""
        gateway, answerer = self._built(), self._answerer
        if answerer is None:
            from hapenny.jobs.embeddings import embed

            return await embed(gateway, record)
        request = answerer.request(record)
        completion, _ = await gateway.complete(request, answerer.context(record, request))
        return answerer.written(request, completion)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()


def look(folder: Path) -> dict[str, BatchEngine]:
    """The engines of all journals in a folder, by the form of their records; to look at only."""

    async def never(record: Record) -> dict[str, Any]:
        raise RuntimeError("only looking")

    clock = RealClock()
    return {
        form: BatchEngine(Journal(folder / form, look=True), {}, Local(never, clock), clock)
        for form in (*FORMS, EMBED)
        if (folder / form / "journal.jsonl").exists()
    }


async def work(engine: BatchEngine, *ids: str) -> None:
    """Works until the batches are done, and says how they stand."""

    async def report() -> None:
        while True:
            await asyncio.sleep(10)
            for id in ids or [key for key, each in engine.batches.items() if not each.done]:
                say(line(engine.status(id)), err=True)

    reporter = asyncio.get_running_loop().create_task(report())
    try:
        await engine.run(*ids)
    finally:
        reporter.cancel()
    for id in ids or list(engine.batches):
        say(line(engine.status(id)), err=True)


def line(each: Status) -> str:
    """A batch in a line."""
    late = " LATE" if each.late else ""
    refused = "".join(f"\n  not taken by {reason}" for reason in each.refused)
    if each.held:
        refused += f"\n  {each.held} may be paid for without an answer: `hapenny batch again {each.id}` asks them again"
    doubt = f"{each.in_doubt} in doubt, " if each.in_doubt else ""
    return (
        f"{each.id} {each.state}{late}: {each.succeeded} of {each.total} done, {each.failed} failed, {doubt}"
        f"{each.batched} in batch, {each.on_demand} on demand, {100 * each.saved_share:.1f} % saved{refused}"
    )


def _is_converse(body: dict[str, Any]) -> bool:
    """Whether a model's input is a Converse request rather than a native body."""
    if "anthropic_version" in body or "inputText" in body:
        return False
    if "inferenceConfig" in body:
        return True
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(messages[0], dict):
        return False
    content = messages[0].get("content")
    return isinstance(content, list) and bool(content) and "type" not in content[0]


def answerer_of(form: str) -> ClientAnswerer | None:
    """What records of a form are; None: a provider's own bodies."""
    if form == EMBED:
        return None
    from hapenny.core.messages import Context
    from hapenny.jobs.translator import ClientAnswerer
    from hapenny.protocols.registry import codec

    return ClientAnswerer(codec(CODECS.get(form, form)), lambda who, request: Context(priority=-1, feature="batch"))


def _configured(chosen: Chosen) -> tuple[Config, tuple[BatchApiOptions, ...]]:
    """The gateway's configuration and the batch APIs to use; a bucket without a configuration means Bedrock."""
    from hapenny.backends.bedrock import BedrockOptions
    from hapenny.backends.kinds import KINDS
    from hapenny.config import BatchApiOptions, Config, ConfigError, RouteOptions, check, load

    try:
        bucket, role = chosen.bucket, chosen.role
        if chosen.config is None and bucket:
            config = Config(
                backends={"bedrock": BedrockOptions(region=chosen.region)},
                routes={"default": RouteOptions(baseline=_ANY)},
            )
            config = check(config)
        else:
            config = load(chosen.config)
        apis = config.batch.apis if config.batch is not None else ()
        if bucket:
            name = next((n for n, b in config.backends.items() if KINDS[b.kind].batch == "bedrock"), None)
            if name is None:
                raise click.UsageError("--bucket: the configuration has no backend of kind bedrock")
            if "role" in KINDS[config.backends[name].kind].batch_wants and not role:
                raise click.UsageError(
                    "--role: name the ARN of the role that Bedrock takes to read and write the bucket"
                )
            apis = (*apis, BatchApiOptions(backend=name, bucket=bucket, role=role))
    except ConfigError as error:
        raise click.ClickException("; ".join(str(problem) for problem in error.problems)) from None
    return config, apis


_ANY = "anthropic.claude-3-haiku-20240307-v1:0"
"""A baseline for a route that is never asked for a tier."""
