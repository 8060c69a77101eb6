"""Reads the YAML strictly: environment filled in, every problem with its exact path, value and fix."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect
import yaml

from hapenny.backends.simulated_kind import SimulatedOptions
from hapenny.config.checking import check
from hapenny.config.options import Config
from hapenny.config.problems import ConfigError
from hapenny.core.strict_yaml import read_yaml

_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def load(path: str | Path | None = None, text: str | None = None, running: Config | None = None) -> Config:
    """Reads a configuration file, or its text, or nothing: the default.

    Args:
        path: of the file.
        text: instead of a file.
        running: what is served now (a reload): a file that lost its providers or its keys does not take over.

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
        except ValueError:
            raise ConfigError([f"{path}: not text in UTF-8. Fix: name a readable YAML file"]) from None
    try:
        raw = read_yaml(text)
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise ConfigError([f"{path or 'configuration'}: not valid YAML: {what}. Fix: correct the syntax"]) from None
    except RecursionError:
        raise ConfigError([f"{path or 'configuration'}: nested too deeply. Fix: correct the file"]) from None
    if raw is None or raw == {}:
        # An editor or a config map may be writing it at this moment; and nobody means simulated models by it.
        raise ConfigError(
            [f"{path or 'configuration'}: empty. Fix: write it, or leave -c out to try simulated models without a file"]
        )
    if not isinstance(raw, dict):
        raise ConfigError([f"$: got {type(raw).__name__}. Fix: the file holds a mapping of sections"])
    problems: list[str] = [] if running is None else _lost(raw, running)
    raw = _expand(raw, "$", problems)
    if problems:
        raise ConfigError(problems)
    _modes(raw)
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError([_explain(str(error), raw)]) from None
    return check(config)


def _lost(raw: dict[str, Any], running: Config) -> list[str]:
    """What a file has lost that the gateway at work has: it is cut short, or was saved halfway."""
    problems = []
    simulated = [name for name, backend in running.backends.items() if isinstance(backend, SimulatedOptions)]
    if not raw.get("backends") and len(simulated) < len(running.backends):
        problems.append(
            "$.backends: gone, and simulated models would answer instead. "
            "Fix: restore the section, or name a backend of kind simulated"
        )
    if running.keys and not raw.get("keys") and raw.get("auth") != "open":
        problems.append("$.keys: gone, and everybody would be let in. Fix: restore the section, or say `auth: open`")
    return problems


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
        value_of: str | None = os.environ.get(name, default)
        if value_of is None:
            problems.append(
                f"{path}: environment variable {name} is not set. Fix: export {name}, or ${{{name}:-default}}"
            )
            return ""
        return value_of

    return _ENV.sub(replace, value)


def _explain(message: str, raw: dict[str, Any]) -> str:
    """Turns a conversion error into path, value and fix."""
    what, _, where = message.partition(" - at `")
    path, value = _locate(where.rstrip("`") or "$", raw)
    unknown = re.search(r"unknown field `([^`]+)`", what)
    if unknown:
        return f"{path}.{unknown[1]}: unknown key. Fix: {_meant(path, unknown[1])}"
    if what.lower().startswith("invalid enum value") or (what.lower().startswith("invalid value") and _words(path)):
        return f"{path}: {_safe(value)} is not one of its words. Fix: one of {', '.join(_words(path))}"
    shown = f" (got {_safe(value)})" if value is not None and not isinstance(value, (dict, list)) else ""
    return f"{path}: {what[0].lower()}{what[1:]}{shown}. Fix: give a value of that kind"


_OTHERS = {"model_list": "litellm", "litellm_settings": "litellm", "router_settings": "litellm",
           "general_settings": "litellm"}  # fmt: skip
"""Keys by which the files of other gateways are known."""


def _meant(path: str, key: str) -> str:
    """What an unknown key may have been meant to be."""
    if path == "$" and key in _OTHERS:
        return f"this is a file of {_OTHERS[key]}: hapenny init --from-{_OTHERS[key]} FILE makes one of ours of it"
    import difflib  # only where a name is wrong

    near = difflib.get_close_matches(key, _keys(path), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}? Else remove it" if near else "remove it, or correct its spelling"


def _keys(path: str) -> list[str]:
    """The keys that may stand at a path."""
    nodes, _ = _below(path)
    structs = [node for node in _parts(nodes) if isinstance(node, msgspec.inspect.StructType)]
    return [field.encode_name for node in structs for field in node.fields]


def _words(path: str) -> list[str]:
    """The words that may stand at a path, read off the types of the configuration."""
    nodes, tags = _below(path)
    literals = [node for node in _parts(nodes) if isinstance(node, msgspec.inspect.LiteralType)]
    return tags or [str(word) for node in literals for word in node.values]


def _below(path: str) -> tuple[list[msgspec.inspect.Type], list[str]]:
    """The types that may stand at a path, and the words of a section's kind where it is one."""
    nodes: list[msgspec.inspect.Type] = [msgspec.inspect.type_info(Config)]
    tags: list[str] = []
    for name, _ in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path):
        below: list[msgspec.inspect.Type] = []
        for node in _parts(nodes):
            if isinstance(node, msgspec.inspect.StructType):
                below += [field.type for field in node.fields if field.encode_name == name]
                tags += [str(node.tag)] if node.tag_field == name else []
            elif isinstance(node, msgspec.inspect.DictType):
                below.append(node.value_type)
            elif isinstance(node, msgspec.inspect.ListType):
                below.append(node.item_type)
        nodes = below
    return nodes, tags


def _parts(nodes: list[msgspec.inspect.Type]) -> list[msgspec.inspect.Type]:
    """The types themselves where unions stand for several and descriptions around one."""
    plain: list[msgspec.inspect.Type] = []
    for node in nodes:
        if isinstance(node, msgspec.inspect.Metadata):
            plain += _parts([node.type])
        elif isinstance(node, msgspec.inspect.UnionType):
            plain += _parts(list(node.types))
        else:
            plain.append(node)
    return plain


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
