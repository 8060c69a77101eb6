"""`hapenny index`: build, search, explain, evaluate, train and tune a collection."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click
import msgspec

from hapenny.core.clock import RealClock
from hapenny.retrieval.folder import Folder, FolderError, read_settings
from hapenny.retrieval.settings import PRESETS, Settings
from hapenny.retrieval.training import Judged
from hapenny.vectors.embedder import Embedder

_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
_EMBEDDER = click.option(
    "--embedder",
    type=click.Choice(["minilm", "hashed"]),
    default="minilm",
    help="minilm needs `hapenny setup local`; hashed words need nothing and find less.",
)


@click.group()
def index() -> None:
    """Collections of documents: build, search, explain, evaluate, train, tune."""


@index.command()
@_FOLDER
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@_EMBEDDER
@click.option("--language", type=click.Choice(["auto", "en", "vi", "ja", "other"]), default="auto")
@click.option("--size", default=256, help="Tokens of a chunk, estimated.")
@click.option("--overlap", default=32, help="Tokens two neighbouring chunks share.")
@click.option("--complete", is_flag=True, help="PATHS are all there is: remove what is no longer among them.")
@click.option("--sentences", is_flag=True, help="Keep sentence vectors, for pruning at request time.")
def build(
    folder: Path,
    paths: tuple[Path, ...],
    embedder: str,
    language: str,
    size: int,
    overlap: int,
    complete: bool,
    sentences: bool,
) -> None:
    """Index files (Markdown, HTML, PDF, JSON lines, CSV, text) into FOLDER; repeat it after changes."""
    from hapenny.retrieval import readers
    from hapenny.retrieval.analysis import detect
    from hapenny.retrieval.chunking import Chunking
    from hapenny.retrieval.ingest import Ingest, Progress

    documents = []
    for path in paths:
        for file in readers.files(path):
            try:
                documents += readers.read(file, path)
            except readers.UnreadableFile as error:
                click.echo(f"left out: {error}", err=True)
    if not documents:
        raise click.ClickException(f"nothing readable; formats: {', '.join(readers.SUFFIXES)}")
    found = detect(document.searchable() for document in documents[:2000])
    chosen = found if language == "auto" else msgspec.convert(language, type(found))
    opened = _open(folder, embedder, language=chosen)
    manifest = opened.manifest()

    def tell(progress: Progress) -> None:
        click.echo(f"{progress.documents} documents, {progress.chunks} new chunks", err=True)

    try:
        how = Chunking(size=size, overlap=overlap)
        ingest = Ingest(opened.store, opened.embedder, manifest, how, keep_sentences=sentences, on_progress=tell)
        done = asyncio.run(ingest.run(documents, complete=complete))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    finally:
        manifest.close()
        opened.close()
    click.echo(json.dumps(msgspec.to_builtins(done) | {"language": opened.store.language}))


@index.command()
@_FOLDER
@click.argument("query")
@_EMBEDDER
@click.option("-k", type=click.IntRange(1, 100), help="Results; without it the score decides, 2 to 5.")
@click.option("--filter", "where", help='JSON, as {"field": "year", "gte": 2000}.')
@click.option("--settings", help="A YAML file or a preset.")
def search(folder: Path, query: str, embedder: str, k: int | None, where: str | None, settings: str | None) -> None:
    """Search FOLDER for QUERY."""
    for number, hit in enumerate(_search(folder, query, embedder, k, where, settings), 1):
        click.echo(f"{number}. {hit['score']:.4f}  {hit['id']}  {hit['title']}")
        click.echo(f"   {hit['text'][:160]}")


@index.command()
@_FOLDER
@click.argument("query")
@_EMBEDDER
@click.option("-k", type=click.IntRange(1, 100), default=5)
@click.option("--filter", "where", help="JSON.")
@click.option("--settings", help="A YAML file or a preset.")
def explain(folder: Path, query: str, embedder: str, k: int, where: str | None, settings: str | None) -> None:
    """Say for each result why it stands where it stands (one JSON object a line)."""
    for hit in _search(folder, query, embedder, k, where, settings):
        click.echo(json.dumps({"id": hit["id"], "score": hit["score"]} | hit["explain"], ensure_ascii=False))


@index.command("eval")
@_FOLDER
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@_EMBEDDER
@click.option("--settings", help="A YAML file or a preset; the folder's own if left out.")
@click.option("--against", help="Settings to compare with: a YAML file or a preset.")
def evaluate(folder: Path, queries: Path, embedder: str, settings: str | None, against: str | None) -> None:
    """Measure FOLDER on judged QUERIES (JSON lines: query, judgements)."""
    from hapenny.retrieval import evaluation

    opened = _open(folder, embedder, read_only=True)
    try:
        rows = _judged(queries, opened)
        one = evaluation.evaluate(opened.retriever(_settings(settings)), rows)
        out: dict[str, Any] = one.quality.plain() | {"ndcg10_95": [round(one.low, 4), round(one.high, 4)]}
        if against:
            two = evaluation.evaluate(opened.retriever(_settings(against)), rows)
            gap = evaluation.compare(two, one)
            out["against"] = two.quality.plain()
            out["gain"] = {key: round(value, 4) for key, value in msgspec.to_builtins(gap).items()}
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{queries}: {error}") from error
    finally:
        opened.close()
    click.echo(json.dumps(out))


@index.command()
@_FOLDER
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@_EMBEDDER
def train(folder: Path, queries: Path, embedder: str) -> None:
    """Learn noise words and the ranker from judged QUERIES, and switch them on in FOLDER."""
    from hapenny.retrieval import evaluation, training

    opened = _open(folder, embedder)
    try:
        rows = evaluation.by_chunk(_judged(queries, opened), opened.manifest())
        noise = tuple(sorted(training.noise_words(opened.store, rows)))
        settings = msgspec.structs.replace(opened.settings(), noise=noise, rerank="learned")
        found = training.examples(opened.retriever(settings), rows)
        if not len(found.gains):
            raise click.ClickException("no judged query finds a relevant document: nothing to learn from")
        forest = training.fit([found])
        opened.write_settings(settings)
        opened.write_forest(forest)
    finally:
        opened.close()
    click.echo(json.dumps({"noise": noise, "rows": len(found.gains), "trees": len(forest.leaves)}))


@index.command()
@_FOLDER
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@_EMBEDDER
@click.option("--target", default=0.95, help="Recall at 10 to promise.")
@click.option("--apply", "write", is_flag=True, help="Rebuild FOLDER in the chosen shape.")
def tune(folder: Path, queries: Path, embedder: str, target: float, write: bool) -> None:
    """Find the fastest vector index that surely reaches the recall, on real QUERIES (JSON lines with `query`)."""
    import numpy as np

    from hapenny.retrieval.tuner import tune as choose

    opened = _open(folder, embedder, read_only=not write)
    try:
        texts = [str(msgspec.json.decode(line)["query"]) for line in queries.read_bytes().splitlines() if line.strip()]
        asked = asyncio.run(opened.embedder.embed(texts))
        rows = np.flatnonzero(opened.store.columns.live)
        vectors = opened.store.vectors(rows)
        tuned = choose(vectors, asked, target, RealClock(), progress=lambda text: click.echo(text, err=True))
        if write:
            opened.write_shape(tuned.chosen.shape)
    except (ValueError, KeyError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        opened.close()
    for trial in sorted(tuned.trials, key=lambda each: each.p50_ms):
        mark = "*" if trial is tuned.chosen else " "
        shape = trial.shape
        click.echo(
            f"{mark} {shape.kind:9} m={shape.m:<3} effort={shape.effort:<4} probes={shape.probes:<4}"
            f" recall {trial.recall:.4f} (surely {trial.lower:.4f})  p50 {trial.p50_ms:.3f} ms"
            f"  {trial.memory / 1e6:.1f} MB  built in {trial.build:.1f} s"
        )


def _search(
    folder: Path, query: str, embedder: str, k: int | None, where: str | None, settings: str | None
) -> list[dict[str, Any]]:
    from hapenny.core.errors import Failure
    from hapenny.retrieval.endpoint import retrieve

    opened = _open(folder, embedder, read_only=True)
    try:
        body = {"query": query, "k": k, "explain": True, "filter": json.loads(where) if where else None}
        collection = opened.collection("c", RealClock())
        chosen = _settings(settings)
        if chosen is not None:
            collection.retriever = opened.retriever(chosen)
        answer = asyncio.run(retrieve(json.dumps(body).encode(), {"c": collection}, opened.embedder.embed))
    except (Failure, ValueError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        opened.close()
    found: list[dict[str, Any]] = answer["data"]
    return found


def _judged(path: Path, opened: Folder) -> list[Judged]:
    from hapenny.retrieval import evaluation

    return asyncio.run(evaluation.judged(evaluation.read_judged(path), opened.embedder, opened.manifest()))


def _settings(name: str | None) -> Settings | None:
    if name is None:
        return None
    if name in PRESETS:
        return PRESETS[name]
    try:
        return read_settings(Path(name))
    except FolderError as error:
        raise click.ClickException(f"{error}; presets are {', '.join(PRESETS)}") from error


def _open(folder: Path, embedder: str, *, language: Any = "en", read_only: bool = False) -> Folder:
    try:
        return Folder(folder, _embedder(embedder), language, read_only=read_only)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _embedder(name: str) -> Embedder:
    if name == "hashed":
        from hapenny.vectors.hashed import HashedEmbedder

        return HashedEmbedder()
    from hapenny.vectors.minilm import MiniLM
    from hapenny.vectors.weights import ModelMissing

    model = MiniLM(RealClock())
    try:
        model.load()
    except (ModelMissing, ImportError) as error:
        raise click.ClickException(f"{error}; or take --embedder hashed") from error
    return model
