"""What the verbs of keys and of the pause switch share: the store of a configuration, opened for one command."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from hapenny.admission.registry import STORE_ERRORS, Registry
from hapenny.config import Config
from hapenny.core.errors import Failure

T = TypeVar("T")
CONFIG = click.option("-c", "--config", "path", required=True, help="Configuration whose keys are meant.")


def change(path: str, work: Callable[[Registry, Config], Awaitable[T]]) -> T:
    """Runs `work` on the registry of a configuration; a `ClickException` says what is wrong."""
    from hapenny.config import ConfigError, load

    try:
        config = load(path)
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    if config.admission_store() == "memory:":
        raise click.ClickException(
            f"{path} keeps no keys: it has no ledger file to keep them beside. Fix: set admission.store, "
            "or ask the running gateway under /v1/admin"
        )
    try:
        return asyncio.run(_run(config, work))
    except Failure as failure:
        raise click.ClickException(failure.sentence()) from None
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    except STORE_ERRORS as error:
        raise click.ClickException(f"the store of keys cannot be used: {type(error).__name__}: {error}") from None


async def _run(config: Config, work: Callable[[Registry, Config], Awaitable[T]]) -> T:
    from hapenny.admission.records import Seal
    from hapenny.core.clock import RealClock
    from hapenny.stores.open_kv import open_kv

    clock = RealClock()
    registry = Registry(
        open_kv(config.admission_store(), clock), clock, Seal(config.admission.sealing_key), lasting=True, serves=False
    )
    registry.configure(config.tenants, Seal(config.admission.sealing_key))
    try:
        await registry.load()
        return await work(registry, config)
    finally:
        await registry.aclose()


def actor() -> str:
    """Who sits at this terminal, for the log of admin actions."""
    try:
        return f"cli:{os.environ.get('SUDO_USER') or getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"
