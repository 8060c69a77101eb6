"""What of a configuration is paid by the hour, and which models stand behind its ids."""

from __future__ import annotations

from collections.abc import Iterator

from hapenny.catalog import Catalog
from hapenny.config import Config
from hapenny.config.problems import ConfigError
from hapenny.telemetry.capacity import PREPAID, Capacity, nano_dollars
from hapenny.throughput.options import THROUGHPUT_STAGE


def capacities(config: Config) -> list[Capacity]:
    """Every capacity that is configured, each with its bill if that is said."""
    return list(_read(config))


def _read(config: Config) -> Iterator[Capacity]:
    for name, model in config.models.items():
        if (tier := model.tier()) in PREPAID or model.hourly_usd is not None:
            yield Capacity(f"models.{name}", model.id, tier, _nano(model.hourly_usd))
    for name, embedder in config.embedders.items():
        if embedder.hourly_usd is not None:
            yield Capacity(f"embedders.{name}", embedder.model, "owned", _nano(embedder.hourly_usd))
    for name, reranker in config.rerankers.items():
        if reranker.hourly_usd is not None or reranker.owned:
            # One that is owned and has no bill stands on a machine that is paid anyway.
            yield Capacity(f"rerankers.{name}", reranker.model, "owned", _nano(reranker.hourly_usd or 0.0))
    for id, options in config.stages[THROUGHPUT_STAGE].models.items():
        at = f"stages.throughput.models.{id}"
        for endpoint in options.endpoints:
            if (tier := endpoint.tier()) in PREPAID or endpoint.hourly_usd is not None:
                model_id = endpoint.profile or id
                yield Capacity(f"{at}.endpoints.{endpoint.name}", model_id, tier, _nano(endpoint.hourly_usd))
        policy = options.regions
        if policy is not None and policy.provisioned:
            yield Capacity(f"{at}.regions", policy.provisioned, "provisioned", _nano(policy.hourly_usd))


def _nano(usd: float | None) -> int | None:
    return None if usd is None else nano_dollars(usd)


def with_stand_ins(catalog: Catalog, config: Config) -> Catalog:
    """The catalog, which also knows the models behind ids that do not say what they are.

    Raises:
        ConfigError: one is to be a model that is not known.
    """
    names = {model.id: model.card for model in config.models.values() if model.card}
    for id, options in config.stages[THROUGHPUT_STAGE].models.items():
        if options.regions is not None and options.regions.provisioned:
            names.setdefault(options.regions.provisioned, id)
    try:
        return catalog.also(names)
    except ValueError as error:
        raise ConfigError([f"$.models: {error}. Fix: a model of the catalog or of the price file"]) from None
