"""`hapenny index`: build, search, explain, evaluate, train and tune a collection."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click
import msgspec

from hapenny.cli.index_build import build
from hapenny.cli.index_tune import tune
from hapenny.cli.opened import EMBEDDER, FOLDER, open_folder
from hapenny.cli.printable import say, say_json
from hapenny.core.clock import RealClock
from hapenny.retrieval.folder import Folder, FolderError, read_settings
from hapenny.retrieval.search.scoring import Popularity
from hapenny.retrieval.settings import PRESETS, Settings
from hapenny.retrieval.tune.training import Judged


@click.group()
def index() -> None:
    """Collections of documents: build, search, explain, evaluate, train, tune."""


index.add_command(build)
index.add_command(tune)


@index.command()
@FOLDER
@click.argument("query")
@EMBEDDER
@click.option("-k", type=click.IntRange(1, 100), help="Results; without it the score decides, 2 to 5.")
@click.option("--filter", "where", help='JSON, as {"field": "year", "gte": 2000}.')
@click.option("--settings", help="A YAML file or a preset.")
def search(
    folder: Path, query: str, embedder: str | None, k: int | None, where: str | None, settings: str | None
) -> None:
    """Search FOLDER for QUERY."""
    for number, hit in enumerate(_search(folder, query, embedder, k, where, settings), 1):
        say(f"{number}. {hit['score']:.4f}  {hit['id']}  {hit['title']}")
        say(f"   {hit['text'][:160]}")


@index.command()
@FOLDER
@click.argument("query")
@EMBEDDER
@click.option("-k", type=click.IntRange(1, 100), default=5)
@click.option("--filter", "where", help="JSON.")
@click.option("--settings", help="A YAML file or a preset.")
def explain(folder: Path, query: str, embedder: str | None, k: int, where: str | None, settings: str | None) -> None:
    """Say for each result why it stands where it stands (one JSON object a line)."""
    for hit in _search(folder, query, embedder, k, where, settings):
        say_json(json.dumps({"id": hit["id"], "score": hit["score"]} | hit["explain"], ensure_ascii=False))


@index.command("eval")
@FOLDER
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@EMBEDDER
@click.option("--settings", help="A YAML file or a preset; the folder's own if left out.")
@click.option("--against", help="Settings to compare with: a YAML file or a preset.")
def evaluate(folder: Path, queries: Path, embedder: str | None, settings: str | None, against: str | None) -> None:
    """Measure FOLDER on judged QUERIES (JSON lines: query, judgements)."""
    from hapenny.retrieval.tune import evaluation

    opened = open_folder(folder, embedder, read_only=True)
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
    say_json(json.dumps(out))


@index.command()
@FOLDER
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@EMBEDDER
@click.option("--floor", is_flag=True, help="Also find the relevance floor: what scores less is never sent.")
@click.option("--keep", default=0.95, type=click.FloatRange(0.5, 1.0), help="With --floor: relevant share that passes.")
def train(folder: Path, queries: Path, embedder: str | None, floor: bool, keep: float) -> None:
    """Learn noise words, preferred fields and the ranker from judged QUERIES, and switch them on in FOLDER.

    Clicks do as well: give each document clicks over views as its grade.
    """
    from hapenny.retrieval.tune import evaluation, training
    from hapenny.retrieval.tune.ranker_training import TrainerMissing

    opened = open_folder(folder, embedder)
    try:
        rows = evaluation.by_chunk(_judged(queries, opened), opened.manifest())
        noise = tuple(sorted(training.noise_words(opened.store, rows)))
        settings = msgspec.structs.replace(opened.settings(), noise=noise, rerank="learned")
        settings = training.with_prior(settings, training.learn_prior(opened.retriever(settings), rows))
        learnt_from = training.examples(opened.retriever(settings), rows)
        if not len(learnt_from.gains):
            raise click.ClickException("no judged query finds a relevant document: nothing to learn from")
        forest = training.fit([learnt_from])
        if floor:
            lowest = training.relevance_floor(opened.retriever(settings), rows, keep)
            chosen = msgspec.structs.replace(settings.selection, floor=lowest)
            settings = msgspec.structs.replace(settings, selection=chosen)
        opened.write_settings(settings)
        opened.write_forest(forest)
    except TrainerMissing as error:
        raise click.ClickException(str(error)) from error
    finally:
        opened.close()
    preferred = [rule.fields for rule in settings.scoring.rules if isinstance(rule, Popularity)]
    report = {"noise": noise, "preferred": preferred, "rows": len(learnt_from.gains), "trees": forest.trees}
    say_json(json.dumps(report | ({"floor": settings.selection.floor} if floor else {})))


def _search(
    folder: Path, query: str, embedder: str | None, k: int | None, where: str | None, settings: str | None
) -> list[dict[str, Any]]:
    from hapenny.core.errors import Failure
    from hapenny.retrieval.endpoint import retrieve

    opened = open_folder(folder, embedder, read_only=True)
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
    learnt_from: list[dict[str, Any]] = answer["data"]
    return learnt_from


def _judged(path: Path, opened: Folder) -> list[Judged]:
    from hapenny.retrieval.tune import evaluation

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
