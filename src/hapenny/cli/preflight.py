"""What a configuration stands on and cannot say itself: credentials, keys, models' names, extras, embedder."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

from hapenny.backends.bedrock import BedrockOptions
from hapenny.caching.options import SEMANTIC_STAGE
from hapenny.catalog import default
from hapenny.cli.extras import missing
from hapenny.config import Config
from hapenny.retrieval.folder import built_with, is_collection, other_embedder
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.throughput.regions import Problem
from hapenny.tuning.experiments import read_experiments
from hapenny.tuning.options import ARMS_STAGE

_CREDENTIALS_S = 6.0
"""How long the machine's own metadata service may take to say that it has none."""

_KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
_PROFILES = {"us": "us-", "eu": "eu-", "apac": "ap-", "jp": "ap-", "au": "ap-"}
"""Where an inference profile of Bedrock is called from, by its first part; other regions are not judged."""
_PAID = ("api.openai.com", "api.anthropic.com")


def look_around(config: Config) -> list[Problem]:
    """What would fail at the first request, or be less than was asked for."""
    return [*_keys(config), *_models(config), *_missing_extras(config), *_collections(config), *_files(config)]


def _files(config: Config) -> list[Problem]:
    """Files that are read or written from the start on."""
    problems = []
    path = config.ledger.path if config.ledger is not None else ""
    if path and "://" not in path and not _writable(Path(path)):
        problems.append(Problem("$.ledger.path", f"{path!r} cannot be written", "a place where this user may write"))
    try:
        read_experiments(config.stages[ARMS_STAGE].file)
    except (OSError, ValueError) as error:
        what, _, fix = str(error).partition(". Fix: ")
        problems.append(Problem("$.stages.arms.file", what, fix or "a file that this user may read"))
    return problems


def _writable(file: Path) -> bool:
    """Whether a file can be written, or made with the folders that it needs."""
    if file.exists():
        return file.is_file() and os.access(file, os.W_OK)
    there = next((parent for parent in file.absolute().parents if parent.exists()), None)
    return there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _collections(config: Config) -> list[Problem]:
    """Collections that are not there, or that another embedder made than the one that reads questions."""
    problems = []
    hashed = config.stages[SEMANTIC_STAGE].embedder == "hashed"
    for name, options in config.collections.items():
        if not options.path:
            continue
        at, folder = f"$.collections.{name}.path", Path(options.path)
        known = built_with(folder)
        if not is_collection(folder):
            problems.append(Problem(at, f"{folder}: no collection here", f"hapenny index build {folder} FILES"))
        elif known and known.startswith("hashed") != hashed:
            what, _, fix = other_embedder(known, "hashed words" if hashed else "the local model").partition(". Fix: ")
            problems.append(Problem(at, f"{folder}: {what}", fix))
    return problems


def _keys(config: Config) -> list[Problem]:
    """Backends that have nothing to show to their provider."""
    problems = []
    for name, options in config.backends.items():
        at = f"$.backends.{name}"
        if isinstance(options, BedrockOptions):
            if options.api_key or (not options.profile and os.environ.get("AWS_BEARER_TOKEN_BEDROCK")):
                continue
            why = asyncio.run(_credentials(options))
            if why:
                fix = "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile, or give the machine a role"
                problems.append(Problem(at, why, fix))
            continue
        kind = getattr(options, "kind", "")
        wanted = _KEYS.get(kind)
        if wanted is None or getattr(options, "api_key", None):
            continue
        host = urlsplit(getattr(options, "base_url", None) or "").hostname or _PAID[kind == "anthropic"]
        if host in _PAID and not os.environ.get(wanted):
            problems.append(Problem(f"{at}.api_key", f"{host} wants a key", f"export {wanted}, or give api_key"))
    return problems


async def _credentials(options: BedrockOptions) -> str:
    """Why no AWS credentials were found; "" if some were."""
    from hapenny.backends.credential_chain import chain
    from hapenny.core.clock import RealClock
    from hapenny.core.errors import Failure

    signing = chain(RealClock(), profile=options.profile, region=options.region)
    try:
        async with asyncio.timeout(_CREDENTIALS_S):
            await signing.get()
    except TimeoutError:
        return "no AWS credentials found in time"
    except Failure as failure:
        return failure.message
    finally:
        await signing.aclose()
    return ""


def _models(config: Config) -> list[Problem]:
    """Models of tiers and fallbacks that the catalog does not know: they are served, at an unknown price, or refused by
    their provider."""
    catalog = default()
    problems = []
    named = [(f"$.tiers.{tier}", name) for tier, name in config.tiers.items()]
    named += [
        (f"$.fallbacks.{of}[{number}]", name)
        for of, names in config.fallbacks.items()
        for number, name in enumerate(names)
        if name not in config.tiers
    ]
    for at, name in named:
        model = config.models.get(config.aliases.get(name, name))
        id = model.id if model is not None else config.aliases.get(name, name)
        if catalog.resolve((model.card if model is not None else "") or id) is None and config.prices is None:
            fix = "correct its spelling, say which model it is (models.NAME.card), or give its price (prices: FILE)"
            problems.append(Problem(at, f"the catalog has no model {id!r}: it has no known price", fix))
        elsewhere = _elsewhere(config, id)
        if elsewhere:
            fix = "the profile of that region (eu., us., apac., …; or global.), or a backend in another region"
            problems.append(Problem(at, f"{id!r} cannot be called from {elsewhere}", fix))
    return problems


def _elsewhere(config: Config, id: str) -> str:
    """The regions of Bedrock that are configured, where none of them may call an inference profile; else ""."""
    wanted = _PROFILES.get(id.partition(".")[0])
    bedrock = [each for each in config.backends.values() if isinstance(each, BedrockOptions)]
    if wanted is None or not bedrock or any(each.base_url for each in bedrock):
        return ""
    regions = {each.region for each in bedrock}
    foreign = all(
        any(region.startswith(other) for other in _PROFILES.values()) and not region.startswith(wanted)
        for region in regions
    )
    return ", ".join(sorted(regions)) if foreign else ""


def _missing_extras(config: Config) -> list[Problem]:
    """What is asked for, and falls back to something less without a word where it is not installed."""
    wants: list[tuple[str, str]] = []
    embeds = any(route.mode(SEMANTIC_STAGE) != "off" for route in config.routes.values())
    if embeds and config.stages[SEMANTIC_STAGE].embedder == "local":
        wants.append(("local", "$.stages.semantic.embedder"))
    if config.collections:
        wants.append(("retrieval", "$.collections"))
    if config.traces is not None:
        wants.append(("otel", "$.traces"))
    if config.content is not None:
        wants.append(("content", "$.content"))
    if config.counting.vocabulary:
        wants.append(("tokenizers", "$.counting.vocabulary"))
    problems = [
        Problem(at, f"needs {', '.join(lost)}", f"pip install 'hapenny[{extra}]'")
        for extra, at in wants
        if (lost := missing(extra))
    ]
    if ("local", "$.stages.semantic.embedder") in wants and not missing("local"):
        from hapenny.vectors.weights import ModelMissing, find_model

        try:
            find_model()
        except ModelMissing:
            problems.append(
                Problem(
                    "$.stages.semantic.embedder",
                    "the local embedder is not set up: hashed words stand in for it, and find less",
                    "hapenny setup local, or say embedder: hashed",
                )
            )
    collection = config.stages[RETRIEVAL_STAGE].collection
    if any(route.mode(RETRIEVAL_STAGE) == "on" for route in config.routes.values()) and (
        collection not in config.collections
    ):
        fix = "hapenny index build FOLDER FILES, then collections: {NAME: {path: FOLDER}}"
        problems.append(Problem("$.stages.retrieval.collection", f"there is no collection {collection!r}", fix))
    return problems
