"""Parameter sets by use case, and what becomes of them on a model that refuses some.

The six sets are the use-case table of the parameter guidelines (temperature, top-p, length); `resolve` puts one onto a
model through the catalog's capability table. Nothing is dropped in silence: every difference between what was wanted
and what is sent is a `Change`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from hapenny.catalog import Card, Change, fit
from hapenny.core.messages import Parameters

Length: TypeAlias = Literal["exact", "short", "medium", "long"]

LENGTHS: dict[Length, int] = {"exact": 512, "short": 64, "medium": 1_024, "long": 4_096}
"""Tokens reserved for an answer as long as nothing was learned about this traffic."""


class ParameterSet(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A named set of model parameters; None leaves a parameter to the client and the model.

    `both`: send temperature and top_p together where the model takes both. `effort` is what the set means on a model
    that takes no temperature. `length` becomes max_tokens: the learned size of such answers, else LENGTHS.
    `override`: goes before what the client sent.
    """

    temperature: Annotated[float | None, Meta(description="0 is the most repeatable.")] = None
    top_p: Annotated[float | None, Meta(description="Nucleus sampling.")] = None
    top_k: Annotated[int | None, Meta(description="How many tokens are candidates.")] = None
    both: Annotated[bool, Meta(description="Send temperature and top_p together where the model takes both.")] = False
    effort: Annotated[str | None, Meta(description="How much to think, where the model takes it.")] = None
    length: Annotated[
        Length | None,
        Meta(description="Resolved to the size that answers of the intent have been seen to need."),
    ] = None
    max_tokens: Annotated[int | None, Meta(description="A fixed limit instead of `length`.")] = None
    latency: Annotated[
        Literal["standard", "optimized"] | None,
        Meta(description="`optimized` asks for latency-optimised inference."),
    ] = None
    service_tier: Annotated[str | None, Meta(description="standard, priority or flex.")] = None
    override: Annotated[bool, Meta(description="Also replace what the client sent.")] = False


SETS: dict[str, ParameterSet] = {
    "extraction": ParameterSet(temperature=0.0, top_p=0.1, effort="low", length="exact"),
    "classification": ParameterSet(temperature=0.0, top_p=0.1, effort="low", length="short"),
    "summarization": ParameterSet(temperature=0.3, top_p=0.5, effort="low", length="medium"),
    "creative": ParameterSet(temperature=0.85, top_p=0.9, effort="medium", length="long"),
    "code": ParameterSet(temperature=0.2, top_p=0.3, effort="high", length="long"),
    "chat": ParameterSet(temperature=0.5, top_p=0.7, effort="low", length="medium"),
}
"""The shipped sets. Creative writing stands in the middle of the table's .7 to 1."""

BY_INTENT: dict[str, str] = {
    "extraction": "extraction",
    "classification": "classification",
    "summarization": "summarization",
    "compression": "summarization",
    "creative": "creative",
    "code": "code",
    "chat": "chat",
    "chitchat": "chat",
}
"""Which set an intent gets when the configuration names none."""


class Resolved(Struct, frozen=True):
    """Parameters that the model takes, and every change that was needed."""

    parameters: Parameters
    changes: tuple[Change, ...]


def wanted(chosen: ParameterSet, client: Parameters, learned: int | None = None) -> Parameters:
    """What client and set ask for together: the set fills what the client left out (or overrides it)."""
    size = chosen.max_tokens
    if size is None and chosen.length is not None:
        size = learned or LENGTHS[chosen.length]
    # A client that set one of the two sampling knobs has made that choice; the set does not add the other.
    sampled = client.temperature is not None or client.top_p is not None
    thinks = client.thinking is not None and client.thinking.kind != "disabled"
    fill: dict[str, Any] = {"max_tokens": size, "latency": chosen.latency, "service_tier": chosen.service_tier}
    if chosen.override or not (sampled or thinks):
        fill |= {"temperature": chosen.temperature, "top_p": chosen.top_p}
    if chosen.override or not thinks:
        fill["top_k"] = chosen.top_k
    new = {
        name: value
        for name, value in fill.items()
        if value is not None and (chosen.override or getattr(client, name) is None)
    }
    return msgspec.structs.replace(client, **new) if new else client


def resolve(
    chosen: ParameterSet | None,
    card: Card | None,
    client: Parameters | None = None,
    *,
    learned: int | None = None,
    model: str = "",
    effort_thinks: bool = False,
) -> Resolved:
    """Parameters for the model of `card`: client and set together, translated or dropped where the model refuses.

    Args:
        chosen: the parameter set, or None to put only the client's own parameters through the table.
        card: the model; None when the catalog does not know it (then `model`, its name, decides).
        client: what the client sent.
        learned: max_tokens learned for such answers (p99 with headroom), if any.
        effort_thinks: whether the client's effort is a wish to reason (`catalog.fit`).
    """
    asked = client or Parameters()
    use = wanted(chosen, asked, learned) if chosen is not None else asked
    changes: list[Change] = []
    alone = chosen is not None and not chosen.both and (chosen.override or asked.top_p is None)
    if alone and use.temperature is not None and use.top_p is not None:
        changes.append(Change("top_p", use.top_p, None, "temperature alone, as the set does not say both", False))
        use = msgspec.structs.replace(use, top_p=None)
    effort = chosen.effort if chosen is not None else None
    done = fit(card, use, model, effort=effort, effort_thinks=effort_thinks)
    return Resolved(done.parameters, (*changes, *done.changes))
