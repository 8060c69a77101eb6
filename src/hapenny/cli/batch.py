"""`hapenny batch`: jobs that can wait: half price where a provider has a batch API, else quietly through the gateway.

Lines of a job's file are OpenAI's (`custom_id`, `body`), Bedrock's (`recordId`, `modelInput`) or Anthropic's
(`custom_id`, `params`). A folder keeps the journal, so that a killed run goes on where it was.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click
import msgspec

from hapenny.core.clock import Clock, RealClock
from hapenny.throughput.batch.documents import DocumentOptions, Documents, Task
from hapenny.throughput.batch.engine import BatchEngine, BatchOptions, Status
from hapenny.throughput.batch.journal import Journal
from hapenny.throughput.batch.local import Local
from hapenny.throughput.batch.records import BatchProvider, JobStatus, Record, Result

if TYPE_CHECKING:
    from hapenny.gateway import Gateway

T = TypeVar("T")
FORMS = {"openai": ("custom_id", "body"), "invoke": ("recordId", "modelInput"), "anthropic": ("custom_id", "params")}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

Command = Callable[..., None]


@click.group()
def batch() -> None:
    """Submit, run, watch and fetch batch jobs; send many documents through a model."""


def _shared(command: Command) -> Command:
    for option in (
        click.option("--role", default="", help="Bedrock: ARN of the role that may read and write the bucket."),
        click.option("--bucket", default="", help="Bedrock: bucket for input and output; uses its batch API."),
        click.option("-c", "--config", type=click.Path(dir_okay=False), help="Configuration of the gateway."),
        click.option("--folder", default="hapenny-batch", show_default=True, type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


@batch.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", default="", help="Model of all records; needed for Bedrock's lines, else the lines name it.")
@click.option("--within", default="24h", show_default=True, help="Deadline from now: 90m, 24h, 2d.")
@click.option("--key", default="", help="Idempotency key: the same key is the same batch.")
@click.option("--wait", is_flag=True, help="Work on it until it is done.")
@_shared
def submit(
    file: Path, model: str, within: str, key: str, wait: bool, folder: Path, config: str | None, bucket: str, role: str
) -> None:
    """Take a file of records in; print the batch's id."""
    form, named, records = read(file.read_bytes())
    model = model or named
    if not model:
        raise click.UsageError("name the model with --model: these lines do not")
    with _Opened(folder / form, form, config, bucket, role) as opened:
        try:
            id = opened.engine.submit(records, model, seconds(within), key=key)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        click.echo(id)
        if wait:
            opened.run(_work(opened.engine, id))


@batch.command()
@_shared
def run(folder: Path, config: str | None, bucket: str, role: str) -> None:
    """Work on all open batches until they are done; can be killed and started again at any time."""
    for form in FORMS:
        if (folder / form / "journal.jsonl").exists():
            with _Opened(folder / form, form, config, bucket, role) as opened:
                opened.run(_work(opened.engine))


@batch.command()
@click.argument("id", required=False)
@click.option("--json", "as_json", is_flag=True)
@click.option("--folder", default="hapenny-batch", show_default=True, type=click.Path(path_type=Path))
def status(id: str | None, as_json: bool, folder: Path) -> None:
    """Show how batches stand."""
    found = [
        s for engine in _looks(folder) for key in engine.batches if id in (None, key) for s in [engine.status(key)]
    ]
    if id is not None and not found:
        raise click.ClickException(f"no batch {id} in {folder}")
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for each in found:
        click.echo(_line(each))


@batch.command()
@click.argument("id")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; else standard output."
)
@click.option("--folder", default="hapenny-batch", show_default=True, type=click.Path(path_type=Path))
def fetch(id: str, output: Path | None, folder: Path) -> None:
    """Write the results so far, one JSON object a line, in the order of the records."""
    for engine in _looks(folder):
        if id in engine.batches:
            data = b"".join(msgspec.json.encode(_row(result)) + b"\n" for result in engine.results(id))
            if output is None:
                click.echo(data, nl=False)
            else:
                output.write_bytes(data)
            return
    raise click.ClickException(f"no batch {id} in {folder}")


@batch.command()
@click.argument("id")
@_shared
def cancel(id: str, folder: Path, config: str | None, bucket: str, role: str) -> None:
    """Stop a batch; what has been answered is kept."""
    for form in FORMS:
        if (folder / form / id).exists():
            with _Opened(folder / form, form, config, bucket, role) as opened:
                opened.run(opened.engine.cancel(id))
                click.echo(_line(opened.engine.status(id)))
            return
    raise click.ClickException(f"no batch {id} in {folder}")


@batch.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--task", type=click.Choice(get_args(Task)), required=True)
@click.option("--model", required=True, help="Model for the parts of documents.")
@click.option("--join-model", default="", help="Model that joins the parts of one document; the same if left out.")
@click.option("--within", default="24h", show_default=True, help="Deadline of each stage.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("documents.jsonl"))
@click.option("--yes", is_flag=True, help="Do not ask after showing the cost.")
@_shared
def documents(
    directory: Path,
    task: Task,
    model: str,
    join_model: str,
    within: str,
    output: Path,
    yes: bool,
    folder: Path,
    config: str | None,
    bucket: str,
    role: str,
) -> None:
    """Summarise, extract from, classify or embed every text file below DIRECTORY."""
    from hapenny.catalog import default

    paths = sorted(p for p in directory.rglob("*") if p.suffix in (".txt", ".md") and p.is_file())
    texts = [(str(p.relative_to(directory)), p.read_text(encoding="utf-8", errors="replace")) for p in paths]
    if not texts:
        raise click.ClickException(f"no .txt or .md file below {directory}")
    options = DocumentOptions(task=task, model=model, join_model=join_model, within_s=seconds(within))
    with _Opened(folder / "invoke", "invoke", config, bucket, role) as opened:
        engine = opened.engine
        work = Documents(engine, options, f"{directory.resolve()}:{task}:{model}:{join_model}")
        ahead = work.estimate(texts, default().resolve(model))
        click.echo(
            f"{ahead.documents} documents, {ahead.chunks} parts ({ahead.duplicates} double), about "
            f"{ahead.input_tokens:,} tokens in, {ahead.output_tokens:,} out: "
            f"{_dollars(ahead.batch_nano)} in batch, {_dollars(ahead.on_demand_nano)} on demand"
        )
        if not yes:
            click.confirm("Go on?", abort=True)

        def progress(done: int, total: int) -> None:
            click.echo(f"{done} of {total} documents", err=True)

        results = opened.run(work.process(texts, progress))
        output.write_bytes(b"".join(msgspec.json.encode(result) + b"\n" for result in results))
        states = [engine.status(id) for id in engine.batches]
        batched, sent = sum(s.batched for s in states), sum(s.on_demand for s in states)
        click.echo(
            f"{sum(not r.error for r in results)} done, {sum(bool(r.error) for r in results)} failed; "
            f"{batched} requests in batch, {sent} on demand: {output}"
        )


def read(data: bytes) -> tuple[str, str, list[Record]]:
    """Form, model and records of a file's bytes. Raises `click.ClickException` naming the line that is wrong."""
    form = model = ""
    records = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
            found = next(f for f, (id, body) in FORMS.items() if id in row and body in row)
        except (msgspec.DecodeError, StopIteration, TypeError):
            raise click.ClickException(
                f"line {number} is neither OpenAI's (custom_id, body), Bedrock's (recordId, modelInput) "
                "nor Anthropic's (custom_id, params)"
            ) from None
        if form and found != form:
            raise click.ClickException(f"line {number} is of form {found}, the lines before of form {form}")
        form = found
        id, key = FORMS[form]
        body = dict(row[key])
        named = body.pop("model", "")
        if model and named != model:
            raise click.ClickException(f"line {number} is for the model {named!r}, the lines before for {model!r}")
        model = named
        records.append(Record(str(row[id]), body))
    if not records:
        raise click.ClickException("the file holds no records")
    return form, model, records


def seconds(text: str) -> float:
    """`90m` and the like in seconds."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise click.UsageError(f"{text!r} is no span of time; write 90m, 24h or 2d")
    return float(found[1]) * _SECONDS[found[2]]


class _Opened:
    """An engine whose local calls go through a gateway that lives as long as the loop that uses it."""

    def __init__(self, folder: Path, form: str, config: str | None, bucket: str, role: str) -> None:
        self._clock = RealClock()
        try:
            self._journal = Journal(folder)
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
        providers: dict[str, BatchProvider] = {}
        if bucket:
            if form != "invoke":
                raise click.UsageError("Bedrock's batch API takes lines with recordId and modelInput")
            providers["bedrock"] = _bedrock(self._clock, bucket, role)
        self._through = _ThroughGateway(form, config, self._clock)
        local = Local(self._through, self._clock)
        options = BatchOptions(poll_s=5.0) if not providers else BatchOptions()
        self.engine = BatchEngine(self._journal, providers, local, self._clock, options)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` on a loop of its own, and lets go of the gateway it used."""

        async def closing() -> T:
            try:
                return await work
            finally:
                await self._through.aclose()

        return asyncio.run(closing())

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()


def _bedrock(clock: Clock, bucket: str, role: str) -> BatchProvider:
    try:
        import boto3
    except ImportError:
        raise click.ClickException("Bedrock's batch API needs boto3: pip install 'hapenny[aws]'") from None
    from hapenny.throughput.batch.bedrock import BedrockBatch, S3Bucket

    if not role:
        raise click.UsageError("--role: name the ARN of the role that Bedrock takes to read and write the bucket")
    return BedrockBatch(boto3.client("bedrock"), S3Bucket(boto3.client("s3"), bucket), clock, role=role)


class _ThroughGateway:
    """Answers a record through a gateway, made at the first call, at background priority."""

    def __init__(self, form: str, config: str | None, clock: Clock) -> None:
        from hapenny.config import ConfigError, load
        from hapenny.protocols.registry import codec

        try:
            self._config = load(config)
        except ConfigError as error:
            raise click.ClickException("; ".join(str(problem) for problem in error.problems)) from None
        self._named = form != "invoke"
        self._codec = codec(form)
        self._clock = clock
        self._gateway: Gateway | None = None

    async def __call__(self, model: str, record: Record) -> dict[str, Any]:
        from hapenny.core.messages import Context

        if self._gateway is None:
            from hapenny.gateway import Gateway

            self._gateway = Gateway(self._config, clock=self._clock)
            await self._gateway.start()
        body = msgspec.json.encode({**record.body, "model": model} if self._named else record.body)
        request = self._codec.decode_request(body, model=model, stream=False, headers={})
        completion, _ = await self._gateway.complete(request, Context(priority=-1, feature="batch"))
        answer: dict[str, Any] = msgspec.json.decode(self._codec.encode_answer(completion, request))
        return answer

    async def aclose(self) -> None:
        """Lets go of the gateway; its ledger is written."""
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            await gateway.aclose()


class _Elsewhere:
    """Stands for a provider when one only looks at a journal."""

    name, price, least, most, turnaround_s = "bedrock", 0.5, 1, 1, 0.0

    async def create(self, token: str, model: str, records: Any) -> str:
        raise RuntimeError("only looking")

    async def status(self, job: str) -> JobStatus:
        raise RuntimeError("only looking")

    async def results(self, job: str) -> list[Result]:
        raise RuntimeError("only looking")

    async def stop(self, job: str) -> None:
        raise RuntimeError("only looking")


def _looks(folder: Path) -> list[BatchEngine]:
    async def never(model: str, record: Record) -> dict[str, Any]:
        raise RuntimeError("only looking")

    clock = RealClock()
    return [
        BatchEngine(Journal(folder / form, look=True), {"bedrock": _Elsewhere()}, Local(never, clock), clock)
        for form in FORMS
        if (folder / form / "journal.jsonl").exists()
    ]


async def _work(engine: BatchEngine, *ids: str) -> None:
    async def report() -> None:
        while True:
            await asyncio.sleep(10)
            for id in ids or [key for key, each in engine.batches.items() if not each.done]:
                click.echo(_line(engine.status(id)), err=True)

    reporter = asyncio.get_running_loop().create_task(report())
    try:
        await engine.run(*ids)
    finally:
        reporter.cancel()
    for id in ids or list(engine.batches):
        click.echo(_line(engine.status(id)), err=True)


def _line(each: Status) -> str:
    late = " LATE" if each.late else ""
    return (
        f"{each.id} {each.state}{late}: {each.succeeded} of {each.total} done, {each.failed} failed, "
        f"{each.batched} in batch, {each.on_demand} on demand, {100 * each.saved_share:.1f} % saved"
    )


def _row(result: Result) -> dict[str, Any]:
    if result.output is not None:
        return {"id": result.id, "output": result.output}
    return {"id": result.id, "error": result.error}


def _dollars(nano: int | None) -> str:
    return "unpriced" if nano is None else f"${nano / 1e9:,.4f}"


__all__ = ["batch"]
