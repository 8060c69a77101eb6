"""The account's own quotas in force: from a file that `hapenny doctor` wrote, and read from Service Quotas.

They stand where the configuration says nothing about a model's quota. Without credentials or boto3 nothing is imported:
quotas are then learnt from refusals, as without this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.core.strict_yaml import read_yaml
from hapenny.throughput.pools import QuotaSpec
from hapenny.throughput.service_quotas import ServiceQuota, fragment

_log = get_logger("hapenny.quotas")
AGAIN_S = 6 * 3600.0
"""Quotas may be raised: read again after so many seconds."""
RETRY_S = 600.0

Place = tuple[str, str]
"""Region and model; an empty region is any."""


class QuotaImport(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Where the account's quotas come from."""

    file: Annotated[str, Meta(description="A file that `hapenny doctor --quotas --write` made.")] = ""
    regions: Annotated[
        tuple[str, ...],
        Meta(
            description="Regions whose Service Quotas are read at start and every six hours; needs credentials "
            "and hapenny[aws].",
        ),
    ] = ()


def of_file(path: str) -> dict[Place, QuotaSpec]:
    """The quotas of a file.

    Raises:
        ValueError: it cannot be read or is not such a file, with the fix.
    """
    try:
        data = read_yaml(Path(path).read_text(encoding="utf-8"))
        models = data["stages"]["throughput"]["models"]
        return {("", name): msgspec.convert(model["quota"], QuotaSpec) for name, model in models.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path!r} is no file of quotas ({type(error).__name__}). Fix: hapenny doctor --quotas --write {path}"
        ) from None


def account_quota(
    imported: Mapping[Place, QuotaSpec], configured: QuotaSpec, *, model: str, region: str, service_tier: str
) -> QuotaSpec:
    """The quota in force: `configured`; where that says nothing, the account's for on-demand calls in the region."""
    if configured != QuotaSpec() or service_tier not in ("standard", "priority"):
        return configured
    return imported.get((region, model)) or imported.get(("", model)) or configured


def of_account(listed: Iterable[ServiceQuota], ids: Iterable[str], region: str) -> dict[Place, QuotaSpec]:
    """What Service Quotas says in one region, for the models of the catalog's `ids`."""
    made, _ = fragment(listed, ids, region)
    models: dict[str, Any] = made["stages"]["throughput"]["models"]
    return {(region, name): msgspec.convert(model["quota"], QuotaSpec) for name, model in models.items()}


async def keep(
    regions: Iterable[str], ids: Iterable[str], clock: Clock, tell: Callable[[Mapping[Place, QuotaSpec]], None]
) -> None:
    """Reads the quotas of `regions` now and again; `tell` gets what was read. Never ends, never raises."""
    wanted, known = list(regions), list(ids)
    while True:
        pause = AGAIN_S
        for region in wanted:
            try:
                listed = await clock.work("control", 1, lambda where=region: _read(where))  # type: ignore[misc]
                quotas = of_account(listed, known, region)
            except Exception as error:
                _log.warning("quotas not imported", region=region, error=f"{type(error).__name__}: {error}"[:300])
                pause = RETRY_S
                continue
            if len(wanted) == 1:  # then a target that names no region means this one
                quotas |= {("", model): spec for (_, model), spec in quotas.items()}
            _log.info("quotas imported", region=region, models=len(quotas))
            tell(quotas)
        await clock.sleep(pause)


def _read(region: str) -> list[ServiceQuota]:
    import boto3

    from hapenny.throughput.service_quotas import read

    return read(boto3.client("service-quotas", region_name=region))
