"""Puts admission together: the ring of keys, who holds which budgets, and the registry behind them."""

from __future__ import annotations

from collections.abc import Mapping

from hapenny.admission.budget_alerts import BudgetAlerts
from hapenny.admission.gate import Gate
from hapenny.admission.holders import Holders
from hapenny.admission.isolation import Isolation
from hapenny.admission.keys import Identity, Keyring, key_id
from hapenny.admission.records import OPENS, Seal
from hapenny.admission.registry import STORE_ERRORS, Registry
from hapenny.admission.user_tokens import UserTokens
from hapenny.admission.windows import zone_of
from hapenny.config import STAGES, Config, ConfigError
from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.core.stage_spec import Mode
from hapenny.core.tasks import Tasks
from hapenny.gateway.shared_state import Shared, fresh_registry
from hapenny.responsive.burn import BurnAlerts
from hapenny.responsive.options import LATENCY_STAGE

_log = get_logger("hapenny.admission")


def build_keyring(config: Config, registry: Registry) -> Keyring:
    """The configuration's keys, and the stored ones beside them."""
    identities = {
        key.key: Identity(
            tenant=key.tenant,
            key_id=key_id(key.key),
            routes=tuple(key.routes),
            default_route=key.default_route,
            groups=tuple(key.groups),
            models=tuple(key.models),
            opens=("anyone", *[OPENS[scope] for scope in key.scopes]),
            priority=key.priority,
        )
        for key in config.keys
    }
    pairs = {key.sigv4_access_key: key.key for key in config.keys if key.sigv4_access_key}
    return Keyring(identities, pairs, registry, registry.limited if config.tenants or registry.lasting else None)


def holders_of(config: Config, registry: Registry) -> Holders:
    """Who may use how much."""
    return Holders({key_id(key.key): key for key in config.keys}, registry, zone_of(config.admission.timezone))


def isolation_of(config: Config, secret: bytes) -> Isolation | None:
    """What keeps tenants apart in providers' prompt caches; None: nothing does."""
    return Isolation(secret) if config.isolate_prompt_cache else None


def user_tokens_of(config: Config, clock: Clock) -> UserTokens | None:
    """Verifies tokens of end users, where that is configured. Raises `ConfigError`."""
    options = config.admission.user_tokens
    if options is None:
        return None
    try:
        return UserTokens(options, clock)
    except (OSError, ValueError) as error:
        raise ConfigError([f"$.admission.user_tokens: {error}. Fix: a file with the issuer's public keys"]) from None


def open_store(config: Config, clock: Clock) -> Registry:
    """The registry of a configuration, for a process that serves no requests. Raises `ConfigError`."""
    registry = fresh_registry(config, clock)
    registry.configure(config.tenants, Seal(config.admission.sealing_key))
    return registry


async def open_registry(config: Config, shared: Shared, keyring: Keyring) -> None:
    """Reads the stored keys before the first request. What was reserved by a process that died long ago is cleared
    away.

    Raises:
        ConfigError: the store cannot be read, or a key stands in it and in the configuration.
    """
    registry = shared.registry
    registry.configure(config.tenants, Seal(config.admission.sealing_key))
    try:
        await registry.load()
    except STORE_ERRORS as error:
        where = "the file beside the ledger" if config.admission.store is None else "the store"
        problem = (
            f"$.admission.store: {where} cannot be read ({type(error).__name__}). Fix: restore it, or name another"
        )
        raise ConfigError([problem]) from None
    twins = [
        f"$.keys: the key of tenant {identity.tenant!r} is a stored key, too. Fix: take it out of one of the two"
        for name, identity in keyring.digests.items()
        if registry.knows(name)
    ]
    if twins:
        raise ConfigError(twins)
    try:
        await shared.budgets.expire(int(shared.clock.wall()))
    except ConnectionError as error:
        _log.error("budgets cannot be read; keys with one are refused", error=error)


def serve_admission(config: Config, shared: Shared, gate: Gate, tasks: Tasks) -> None:
    """Begins to follow stored keys, to deliver alerts, and to tell of what budgets have spent."""
    registry, clock = shared.registry, shared.clock
    if registry.lasting:
        tasks.serve("stored keys", clock, lambda: registry.follow(config.admission.refresh_s))
    if config.alerts.webhook:
        tasks.serve("alerts", clock, shared.alerts.run)
    listener, table = BudgetAlerts(gate.holders, shared.alerts), shared.recorder.metrics.table
    shared.budgets.on_spent = listener.spent
    table("hapenny_budget_spent", "Spent of a budget.", ("account", "unit"), listener.figures)
    table("hapenny_budget_limit", "Its limit.", ("account", "unit"), listener.limits)


def burn_alerts(config: Config, shared: Shared, previous: BurnAlerts | None) -> BurnAlerts | None:
    """Watches the deadlines of routes that have one; a reload that changes none goes on counting."""
    options = config.stages[LATENCY_STAGE]
    objectives = {
        name: options.of(name).objective for name, route in config.routes.items() if route.mode(LATENCY_STAGE) != "off"
    }
    if not objectives:
        return None
    burn = previous
    if burn is None or (burn.objectives, burn.alerts) != (objectives, shared.alerts):
        burn = BurnAlerts(objectives, shared.alerts, shared.clock)
    about = "How many times faster than the objective allows answers miss their deadline."
    shared.recorder.metrics.table("hapenny_deadline_burn_rate", about, ("route", "window"), burn.rates)
    return burn


def kept_in_pause(modes: Mapping[str, Mode]) -> dict[str, Mode]:
    """The modes of what is not there to save: quotas and retries, retrieval, what fits a request to its model."""
    saving = {spec.name for spec in STAGES if spec.saves and not spec.safety}
    return {name: mode for name, mode in modes.items() if name not in saving}
