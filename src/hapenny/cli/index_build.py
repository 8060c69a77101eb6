"""`hapenny index build`: files into a collection, and a word on everything that is not in it as its file has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from hapenny.cli.opened import EMBEDDER, FOLDER, open_folder
from hapenny.cli.printable import say, say_json
from hapenny.retrieval.chunking import Chunking
from hapenny.retrieval.documents import Document
from hapenny.retrieval.folder import Folder
from hapenny.retrieval.ingest import Ingest, Progress
from hapenny.retrieval.ingest.manifest import CHUNKING, Manifest
from hapenny.retrieval.stores.layout import Layout
from hapenny.retrieval.tune.chunk_size import Sized

_SHOWN = 20
"""Merged and alike chunks that are named on the terminal; the JSON line names all merged ones."""


@click.command()
@FOLDER
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@EMBEDDER
@click.option("--language", type=click.Choice(["auto", "en", "vi", "ja", "other"]), default="auto")
@click.option(
    "--size",
    type=click.IntRange(min=16),
    help="Tokens of a chunk, estimated. Left out: as it is; of a new collection chosen on its own documents.",
)
@click.option("--overlap", type=click.IntRange(min=0), help="Tokens two neighbouring chunks share.")
@click.option(
    "--questions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="To choose the size by: JSON lines with `query` and `evidence`, sentences that answer it. Else they are made.",
)
@click.option("--complete", is_flag=True, help="PATHS are all there is: remove what is no longer among them.")
@click.option("--keep-duplicates", is_flag=True, help="Store every chunk, also where another one has the same words.")
@click.option("--tenant", default="", help="Tenant of files and rows that name none: nobody else sees them.")
@click.option("--groups", default="", help="Groups, comma-separated, of files and rows that name none.")
@click.option("--sentences", is_flag=True, help="Keep sentence vectors, for pruning at request time.")
@click.option(
    "--postgres", metavar="DSN", help="Keep rows and indexes in PostgreSQL with pgvector; FOLDER the settings."
)
@click.option("--name", default="hapenny_retrieval", help="With --postgres: prefix of the tables.")
@click.option("--shards", type=click.IntRange(2, 256), help="Split the collection into so many parts.")
@click.option("--shard-by", default="@tenant", help="With --shards: the facet that decides; a document's tenant.")
def build(
    folder: Path,
    paths: tuple[Path, ...],
    embedder: str | None,
    language: str,
    size: int | None,
    overlap: int | None,
    questions: Path | None,
    complete: bool,
    keep_duplicates: bool,
    tenant: str,
    groups: str,
    sentences: bool,
    postgres: str | None,
    name: str,
    shards: int | None,
    shard_by: str,
) -> None:
    """Index files (Markdown, HTML, PDF, JSON, CSV, text) into FOLDER; repeat it after changes.

    Columns `tenant` and `groups` of rows, and the same fields in a file's front matter, bound who sees a document.
    """
    from hapenny.retrieval import readers
    from hapenny.retrieval.access import AccessError, read_access
    from hapenny.retrieval.analysis import detect
    from hapenny.retrieval.ingest.file_ids import name_files, note_files

    try:
        access = read_access({"tenant": tenant, "groups": groups})
    except AccessError as error:
        raise click.UsageError(str(error)) from error
    notices: list[str] = []
    documents: list[Document] = []
    known = Manifest.at(folder)
    try:
        named = name_files(paths, known, notices)
        for file, id in named:
            try:
                reading = readers.load(file, id, access)
            except readers.UnreadableFile as error:
                notices.append(f"left out: {error}")
                continue
            documents += reading.documents
            notices += reading.left_out
    finally:
        known.close()
    for path in paths:
        if passed := readers.unread(path):
            notices.append(f"left out below {path}: {passed}")
    for line in notices:
        say(line, err=True)
    if not documents:
        raise click.ClickException(f"nothing readable; formats: {', '.join(readers.SUFFIXES)}")
    detected = detect(document.searchable() for document in documents[:2000])
    chosen = detected if language == "auto" else msgspec.convert(language, type(detected))
    opened = open_folder(folder, embedder, language=chosen, layout=_layout(postgres, name, shards, shard_by))
    manifest = opened.manifest()

    def tell(progress: Progress) -> None:
        say(f"{progress.documents} documents, {progress.chunks} new chunks", err=True)

    try:
        given = questions.read_bytes() if questions is not None else None
        how, measured = asyncio.run(_chunking(opened, manifest, documents, size, overlap, given))
        ingest = Ingest(
            opened.store,
            opened.embedder,
            manifest,
            how,
            merge=not keep_duplicates,
            keep_sentences=sentences,
            on_progress=tell,
        )
        done = asyncio.run(ingest.run(documents, complete=complete))
        note_files(named, manifest)
        manifest.note(CHUNKING, msgspec.json.encode(how).decode())
        manifest.commit()
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    finally:
        manifest.close()
        opened.close()
    _tell(done)
    report = msgspec.to_builtins(done) | {"language": opened.store.analyser.language, "near": len(done.near)}
    report["chunking"] = {"size": how.size, "overlap": how.overlap} | (
        {"measured": {str(each.size): each.mean() for each in measured}} if measured else {}
    )
    say_json(json.dumps(report, ensure_ascii=False))


async def _chunking(
    opened: Folder,
    manifest: Manifest,
    documents: Sequence[Document],
    size: int | None,
    overlap: int | None,
    questions: bytes | None,
) -> tuple[Chunking, list[Sized]]:
    """How to cut documents: as told, as the collection was cut before, or as is best for what is in it."""
    from hapenny.retrieval.tune.chunk_size import choose_size, read_evidence

    noted = manifest.noted(CHUNKING)
    if size is not None:
        return Chunking(size=size, overlap=min(32, size // 2) if overlap is None else overlap), []
    if noted and questions is None:
        known = msgspec.json.decode(noted, type=Chunking)
        return known if overlap is None else msgspec.structs.replace(known, overlap=overlap), []
    if manifest.ids() and questions is None:  # cut before sizes were noted
        return Chunking() if overlap is None else Chunking(overlap=overlap), []
    embedder = opened.embedder
    asked = await read_evidence(questions, embedder) if questions is not None else []
    measured = await choose_size(
        documents, embedder, opened.store.analyser.language, asked, lambda line: say(line, err=True)
    )
    chosen = measured[0].size if measured else Chunking().size
    return Chunking(size=chosen, overlap=chosen // 8 if overlap is None else overlap), measured


def _tell(done: Progress) -> None:
    """Names what is stored once for several, and what is nearly alike."""
    for piece, kept in done.merges[:_SHOWN]:
        say(f"merged: {piece} has the words of {kept}, which stands for both", err=True)
    if len(done.merges) > _SHOWN:
        say(f"merged: {len(done.merges) - _SHOWN} more; --keep-duplicates stores them all", err=True)
    for piece, other, alike in done.near[:_SHOWN]:
        say(f"alike, both kept: {piece} and {other} ({alike:.0%})", err=True)
    if len(done.near) > _SHOWN:
        say(f"alike, both kept: {len(done.near) - _SHOWN} more pairs", err=True)


def _layout(postgres: str | None, name: str, shards: int | None, by: str) -> Layout | None:
    """What was asked for; None leaves it as it is."""
    if postgres and shards:
        raise click.UsageError("--postgres or --shards, not both")
    if postgres:
        return Layout(kind="postgres", dsn=postgres, name=name)
    return Layout(kind="sharded", shards=shards, by=by) if shards else None
