"""`hapenny batch`: jobs that can wait: half price where a provider has a batch API, else quietly through the gateway.

Lines of a job's file are OpenAI's (`custom_id`, `body`), Bedrock's (`recordId`, `modelInput`, in both record formats)
or Anthropic's (`custom_id`, `params`); each may name its own model. Which batch APIs there are says the configuration
(`batch.apis`), or `--bucket` for Bedrock. A folder keeps the journal, so that a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from hapenny.batch.documents import DocumentOptions, Documents, Task
from hapenny.batch.records import Result
from hapenny.cli.batching import EMBED, REGION, Chosen, Opened, chosen_for, line, look, read, seconds, work
from hapenny.cli.printable import say, say_json

Command = Callable[..., None]


@click.group()
def batch() -> None:
    """Submit, run, watch and fetch batch jobs; send many documents through a model."""


def _shared(command: Command) -> Command:
    for option in (
        click.option(
            "--spread",
            default="",
            metavar="STORE",
            help="Have workers (hapenny batch work STORE) send what no batch API takes: redis://…, sqs://…, s3://…",
        ),
        click.option("--region", default=REGION, show_default=True, help="Bedrock's, without a configuration."),
        click.option("--role", default="", help="Bedrock: ARN of the role that may read and write the bucket."),
        click.option("--bucket", default="", help="Bedrock: bucket for input and output; uses its batch API."),
        click.option("-c", "--config", type=click.Path(dir_okay=False), help="Configuration of the gateway."),
        click.option("--folder", default="hapenny-batch", show_default=True, type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


@batch.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", default="", help="Model of all records; Bedrock's lines need it, others may name their own.")
@click.option("--within", default="24h", show_default=True, help="Deadline from now: 90m, 24h, 2d.")
@click.option("--key", default="", help="Idempotency key: the same key is the same batch.")
@click.option("--wait", is_flag=True, help="Work on it until it is done.")
@_shared
def submit(
    file: Path,
    model: str,
    within: str,
    key: str,
    wait: bool,
    folder: Path,
    config: str | None,
    bucket: str,
    role: str,
    region: str,
    spread: str,
) -> None:
    """Take a file of records in; print the batch's id."""
    form, records = read(file.read_bytes(), model)
    chosen = Chosen.of(config, bucket, role, region)
    with Opened(folder / form, form, chosen, spread) as opened:
        try:
            id = opened.engine.submit(records, "", seconds(within), key=key, metadata=chosen.kept())
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from None
        say(id)
        if wait:
            opened.run(work(opened.engine, id))


@batch.command()
@_shared
def run(folder: Path, config: str | None, bucket: str, role: str, region: str, spread: str) -> None:
    """Work on all open batches until they are done; can be killed and started again at any time. Each goes on with what
    it was submitted with, unless a configuration or a bucket is given here."""
    given = Chosen.of(config, bucket, role, region)
    for form, engine in look(folder).items():
        groups: dict[Chosen, list[str]] = {}
        for batch in engine.batches.values():
            if not batch.done:
                groups.setdefault(given if given != Chosen() else chosen_for(batch), []).append(batch.id)
        for chosen, ids in groups.items():
            with Opened(folder / form, form, chosen, spread) as opened:
                opened.run(work(opened.engine, *ids))


@batch.command()
@click.argument("id", required=False)
@click.option("--json", "as_json", is_flag=True)
@click.option("--folder", default="hapenny-batch", show_default=True, type=click.Path(path_type=Path))
def status(id: str | None, as_json: bool, folder: Path) -> None:
    """Show how batches stand."""
    stands = [engine.status(key) for engine in look(folder).values() for key in engine.batches if id in (None, key)]
    if id is not None and not stands:
        raise click.ClickException(f"no batch {id} in {folder}")
    if as_json:
        say_json(msgspec.json.encode(stands))
        return
    for each in stands:
        say(line(each))


@batch.command()
@click.argument("id")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; else standard output."
)
@click.option("--folder", default="hapenny-batch", show_default=True, type=click.Path(path_type=Path))
def fetch(id: str, output: Path | None, folder: Path) -> None:
    """Write the results so far, one JSON object a line, in the order of the records."""
    for engine in look(folder).values():
        if id in engine.batches:
            data = b"".join(msgspec.json.encode(_row(result)) + b"\n" for result in engine.results(id))
            if output is None:
                click.echo(data, nl=False)
            else:
                output.write_bytes(data)
            return
    raise click.ClickException(f"no batch {id} in {folder}")


@batch.command("work")
@click.argument("store")
@click.option("-c", "--config", type=click.Path(dir_okay=False), help="Configuration of the gateway.")
@click.option("--idle", default="", metavar="SPAN", help="End after so long without work: 90s, 10m. None: never.")
@click.option(
    "--lease",
    default="30s",
    show_default=True,
    metavar="SPAN",
    help="After so long without a sign of life others take over what this worker has not begun.",
)
def work_(store: str, config: str | None, idle: str, lease: str) -> None:
    """Answer records of batches that somebody spreads over STORE (redis://…, postgresql://…, s3://BUCKET/PREFIX,
    sqs://QUEUE.fifo/BUCKET/PREFIX, or the path of a SQLite file). As many workers as there are machines; one that is
    killed is made up for by the others, and one that is stopped goes on with what it had under way."""
    from hapenny.cli.batch_work import answer

    answer(store, config, seconds(idle) if idle else None, seconds(lease))


@batch.command()
@click.argument("id")
@click.option("--within", default="24h", show_default=True, help="Deadline from now, if it is later than the batch's.")
@click.option("--folder", default="hapenny-batch", show_default=True, type=click.Path(path_type=Path))
def again(id: str, within: str, folder: Path) -> None:
    """Have the records of a batch asked again of which it is in doubt whether they were answered when a worker was
    killed, and which are held back because of that (`batch.in_doubt: hold`); `hapenny batch run` then asks them."""
    for form, engine in look(folder).items():
        if id in engine.batches:
            with Opened(folder / form, form, chosen_for(engine.batches[id])) as opened:
                say(f"{opened.engine.again(id, seconds(within))} records will be asked again")
            return
    raise click.ClickException(f"no batch {id} in {folder}")


@batch.command()
@click.argument("id")
@_shared
def cancel(id: str, folder: Path, config: str | None, bucket: str, role: str, region: str, spread: str) -> None:
    """Stop a batch; what has been answered is kept."""
    given = Chosen.of(config, bucket, role, region)
    for form, engine in look(folder).items():
        if id in engine.batches:
            chosen = given if given != Chosen() else chosen_for(engine.batches[id])
            with Opened(folder / form, form, chosen) as opened:
                opened.run(opened.engine.cancel(id))
                say(line(opened.engine.status(id)))
            return
    raise click.ClickException(f"no batch {id} in {folder}")


@batch.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--task", type=click.Choice(get_args(Task)), required=True)
@click.option("--model", required=True, help="Model for the parts of documents.")
@click.option("--join-model", default="", help="Model that joins the parts of one document; the same if left out.")
@click.option("--within", default="24h", show_default=True, help="Deadline of each stage.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("documents.jsonl"))
@click.option("--shard", type=click.IntRange(min=1), default=200, show_default=True, help="Documents of one batch.")
@click.option("--yes", is_flag=True, help="Do not ask after showing the cost.")
@_shared
def documents(
    directory: Path,
    task: Task,
    model: str,
    join_model: str,
    within: str,
    output: Path,
    shard: int,
    yes: bool,
    folder: Path,
    config: str | None,
    bucket: str,
    role: str,
    region: str,
    spread: str,
) -> None:
    """Summarise, extract from, classify or embed every document below DIRECTORY (text, Markdown, HTML, PDF, CSV, JSON
    lines). A run that was killed goes on where it was; a repeated one asks only for what is new or changed."""
    from hapenny.retrieval import readers

    texts = []
    for path in readers.files(directory):
        try:
            for each in readers.read(path, directory):
                title = "" if each.title in (path.stem, path.name) else each.title  # a file's name says nothing
                texts.append((each.id, "\n\n".join(filter(None, (title, each.text)))))
        except readers.UnreadableFile as error:
            say(f"left out: {error}", err=True)
    if not texts:
        raise click.ClickException(f"no document below {directory}: {', '.join(readers.SUFFIXES)}")
    options = DocumentOptions(task=task, model=model, join_model=join_model, within_s=seconds(within), shard=shard)
    form = EMBED if task == "embed" else "converse"
    chosen = Chosen.of(config, bucket, role, region)
    with Opened(folder / form, form, chosen, spread) as opened:
        run = f"{directory.resolve()}:{task}:{model}:{join_model}"
        work = Documents(opened.engine, options, run, metadata=chosen.kept())
        ahead = work.estimate(texts, opened.rates)
        say(
            f"{ahead.documents} documents, {ahead.chunks} parts ({ahead.duplicates} double), about "
            f"{ahead.input_tokens:,} tokens in, {ahead.output_tokens:,} out to ask for: "
            f"{_dollars(ahead.batch_nano)} in batch, {_dollars(ahead.on_demand_nano)} on demand"
        )
        if not yes:
            click.confirm("Go on?", abort=True)

        def progress(done: int, total: int) -> None:
            say(f"{done} of {total} documents", err=True)

        results = opened.run(work.process(texts, progress))
        output.write_bytes(b"".join(msgspec.json.encode(result) + b"\n" for result in results))
        spent = work.spent(opened.rates)
        say(
            f"{sum(not r.error for r in results)} done, {sum(bool(r.error) for r in results)} failed: {output}\n"
            f"{spent.batched} answers in batch, {spent.alone} one by one; {spent.input_tokens:,} tokens in, "
            f"{spent.output_tokens:,} out: {_dollars(spent.nano)}, on demand {_dollars(spent.on_demand_nano)}"
        )


def _row(result: Result) -> dict[str, Any]:
    if result.output is not None:
        return {"id": result.id, "output": result.output}
    return {"id": result.id, "error": result.error}


def _dollars(nano: int | None) -> str:
    return "unpriced" if nano is None else f"${nano / 1e9:,.4f}"


__all__ = ["batch"]
