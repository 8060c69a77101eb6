"""`hapenny pause` and `hapenny resume`: one switch for all saving stages, without a reload."""

from __future__ import annotations

import click

from hapenny.cli.registry import CONFIG, actor, change

_REASON = click.option("--reason", default="", help="For the log.")


@click.command()
@CONFIG
@_REASON
def pause(path: str, reason: str) -> None:
    """Turn every saving stage off: requests go to the models they ask for, as they are. Quotas, retries, retrieval,
    budgets and limits stay. It holds over restarts, until `hapenny resume`."""
    _switch(path, True, reason)


@click.command()
@CONFIG
@_REASON
def resume(path: str, reason: str) -> None:
    """Turn the saving stages on again, as configured."""
    _switch(path, False, reason)


def _switch(path: str, paused: bool, reason: str) -> None:
    change(path, lambda registry, config: registry.switch(paused, actor(), reason))
    within = "running gateways follow within admission.refresh_s"
    click.echo(f"saving stages are {'paused' if paused else 'resumed'}; {within}")
