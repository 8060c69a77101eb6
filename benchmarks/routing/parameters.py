"""Six parameter sets on every chat model of the catalog: what is still refused, what was changed without a word."""

from __future__ import annotations

from typing import Any

from hapenny.catalog.catalog import default
from hapenny.catalog.fitting import refusals
from hapenny.core.messages import Parameters
from hapenny.tuning.sets import SETS, ParameterSet, resolve, wanted

FIELDS = ("temperature", "top_p", "top_k", "max_tokens", "effort", "thinking", "stop", "latency", "service_tier")


def count() -> dict[str, Any]:
    """Every set as shipped, and once more with `both` and top_k, on every chat card."""
    refused = unreported = requests = changed = 0
    cards = [card for card in default().cards.values() if card.kind == "chat"]
    for card in cards:
        for chosen in SETS.values():
            for variant in (chosen, _fuller(chosen)):
                plain = wanted(variant, Parameters())
                done = resolve(variant, card)
                refused += len(refusals(card, done.parameters, card.id))
                told = {change.name for change in done.changes}
                told |= {"effort"} if any("effort=" in change.why for change in done.changes) else set()
                differ = {f for f in FIELDS if getattr(plain, f) != getattr(done.parameters, f)}
                unreported += len(differ - told)
                changed += bool(differ)
                requests += 1
    return {
        "refused": refused,
        "unreported": unreported,
        "requests": requests,
        "changed": changed,
        "models": len(cards),
    }


def _fuller(chosen: ParameterSet) -> ParameterSet:
    return ParameterSet(
        temperature=chosen.temperature,
        top_p=chosen.top_p,
        top_k=40,
        both=True,
        effort=chosen.effort,
        length=chosen.length,
    )
