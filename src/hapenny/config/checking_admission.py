"""What is wrong with keys, tenants, and where they are kept."""

from __future__ import annotations

import re
from pathlib import Path

from hapenny.admission.windows import zone_of
from hapenny.config.checking_shared import hidden
from hapenny.config.options import Config


def admission_problems(config: Config) -> list[str]:
    """Contradictions, each with its fix."""
    return [*_keys(config), *_tenants(config), *_store(config)]


def _keys(config: Config) -> list[str]:
    problems: list[str] = []
    holders: dict[str, int] = {}
    pairs: dict[str, int] = {}
    for index, key in enumerate(config.keys):
        at = f"$.keys[{index}]"
        first = holders.setdefault(key.key, index)
        if first != index:
            problems.append(f"{at}.key: the same as $.keys[{first}].key. Fix: a key of its own for each")
        if key.sigv4_access_key:
            first = pairs.setdefault(key.sigv4_access_key, index)
            if first != index:
                problems.append(
                    f"{at}.sigv4_access_key: the same as $.keys[{first}].sigv4_access_key. Fix: one of its own for each"
                )
        if not -100 <= key.priority <= 100:
            problems.append(f"{at}.priority: {key.priority} is outside -100 to 100. Fix: e.g. 0")
        if len(key.key) < 8:
            problems.append(f"{at}.key: shorter than 8 characters. Fix: a long random secret")
        if not key.scopes:
            problems.append(f"{at}.scopes: empty, so it opens nothing. Fix: call, metrics, admin or console")
        routes = [*key.routes, *([key.default_route] if key.default_route else [])]
        problems += _unknown_routes(config, at, routes)
    return problems


def _tenants(config: Config) -> list[str]:
    problems: list[str] = []
    for name, tenant in config.tenants.items():
        at = f"$.tenants.{name}"
        problems += _unknown_routes(config, at, tenant.routes)
        if not -100 <= tenant.priority <= 100:
            problems.append(f"{at}.priority: {tenant.priority} is outside -100 to 100. Fix: e.g. 0")
    return problems


def _unknown_routes(config: Config, at: str, names: list[str]) -> list[str]:
    known = ", ".join(sorted(config.routes))
    return [
        f"{at}: {name!r} is not a route. Fix: one of {known}"
        for name in names
        if name != "*" and name not in config.routes
    ]


def _store(config: Config) -> list[str]:
    options, problems = config.admission, []
    try:
        zone_of(options.timezone)
    except (KeyError, ValueError, OSError):  # zoneinfo's own error is a KeyError
        problems.append(f"$.admission.timezone: {options.timezone!r} is not known here. Fix: UTC, or e.g. Asia/Tokyo")
    store = options.store or ""
    if "://" in store and not re.match(r"(postgres(ql)?|rediss?|valkey)://[^/]", store):
        problems.append(f"$.admission.store: {hidden(store)!r} is no store. Fix: a path, or postgresql://HOST/DATABASE")
    if options.refresh_s <= 0:
        problems.append(f"$.admission.refresh_s: {options.refresh_s:g} is not above 0. Fix: e.g. 2")
    tokens = options.user_tokens
    if tokens is not None and not Path(tokens.jwks_file).is_file():
        problems.append(f"$.admission.user_tokens.jwks_file: {tokens.jwks_file!r} is no file. Fix: a JWK set")
    return problems
