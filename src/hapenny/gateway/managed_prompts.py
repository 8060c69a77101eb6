"""Managed prompts of Bedrock among the configured models: their templates are read, so that requests are counted whole.

Converse fills in a template that is not in the request. Each configured prompt is read by GetPrompt at start, a draft
and what could not be read again from time to time, never on the way of a request. Its tokens are then part of every
count before the answer: of quotas, of budgets, of the bound of an answer that was lost, of what a window holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from hapenny.backends.contract import Backend
from hapenny.catalog.naming import managed_prompt
from hapenny.config import Config
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.exchange import Limits, Target
from hapenny.core.log import get_logger
from hapenny.protocols.bedrock.managed_prompt import VARIABLE, variants
from hapenny.telemetry.pricing import Prices

_log = get_logger("hapenny.prompts")
AGAIN_S = 600.0
"""A draft may change, and a permission be given: read again after so many seconds."""
PATIENCE_S = 30.0
_LARGEST = 8 << 20


def configured(config: Config) -> list[Target]:
    """The managed prompts among the models of a configuration."""
    return [
        Target(model.id, config.backend_of(model.backend), model.region)
        for model in config.models.values()
        if managed_prompt(model.id)
    ]


async def keep(prompts: Iterable[Target], backends: Mapping[str, Backend], prices: Prices, clock: Clock) -> None:
    """Reads the templates now, and again those that may change. Never raises; ends when nothing may change any more."""
    waiting = list(prompts)
    told: set[str] = set()
    while waiting:
        again: list[Target] = []
        for target in waiting:
            try:
                tokens = _counted(await _read(target, backends[target.backend], clock), target, prices)
            except (Failure, KeyError) as error:
                if target.model not in told:
                    told.add(target.model)
                    fix = "allow bedrock:GetPrompt; until then counts leave the template out"
                    _log.warning("a managed prompt cannot be read", model=target.model, error=str(error), fix=fix)
                again.append(target)
                continue
            prices.templated(target.model, tokens)
            _log.info("a managed prompt was read", model=target.model)
            if not _version(target.model):
                again.append(target)
        waiting = again
        if waiting:
            await clock.sleep(AGAIN_S)


def _version(arn: str) -> str:
    """The version in the ARN of a prompt; empty: the draft."""
    return arn.partition(":prompt/")[2].partition(":")[2]


async def _read(target: Target, backend: Backend, clock: Clock) -> dict[str, Any]:
    """What GetPrompt answers."""
    version = _version(target.model)
    arn = target.model.removesuffix(f":{version}") if version else target.model
    path = f"/prompts/{quote(arn, safe='')}/" + (f"?promptVersion={quote(version, safe='')}" if version else "")
    now = clock.now()
    limits = Limits(now + PATIENCE_S, now + PATIENCE_S)
    region = target.region or arn.split(":")[3]
    raw = await backend.forward("GET", path, {"accept": "application/json"}, b"", limits, region)
    pieces: list[bytes] = []
    try:
        while (piece := await raw.body.read()) is not None:
            pieces.append(piece)
            if sum(map(len, pieces)) > _LARGEST:
                raise Failure("upstream", "GetPrompt answered with more than 8 MB")
    finally:
        raw.body.close()
    if raw.status >= 400:
        raise Failure("upstream", f"GetPrompt answered with status {raw.status}", upstream_status=raw.status)
    try:
        return msgspec.json.decode(b"".join(pieces), type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise Failure("upstream", "GetPrompt answered with something that is no prompt") from None


def _counted(prompt: dict[str, Any], target: Target, prices: Prices) -> int:
    """Tokens of the default variant's template, its variables left out: they come with the request."""
    listed = variants(prompt)
    named = prompt.get("defaultVariant")
    variant = next((one for one in listed if one.name == named), listed[0])
    texts = [VARIABLE.sub("", part.text) for part in variant.parts()]
    place = prices.place(Target(variant.model or target.model, target.backend, target.region))
    return round(sum(place.prompts.tokens(text) for text in texts if text))
