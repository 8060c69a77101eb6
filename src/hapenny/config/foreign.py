"""Configurations of other gateways, made into one of ours, with a list of what could not be carried over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from msgspec import Struct

_ENV = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
_KINDS = {
    "bedrock": "bedrock", "bedrock_converse": "bedrock", "openai": "openai", "anthropic": "anthropic",
    "hosted_vllm": "openai", "vllm": "openai", "text-completion-openai": "openai", "openai_like": "openai",
    "together_ai": "openai", "groq": "openai", "deepseek": "openai", "mistral": "openai", "openrouter": "openai",
    "xai": "openai", "fireworks_ai": "openai",
}  # fmt: skip
_HOMES = {
    "together_ai": "https://api.together.xyz/v1", "groq": "https://api.groq.com/openai/v1",
    "deepseek": "https://api.deepseek.com/v1", "mistral": "https://api.mistral.ai/v1",
    "openrouter": "https://openrouter.ai/api/v1", "xai": "https://api.x.ai/v1",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
}  # fmt: skip
_TAKEN = {"model", "api_key", "api_base", "aws_region_name", "max_tokens", "temperature", "top_p", "rpm", "tpm"}


class Carried(Struct):
    """A configuration of ours, and what is not in it."""

    config: dict[str, Any]
    left: list[str]
    """What was not carried, a line each: where it stood, and what to do instead."""

    def text(self, source: str) -> str:
        """As a file, the report at its head."""
        lines = [f"# hapenny: made from {source}. Check it with: hapenny doctor -c FILE"]
        if self.left:
            lines += ["# Not carried over:", *[f"#   {line}" for line in self.left]]
        body = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True, default_flow_style=False)
        return "\n".join(lines) + "\n\n" + body


def from_litellm(raw: Mapping[str, Any]) -> Carried:
    """From the `config.yaml` of a litellm proxy.

    Raises:
        ValueError: it has no model_list.
    """
    models = raw.get("model_list")
    if not isinstance(models, list) or not models:
        raise ValueError("no model_list. Fix: name the config.yaml of a litellm proxy")
    made = _Made()
    for number, entry in enumerate(models):
        at = f"model_list[{number}]"
        name, params = entry.get("model_name"), entry.get("litellm_params") or {}
        if not isinstance(name, str) or not isinstance(params.get("model"), str):
            made.left.append(f"{at}: no model_name or litellm_params.model")
            continue
        provider, slash, id = params["model"].partition("/")
        if not slash:
            provider, id = "openai", params["model"]
        if provider not in _KINDS:
            made.left.append(f"{at}: provider {provider!r} is none of ours: use its OpenAI-compatible address, if any")
            continue
        id = id.removeprefix("converse/").removeprefix("invoke/")
        made.model(at, name, provider, id, params)
        made.left += [f"{at}.litellm_params.{key}: no option of ours" for key in params if key not in _TAKEN]
    settings = {**(raw.get("litellm_settings") or {}), **(raw.get("router_settings") or {})}
    for listed in (settings.get("fallbacks"), settings.get("context_window_fallbacks")):
        for each in listed or []:
            for name, others in each.items():
                for other in others:
                    kept = made.fallbacks.setdefault(name, [])
                    if other not in kept:
                        kept.append(other)
    master = (raw.get("general_settings") or {}).get("master_key")
    if master:
        made.config["keys"] = [{"key": _secret(master), "tenant": "default"}]
    for section in ("litellm_settings", "router_settings", "general_settings"):
        for key in raw.get(section) or {}:
            if key not in ("fallbacks", "context_window_fallbacks", "master_key", "model_group_alias"):
                made.left.append(f"{section}.{key}: {_INSTEAD.get(key, 'no option of ours')}")
    for alias, name in (settings.get("model_group_alias") or {}).items():
        made.config.setdefault("aliases", {})[alias] = name if isinstance(name, str) else name.get("model", "")
    return made.done()


def from_portkey(raw: Mapping[str, Any]) -> Carried:
    """From a Portkey config object: one target, or a strategy of `fallback` or `loadbalance` over targets.

    Raises:
        ValueError: it names no provider.
    """
    made = _Made()
    targets = raw.get("targets") or [raw]
    names = []
    for number, target in enumerate(targets):
        at = f"targets[{number}]"
        provider = str(target.get("provider") or "").lstrip("@").replace("-", "_")
        params = target.get("override_params") or {}
        if provider not in _KINDS or not isinstance(params.get("model"), str):
            made.left.append(f"{at}: virtual keys and targets without provider and override_params.model name nobody")
            continue
        name = f"target{number + 1}"
        names.append(name)
        named = {**params, "api_key": target.get("api_key"), "api_base": target.get("custom_host"),
                 "aws_region_name": target.get("aws_region")}  # fmt: skip
        made.model(at, name, provider, params["model"], named)
    if not names:
        raise ValueError("no target with a provider and a model. Fix: add provider and override_params.model")
    mode = (raw.get("strategy") or {}).get("mode")
    if mode == "fallback":
        made.fallbacks[names[0]] = names[1:]
    elif mode:
        made.left.append(f"strategy.mode {mode!r}: give the model several endpoints (stages.throughput.models)")
    made.left += [f"{key}: {_INSTEAD.get(key, 'no option of ours')}" for key in raw if key in ("cache", "retry")]
    return made.done()


def from_bifrost(raw: Mapping[str, Any]) -> Carried:
    """From Bifrost's config.json: its providers with their keys.

    Raises:
        ValueError: it has no providers.
    """
    providers = raw.get("providers")
    if not isinstance(providers, dict) or not providers:
        raise ValueError("no providers. Fix: name the config.json of a Bifrost gateway")
    made = _Made()
    for provider, told in providers.items():
        if provider not in _KINDS:
            made.left.append(f"providers.{provider}: none of ours: use its OpenAI-compatible address, if any")
            continue
        keys = told.get("keys") or [{}]
        network = told.get("network_config") or {}
        params = {
            "api_key": keys[0].get("value"), "api_base": network.get("base_url"),
            "aws_region_name": (keys[0].get("bedrock_key_config") or {}).get("region"),
        }  # fmt: skip
        for id in keys[0].get("models") or []:
            made.model(f"providers.{provider}", id, provider, id, params)
        if not keys[0].get("models"):
            made.backend(provider, params)
        if len(keys) > 1:
            made.left.append(f"providers.{provider}.keys: only the first of {len(keys)}")
    made.left += [f"{key}: no option of ours" for key in raw if key not in ("providers", "$schema")]
    return made.done()


_INSTEAD = {
    "cache": "the exact cache is on by itself; stages.exact and cache_any_temperature steer it",
    "cache_params": "stages.exact, stages.semantic",
    "retry": "stages.throughput.retry",
    "num_retries": "stages.throughput.retry.tries",
    "request_timeout": "routes.NAME.finish_s",
    "timeout": "routes.NAME.finish_s",
    "routing_strategy": "endpoints are balanced by themselves; see stages.throughput.models",
    "drop_params": "what a model refuses is translated or noted by itself",
    "success_callback": "the ledger, /metrics and traces",
    "failure_callback": "the ledger, /metrics and traces",
    "callbacks": "the ledger, /metrics and traces",
    "database_url": "no database is needed: the ledger is a file",
    "set_verbose": "log_level: debug",
}


class _Made:
    def __init__(self) -> None:
        self.config: dict[str, Any] = {"backends": {}, "models": {}}
        self.fallbacks: dict[str, list[str]] = {}
        self.left: list[str] = []

    def backend(self, provider: str, params: Mapping[str, Any]) -> str:
        """The backend of those settings, made where there is none yet."""
        options: dict[str, Any] = {"kind": _KINDS[provider]}
        if _KINDS[provider] == "bedrock":
            options["region"] = _secret(params.get("aws_region_name") or "us-east-1")
        base = params.get("api_base") or _HOMES.get(provider)
        if base:
            options["base_url"] = _secret(base)
        if params.get("api_key"):
            options["api_key"] = _secret(params["api_key"])
        backends = self.config["backends"]
        for name, known in backends.items():
            if known == options:
                return str(name)
        name = provider if provider not in backends else f"{provider}{len(backends) + 1}"
        backends[name] = options
        return name

    def model(self, at: str, name: str, provider: str, id: str, params: Mapping[str, Any]) -> None:
        """A model; a second one of its name is an endpoint we have another place for."""
        if name in self.config["models"]:
            self.left.append(
                f"{at}: a second deployment of {name!r}: list it under stages.throughput.models.{id}.endpoints"
            )
            return
        made: dict[str, Any] = {"id": id, "backend": self.backend(provider, params)}
        wanted = {key: params[key] for key in ("max_tokens", "temperature", "top_p") if params.get(key) is not None}
        if wanted:
            made["parameters"] = wanted
        self.config["models"][name] = made
        quota = {
            ours: params[theirs]
            for theirs, ours in (("rpm", "requests_per_minute"), ("tpm", "tokens_per_minute"))
            if params.get(theirs)
        }
        if quota:
            stages = self.config.setdefault("stages", {}).setdefault("throughput", {}).setdefault("models", {})
            stages[id] = {"quota": quota}

    def done(self) -> Carried:
        """The whole, with a route whose baseline is the first model."""
        models = list(self.config["models"])
        if not models:
            self.left.append("no model was carried: name some under models, and a baseline on the route")
        known = {name: [each for each in others if each in models] for name, others in self.fallbacks.items()}
        kept = {name: others for name, others in known.items() if name in models and others}
        if kept:
            self.config["fallbacks"] = kept
        if models:
            self.config["routes"] = {"default": {"baseline": models[0], "preset": "safe"}}
        if not self.config["models"]:
            del self.config["models"]
        return Carried(self.config, self.left)


def _secret(value: Any) -> str:
    """A value as ours refer to the environment; a secret written in the open stays, as it stood."""
    text = str(value)
    match = _ENV.fullmatch(text) or re.fullmatch(r"env\.([A-Za-z_][A-Za-z0-9_]*)", text)
    return f"${{{match[1]}}}" if match else text
