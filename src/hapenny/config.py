"""The configuration of a deployment: one YAML, read strictly.

Unknown keys, wrong types and contradictions are refused at start with path, value and fix.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct, field

from hapenny.caching.options import ExactOptions, FlightOptions
from hapenny.catalog import refusals, resolve
from hapenny.core.messages import Parameters
from hapenny.core.stage import Mode
from hapenny.routing.options import TierOptions
from hapenny.telemetry.ledger import LedgerOptions
from hapenny.throughput.retry import Backoff
from hapenny.tuning.options import ParameterOptions


class ConfigError(ValueError):
    """The configuration is wrong. `problems` are lines of `path: what is wrong. Fix: what to change`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Section(Struct, kw_only=True, forbid_unknown_fields=True):
    """A part of the configuration."""


class ServerOptions(Section):
    """The near bank."""

    host: str = "127.0.0.1"
    port: int = 8790
    max_body_mb: float = 32.0
    drain_s: float = 30.0
    stalled_write_s: float = 60.0
    tls_certificate: str | None = None
    """Path of a PEM file; with `tls_key` the server speaks HTTPS."""
    tls_key: str | None = None


class QuotaOptions(Section):
    """Quotas of a simulated provider, a model; None is no limit."""

    rpm: int | None = None
    tpm: int | None = None


class BackendOptions(Section):
    """A provider we call.

    `kind` decides which other fields matter: `region` and credentials for bedrock, `base_url` and `api_key` for
    openai and anthropic, `card`, `seed`, `speed` and `quota` for simulated.
    """

    kind: Literal["simulated", "bedrock", "openai", "anthropic"]
    region: str = "us-east-1"
    profile: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    card: str = "manga-2024"
    seed: int = 7
    quota: QuotaOptions | None = None
    faults: dict[str, Any] = {}
    connections: int | None = None
    connect_s: float = 5.0
    idle_s: float = 60.0
    lifetime_s: float = 180.0


class ModelParameters(Section):
    """What is sent where the client sends nothing."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = []
    effort: str | None = None

    def said(self) -> Parameters:
        """As parameters of a request."""
        return Parameters(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            stop=tuple(self.stop),
            effort=self.effort,
        )


class ModelOptions(Section):
    """A model under a name of our own."""

    id: str
    backend: str = ""
    region: str = ""
    service_tier: str = "standard"
    endpoint: str = ""
    provisioned: bool = False
    parameters: ModelParameters = field(default_factory=ModelParameters)


class RouteMatch(Section):
    """Which requests a route takes, if neither key nor header chose one. All given conditions must hold."""

    model: str | None = None
    feature: str | None = None
    intent: str | None = None
    protocol: str | None = None


class RouteOptions(Section):
    """How one kind of traffic is treated."""

    match: RouteMatch | None = None
    baseline: str = "strong"
    preset: Literal["safe", "balanced", "demo"] = "safe"
    stages: dict[str, Mode] = {}
    begin_s: float = 30.0
    finish_s: float = 600.0
    idle_s: float = 60.0
    max_calls: int = 4
    max_quality_loss: float = 0.02
    cache_any_temperature: bool = False
    """Consent to cache answers to requests whose temperature is unset or above 0."""
    cache_scope: Literal["user", "tenant"] = "tenant"
    """`user` keeps answers of a named user to that user."""
    knowledge_epoch: str = ""
    prompt_version: str = ""
    holdout: float = 0.01
    """Share of sessions with everything off: the proof."""


class KeyOptions(Section):
    """A key of ours: who holds it."""

    key: str
    tenant: str = "default"
    routes: list[str] = field(default_factory=lambda: ["*"])
    default_route: str | None = None
    groups: list[str] = []
    models: list[str] = field(default_factory=lambda: ["*"])
    sigv4_access_key: str | None = None
    """Lets an AWS client sign with this access key id; `key` is then its secret."""


class CountingOptions(Section):
    """How tokens are estimated before a provider reports them."""

    vocabulary: bool = False
    """Start from the o200k vocabulary (extra `tokenizers`): estimates are a fifth closer, for about 0.1 ms more CPU on
    each 3 KB of new text and 75 MB of memory."""


class StageOptions(Section):
    """What each stage may be told; the mode is the route's."""

    exact: ExactOptions = field(default_factory=ExactOptions)
    flights: FlightOptions = field(default_factory=FlightOptions)
    tiers: TierOptions = field(default_factory=TierOptions)
    parameters: ParameterOptions = field(default_factory=ParameterOptions)
    retry: Backoff = field(default_factory=Backoff)


class Config(Section):
    """A whole deployment. Empty: simulated models, ready to try."""

    server: ServerOptions = field(default_factory=ServerOptions)
    backends: dict[str, BackendOptions] = field(default_factory=lambda: {"simulated": BackendOptions(kind="simulated")})
    default_backend: str = ""
    models: dict[str, ModelOptions] = {}
    aliases: dict[str, str] = {}
    tiers: dict[str, str] = {}
    fallbacks: dict[str, list[str]] = {}
    routes: dict[str, RouteOptions] = field(default_factory=lambda: {"default": RouteOptions()})
    stages: StageOptions = field(default_factory=StageOptions)
    keys: list[KeyOptions] = []
    ledger: LedgerOptions | None = field(default_factory=LedgerOptions)
    counting: CountingOptions = field(default_factory=CountingOptions)
    prices: str | None = None
    """Path of a file with negotiated prices."""
    fingerprint_key: str = ""
    """Secret that keys hashes and fingerprints; drawn at start when empty (cached answers then end with it)."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def backend_of(self, name: str) -> str:
        """The backend to use where none is named."""
        return name or self.default_backend or next(iter(self.backends))


TIERS = ("fast", "balanced", "strong", "max")
CARD_TIERS = {
    "manga-2024": {
        "fast": "anthropic.claude-3-haiku-20240307-v1:0",
        "balanced": "anthropic.claude-3-5-haiku-20241022-v1:0",
        "strong": "anthropic.claude-3-sonnet-20240229-v1:0",
        "max": "anthropic.claude-3-opus-20240229-v1:0",
    }
}

# What runs where a route does not say. What cannot change an answer is on, the rest watches (design rule 12).
PRESETS: dict[str, dict[str, Mode]] = {
    "safe": {"exact": "on", "flights": "on", "tiers": "shadow", "parameters": "on", "retry": "on"},
    "balanced": {"exact": "on", "flights": "on", "tiers": "on", "parameters": "on", "retry": "on"},
    "demo": {"exact": "on", "flights": "on", "tiers": "on", "parameters": "on", "retry": "on"},
}

_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def load(path: str | Path | None = None, text: str | None = None) -> Config:
    """Reads a configuration file, or its text, or nothing: the default.

    Raises:
        ConfigError: with every problem found, each with its path, value and fix.
    """
    if text is None:
        if path is None:
            return check(Config())
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError([f"{path}: cannot be read ({error.strerror}). Fix: name a readable YAML file"]) from None
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError([f"{path or 'configuration'}: not valid YAML: {error}. Fix: correct the syntax"]) from None
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigError([f"$: got {type(raw).__name__}. Fix: the file holds a mapping of sections"])
    problems: list[str] = []
    raw = _expand(raw, "$", problems)
    if problems:
        raise ConfigError(problems)
    _modes(raw)
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError([_explain(str(error), raw)]) from None
    return check(config)


def _modes(raw: dict[str, Any]) -> None:
    """YAML reads a bare `on` or `off` as a boolean; for modes of stages the words are meant."""
    routes = raw.get("routes")
    for route in routes.values() if isinstance(routes, dict) else ():
        stages = route.get("stages") if isinstance(route, dict) else None
        if isinstance(stages, dict):
            for name, mode in stages.items():
                if isinstance(mode, bool):
                    stages[name] = "on" if mode else "off"


def _expand(value: Any, path: str, problems: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, f"{path}.{key}", problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, f"{path}[{index}]", problems) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.groups()
        found: str | None = os.environ.get(name, default)
        if found is None:
            problems.append(
                f"{path}: environment variable {name} is not set. Fix: export {name}, or ${{{name}:-default}}"
            )
            return ""
        return found

    return _ENV.sub(replace, value)


def _explain(message: str, raw: dict[str, Any]) -> str:
    """Turns a conversion error into path, value and fix."""
    what, _, where = message.partition(" - at `")
    path, value = _locate(where.rstrip("`") or "$", raw)
    unknown = re.search(r"unknown field `([^`]+)`", what)
    if unknown:
        return f"{path}.{unknown[1]}: unknown key. Fix: remove it, or correct its spelling"
    shown = f" (got {_safe(value)})" if value is not None and not isinstance(value, (dict, list)) else ""
    return f"{path}: {what[0].lower()}{what[1:]}{shown}. Fix: give a value of that kind"


def _locate(path: str, raw: dict[str, Any]) -> tuple[str, Any]:
    """The exact path and value behind a path in which `[...]` stands for any key of a mapping: each key is tried
    alone."""
    named = "$"
    value: Any = raw
    parts = re.findall(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]", path)
    trail: list[Any] = []
    for name, index in parts:
        key: Any = name or (int(index) if index.isdigit() else None)
        if key is None:
            if not isinstance(value, dict):
                break
            key = next((each for each in value if not _converts(_alone(raw, trail, each))), None)
            if key is None:
                break
        trail.append(key)
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return named + (f".{key}" if isinstance(key, str) else f"[{key}]"), None
        named += f".{key}" if isinstance(key, str) else f"[{key}]"
    return named, value


def _alone(raw: Any, trail: list[Any], key: str) -> Any:
    """A copy of `raw` in which the mapping at `trail` has only `key`."""
    if not trail:
        return {key: raw[key]}
    first, *rest = trail
    if isinstance(raw, list):
        return [_alone(raw[first], rest, key)]
    return {**raw, first: _alone(raw[first], rest, key)}


def _converts(raw: Any) -> bool:
    try:
        msgspec.convert(raw, Config)
    except msgspec.ValidationError:
        return False
    return True


def _safe(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def check(config: Config) -> Config:
    """Completes defaults and refuses contradictions.

    Raises:
        ConfigError: with every contradiction found.
    """
    problems: list[str] = []
    known = set(config.backends)
    if not known:
        problems.append("$.backends: empty. Fix: name at least one backend")
        raise ConfigError(problems)
    if config.default_backend and config.default_backend not in known:
        problems.append(
            f"$.default_backend: {config.default_backend!r} is not a backend. Fix: one of {', '.join(sorted(known))}"
        )
    server = config.server
    for name, path in (("tls_certificate", server.tls_certificate), ("tls_key", server.tls_key)):
        if path is not None and not Path(path).is_file():
            problems.append(f"$.server.{name}: {path!r} is no file. Fix: the path of a PEM file")
    if (server.tls_certificate is None) != (server.tls_key is None):
        problems.append("$.server: TLS needs both tls_certificate and tls_key. Fix: give both, or none")
    for name, backend in config.backends.items():
        at = f"$.backends.{name}"
        if backend.kind in ("openai", "anthropic") and not backend.base_url:
            backend.base_url = "https://api.openai.com/v1" if backend.kind == "openai" else "https://api.anthropic.com"
        if backend.kind == "simulated" and not config.tiers:
            config.tiers = dict(CARD_TIERS.get(backend.card, {}))
        if not 60 <= backend.lifetime_s <= 300:
            problems.append(f"{at}.lifetime_s: {backend.lifetime_s:g} is outside 60-300. Fix: e.g. 180")
    for name, model in config.models.items():
        at = f"$.models.{name}"
        if model.backend and model.backend not in known:
            problems.append(f"{at}.backend: {model.backend!r} is not a backend. Fix: one of {', '.join(sorted(known))}")
        profile = re.match(r"(us|eu|apac|jp|au|us-gov|global)\.", model.id) or ":inference-profile/" in model.id
        if model.provisioned and profile:
            problems.append(
                f"{at}: provisioned throughput cannot be used with the cross-region profile {model.id!r}. "
                "Fix: use the provisioned-model ARN, or drop `provisioned`"
            )
        for refusal in refusals(resolve(model.id), model.parameters.said(), model.id):
            problems.append(f"{at}.parameters.{refusal.name}: {refusal.why}. Fix: {refusal.fix}")
        if ":provisioned-model/" in model.id and model.region and f":{model.region}:" not in model.id:
            problems.append(f"{at}.region: {model.region!r} is not the region of the ARN. Fix: drop `region`")
    for tier in config.tiers:
        if tier not in TIERS:
            problems.append(f"$.tiers.{tier}: unknown tier. Fix: one of {', '.join(TIERS)}")
    names = set(config.models) | set(config.tiers) | set(config.aliases) | {"auto"}
    for alias, to in config.aliases.items():
        seen = {alias}
        while to in config.aliases:
            if to in seen:
                problems.append(f"$.aliases.{alias}: goes in a circle through {to!r}. Fix: point it at a model or tier")
                break
            seen.add(to)
            to = config.aliases[to]
    for name in config.fallbacks:
        if name not in names:
            problems.append(f"$.fallbacks.{name}: not an alias, tier or model. Fix: one of {', '.join(sorted(names))}")
    for name, route in config.routes.items():
        at = f"$.routes.{name}"
        for stage in route.stages:
            if stage not in StageOptions.__struct_fields__:
                problems.append(
                    f"{at}.stages.{stage}: unknown stage. Fix: one of {', '.join(StageOptions.__struct_fields__)}"
                )
        for bound, value in (("max_quality_loss", route.max_quality_loss), ("holdout", route.holdout)):
            if not 0 <= value <= 1:
                problems.append(f"{at}.{bound}: {value:g} is outside 0-1. Fix: a share, e.g. 0.02")
        if route.begin_s > route.finish_s:
            problems.append(f"{at}.begin_s: {route.begin_s:g} is later than finish_s. Fix: begin_s <= finish_s")
        if route.max_calls < 1:
            problems.append(f"{at}.max_calls: {route.max_calls} allows no call. Fix: at least 1")
    if "default" not in config.routes:
        config.routes["default"] = RouteOptions()
    for index, key in enumerate(config.keys):
        if len(key.key) < 8:
            problems.append(f"$.keys[{index}].key: shorter than 8 characters. Fix: a long random secret")
        for route_name in [*key.routes, *([key.default_route] if key.default_route else [])]:
            if route_name != "*" and route_name not in config.routes:
                problems.append(
                    f"$.keys[{index}]: {route_name!r} is not a route. Fix: one of {', '.join(sorted(config.routes))}"
                )
    if problems:
        raise ConfigError(problems)
    return config
