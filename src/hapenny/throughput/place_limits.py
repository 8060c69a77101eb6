"""Quotas of places: as stated by hand, as configured, as the account's file has them, as the gateway keeps to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hapenny.capacity.utilisation import Limits
from hapenny.catalog import resolve
from hapenny.throughput.imported import account_quota, of_file
from hapenny.throughput.options import NOTHING_SAID, ThroughputOptions


def burndown(model: str) -> float:
    """What an answer's token of a model counts against its quota."""
    card = resolve(model)
    return float(card.burndown) if card is not None else 1.0


def in_flight(live: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Calls in flight of each model in the mean, from places as `place_limits` takes them; None: not known of any."""
    seen: dict[str, float] = {}
    for row in live:
        if row.get("little") is not None:
            seen[row["model"]] = seen.get(row["model"], 0.0) + row["little"]["seen"]
    return seen or None


def place_limits(
    options: ThroughputOptions | None, stated: Mapping[str, Limits], live: Sequence[Mapping[str, Any]]
) -> Callable[[str, str, str], Limits]:
    """The quota of a model, region and service tier.

    Args:
        options: of the deployment; None: not known.
        stated: by model, which goes before everything else.
        live: places of the running gateway, as `GET /v1/throughput` tells them under `utilisation`.

    Raises:
        ValueError: the account's file cannot be read.
        OSError: likewise.
    """
    imported = of_file(options.quotas.file) if options is not None and options.quotas.file else {}

    def of(model: str, region: str, tier: str) -> Limits:
        if model in stated:
            return stated[model]
        if options is not None:
            known = options.models.get(model, NOTHING_SAID)
            spec = next(
                (each.quota for each in known.endpoints if each.quota is not None and each.region == region),
                known.quota,
            )
            spec = account_quota(imported, spec, model=model, region=region, service_tier=tier)
            if spec.tokens_per_minute or spec.requests_per_minute:
                return Limits(
                    tokens=spec.tokens_per_minute, requests=spec.requests_per_minute, burndown=spec.output_burndown
                )
        kept = [each["limit"] for each in live if (each["model"], each["service_tier"]) == (model, tier)]
        return Limits(tokens=float(kept[0])) if len(kept) == 1 and kept[0] else Limits()

    return of
