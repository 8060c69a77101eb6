"""`hapenny index tune`: the index shape, its promise, and the size of chunks, by measurement."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click
import msgspec
import numpy as np

from hapenny.cli.opened import EMBEDDER, FOLDER, open_folder
from hapenny.cli.printable import say, say_json
from hapenny.core.clock import RealClock
from hapenny.retrieval.folder import Folder


@click.command()
@FOLDER
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@EMBEDDER
@click.option("--target", default=0.95, help="Recall at 10 to promise.")
@click.option("--apply", "write", is_flag=True, help="Rebuild FOLDER in the chosen shape.")
@click.option("--check", is_flag=True, help="Only measure whether the promise of the last --apply still holds.")
@click.option(
    "--chunks",
    "sources",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Find the best chunk size of these files instead; QUERIES name their `evidence`, a list of sentences.",
)
@click.option("--budget", default=600, help="With --chunks: tokens sent a question.")
def tune(
    folder: Path,
    queries: Path,
    embedder: str | None,
    target: float,
    write: bool,
    check: bool,
    sources: tuple[Path, ...],
    budget: int,
) -> None:
    """Find the fastest vector index that surely reaches the recall, on real QUERIES (JSON lines with `query`)."""
    opened = open_folder(folder, embedder, read_only=not write)
    try:
        if sources:
            _chunks(opened, queries, sources, budget)
        elif check:
            _check(opened, _vectors(opened, queries))
        else:
            _shape(opened, _vectors(opened, queries), target, write)
    except KeyError as error:
        raise click.ClickException(f"{queries}: a line without {error}") from error
    except (ValueError, msgspec.DecodeError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        opened.close()


def _vectors(opened: Folder, queries: Path) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    texts = [str(msgspec.json.decode(line)["query"]) for line in queries.read_bytes().splitlines() if line.strip()]
    return np.asarray(asyncio.run(opened.embedder.embed(texts)))


def _shape(
    opened: Folder, asked: np.ndarray[tuple[int, int], np.dtype[np.float32]], target: float, write: bool
) -> None:
    from hapenny.retrieval.tune.index_shape import tune as choose

    store = opened.embedded
    vectors = store.vectors(np.flatnonzero(store.columns.live))
    tuned = choose(vectors, asked, target, RealClock(), progress=lambda text: say(text, err=True))
    if write:
        opened.write_shape(tuned.chosen.shape, target)
    for trial in sorted(tuned.trials, key=lambda each: each.p50_ms):
        mark = "*" if trial is tuned.chosen else " "
        shape = trial.shape
        say(
            f"{mark} {shape.kind:9} dims={shape.dims or 'all':<4} m={shape.m:<3} effort={shape.effort:<4}"
            f" probes={shape.probes:<4}"
            f" recall {trial.recall:.4f} (surely {trial.lower:.4f})  p50 {trial.p50_ms:.3f} ms"
            f"  {trial.memory / 1e6:.1f} MB  built in {trial.build:.1f} s"
        )


def _check(opened: Folder, asked: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    """Whether documents or questions have drifted away from what the index was tuned on."""
    from hapenny.retrieval.tune.index_shape import drifted, recalls

    promised, store = opened.promise(), opened.embedded
    if promised is None:
        raise click.ClickException(f"{opened.path}: nothing was promised; run tune with --apply first")
    by_query = recalls(store.vector_index, np.flatnonzero(store.columns.live), asked)
    gone = drifted(promised, by_query)
    report = {
        "promised": promised,
        "recall": round(float(by_query.mean()), 4),
        "queries": len(by_query),
        "drifted": gone,
    }
    say_json(json.dumps(report))
    if gone:
        raise click.ClickException("the promise no longer holds: run tune again with --apply")


def _chunks(opened: Folder, queries: Path, sources: tuple[Path, ...], budget: int) -> None:
    """Evidence that reaches the model within the budget, by chunk size; the best is marked."""
    from hapenny.retrieval import readers
    from hapenny.retrieval.tune import chunk_size as sizing

    documents = [document for path in sources for file in readers.files(path) for document in readers.read(file, path)]
    asked = asyncio.run(sizing.read_evidence(queries.read_bytes(), opened.embedder))
    sizes = []
    for size in sizing.SIZES:
        measured = sizing.measure_size(
            documents, asked, size, budget, opened.embedder, opened.store.analyser.language, opened.settings()
        )
        sizes.append(asyncio.run(measured))
        say(f"chunks of {size}: {sizes[-1].chunks} pieces", err=True)
    best = sizing.best_size(sizes)
    for each in sizes:
        report = {key: round(value, 4) for key, value in each.mean().items()}
        say(f"{'*' if each is best else ' '} size {each.size:<4} {json.dumps(report)}")
    say(f"build with: --size {best.size} --overlap {best.size // 8}")
