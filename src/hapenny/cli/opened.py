"""What the verbs of `hapenny index` share: the folder, the embedder, and how they are opened."""

from __future__ import annotations

from pathlib import Path

import click

from hapenny.core.clock import RealClock
from hapenny.retrieval.analysis import Language
from hapenny.retrieval.folder import Folder, built_with
from hapenny.retrieval.stores.layout import Layout
from hapenny.vectors.embedder import Embedder

FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
EMBEDDER = click.option(
    "--embedder",
    type=click.Choice(["minilm", "hashed"]),
    help="The collection's own if left out; of a new one minilm, which needs `hapenny setup local`. Hashed words need "
    "nothing and find less.",
)


def open_folder(
    folder: Path,
    embedder: str | None,
    *,
    language: Language = "en",
    read_only: bool = False,
    layout: Layout | None = None,
) -> Folder:
    """The collection of `folder`, with the embedder it was built with if none is named; a `ClickException` says why
    not."""
    try:
        chosen = embedder or ("hashed" if built_with(folder).startswith("hashed") else "minilm")
        return Folder(folder, make_embedder(chosen), language, read_only=read_only, layout=layout)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def make_embedder(name: str) -> Embedder:
    """The embedder of that name, loaded."""
    if name == "hashed":
        from hapenny.vectors.hashed import HashedEmbedder

        return HashedEmbedder()
    from hapenny.cli.extras import missing
    from hapenny.vectors.minilm import MiniLM
    from hapenny.vectors.weights import ModelMissing

    model = MiniLM(RealClock())
    try:
        model.load()
    except (ModelMissing, ImportError) as error:
        lacking = "pip install 'hapenny[local]', then " if missing("local") else ""
        raise click.ClickException(
            f"the local embedder is not set up. Fix: {lacking}hapenny setup local; or take --embedder hashed"
        ) from error
    return model
