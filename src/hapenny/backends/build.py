"""A backend from its part of the configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hapenny.backends.contract import Backend
from hapenny.backends.fitting import Find
from hapenny.core.clock import Clock

OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com"


def build(name: str, options: Any, clock: Clock, find: Find | None = None) -> Backend:
    """The backend `name` as its configuration describes it.

    Args:
        name: as configured.
        options: with `kind`, and by kind `region`, `profile`, `base_url`, `api_key`, `connections`, `connect_s`,
            `idle_s`, `lifetime_s`; or `card`, `seed`, `faults`, `quota` (None, or with `rpm` and `tpm`), `region`.
        clock: the deployment's clock.
        find: the card of a model, for service rules; the package's catalog unless given.

    Raises:
        ValueError: with the field, the value and a fix.
    """
    if options.kind == "simulated":
        return _simulated(name, options, clock, find)
    from hapenny.backends.pool import Pool

    pool = Pool(
        clock,
        connections=options.connections,
        connect_s=options.connect_s,
        idle_s=options.idle_s,
        lifetime_s=options.lifetime_s,
    )
    if options.kind == "bedrock":
        from hapenny.backends.bedrock import BedrockBackend
        from hapenny.backends.credentials import chain

        base = options.base_url or os.environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
        bearer = options.api_key or (None if options.profile else os.environ.get("AWS_BEARER_TOKEN_BEDROCK"))
        credentials = None if bearer else chain(clock, profile=options.profile, region=options.region)
        return BedrockBackend(
            name, pool, clock, options.region, credentials=credentials, bearer=bearer, base_url=base, find=find
        )
    if options.kind == "openai":
        from hapenny.backends.openai import OpenAIBackend

        return OpenAIBackend(name, pool, clock, *_keyed(options, OPENAI, "OPENAI_API_KEY"), find)
    if options.kind == "anthropic":
        from hapenny.backends.anthropic import AnthropicBackend

        return AnthropicBackend(name, pool, clock, *_keyed(options, ANTHROPIC, "ANTHROPIC_API_KEY"), find)
    raise ValueError(f"kind: {options.kind!r} is no backend. Fix: simulated, bedrock, openai or anthropic")


def _keyed(options: Any, usual: str, variable: str) -> tuple[str, str | None]:
    """Base URL and key. The environment's key goes to the provider it belongs to, never to another host."""
    base = options.base_url or usual
    own = base.rstrip("/").removesuffix("/v1") == usual.removesuffix("/v1")
    return base, options.api_key or (os.environ.get(variable) if own else None)


def _simulated(name: str, options: Any, clock: Clock, find: Find | None) -> Backend:
    from hapenny.backends.simulated import SimulatedBackend
    from hapenny.simulation.cards import DECKS
    from hapenny.simulation.provider import Limit, SimulatedProvider

    deck = DECKS.get(options.card)
    if deck is None:
        raise ValueError(f"card: {options.card!r} is no card of simulated models. Fix: one of {', '.join(DECKS)}")
    quotas = {"*": Limit(options.quota.rpm, options.quota.tpm)} if options.quota is not None else None
    provider = SimulatedProvider(clock, deck, seed=options.seed, quotas=quotas, faults=_faults(options.faults))
    return SimulatedBackend(name, provider, options.region, find=find)


def _faults(wanted: Mapping[str, Any]) -> list[Any]:
    """`{throttle: 0.05}` or `{slow: {share: 0.1, factor: 4}}` as faults."""
    import msgspec

    from hapenny.simulation.faults import KINDS, Fault

    found = []
    for kind, how in wanted.items():
        if kind not in KINDS:
            raise ValueError(f"faults.{kind}: no such fault. Fix: one of {', '.join(KINDS)}")
        fields = dict(how) if isinstance(how, Mapping) else {"share": how}
        try:
            fault = msgspec.convert({"kind": kind, **fields}, Fault)
        except msgspec.ValidationError as error:
            raise ValueError(f"faults.{kind}: {error}. Fix: a share from 0 to 1, or a mapping with `share`") from None
        if not 0 <= fault.share <= 1:
            raise ValueError(f"faults.{kind}: {fault.share} is no share. Fix: a value from 0 to 1")
        found.append(fault)
    return found
