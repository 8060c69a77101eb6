"""Which parameters a model refuses, and what to do instead.

Sources: the providers' parameter references as summed up in the card (`Sampling`, `efforts`, `thinking`). A newer
model of a known family that has no card yet is taken to refuse what its youngest known sibling refuses.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hapenny.catalog.card import Card, Sampling
from hapenny.core.messages import Parameters

_STRICT = re.compile(r"claude-(?!v?[12]\b|instant|3|(?:opus|sonnet)-4-2025)|\bgpt-[5-9]|\bo[1-9](?:-|$)|\bgpt-\d\d")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class Refusal(NamedTuple):
    """A parameter that the model would answer with an error."""

    name: str
    why: str
    fix: str


def refusals(card: Card | None, parameters: Parameters, name: str = "") -> list[Refusal]:
    """What `card` would refuse of `parameters`; an empty list: all is well.

    Args:
        card: the model, or None when the catalog does not know it.
        parameters: as they would be sent.
        name: the model's name; decides for a model without a card whether it belongs to a strict family.
    """
    found: list[Refusal] = []
    label = card.id if card is not None else name or "the model"
    sampling = card.sampling if card is not None else _guess(name)
    _sampling(found, label, sampling, parameters)
    if card is None:
        return found
    _thinking(found, card, parameters)
    _limits(found, card, parameters)
    for field in ("seed", "n", "presence_penalty", "frequency_penalty", "verbosity"):
        value = getattr(parameters, field)
        if value is None or field in card.extra_parameters or (field == "n" and value == 1):
            continue
        if field.endswith("_penalty") and value == 0:
            continue
        found.append(Refusal(field, f"{label} has no parameter {field}", f"leave {field} out"))
    return found


def _guess(name: str) -> Sampling:
    if _STRICT.search(name.lower()):
        return Sampling(temperature="no", top_p=False, top_k=False, both=False)
    return Sampling(temperature_max=2.0)


def _sampling(found: list[Refusal], label: str, sampling: Sampling, asked: Parameters) -> None:
    thinks = asked.thinking is not None and asked.thinking.kind != "disabled"
    if asked.temperature is not None:
        if sampling.temperature == "no":
            found.append(Refusal("temperature", f"{label} takes no temperature", "leave it out; effort is the knob"))
        elif sampling.temperature == "one" and asked.temperature != 1:
            found.append(Refusal("temperature", f"{label} takes only temperature 1", "leave it out or send 1"))
        elif asked.temperature > sampling.temperature_max:
            top = f"{sampling.temperature_max:g}"
            found.append(Refusal("temperature", f"{label} takes temperatures from 0 to {top}", f"send at most {top}"))
        elif asked.temperature < 0:
            found.append(Refusal("temperature", "a temperature is never negative", "send 0 or more"))
        elif thinks and asked.temperature != 1:
            found.append(Refusal("temperature", f"{label} takes only temperature 1 while it thinks", "leave it out"))
    if asked.top_p is not None:
        if not sampling.top_p:
            found.append(Refusal("top_p", f"{label} takes no top_p", "leave it out"))
        elif not 0 <= asked.top_p <= 1:
            found.append(Refusal("top_p", "top_p is a share of probability", "send a value from 0 to 1"))
        elif asked.temperature is not None and not sampling.both:
            found.append(Refusal("top_p", f"{label} takes temperature or top_p, not both", "send only one of them"))
        elif thinks and asked.top_p < 0.95:
            found.append(Refusal("top_p", f"{label} takes top_p from .95 on while it thinks", "leave it out"))
    if asked.top_k is not None:
        if not sampling.top_k:
            found.append(Refusal("top_k", f"{label} takes no top_k", "leave it out"))
        elif thinks:
            found.append(Refusal("top_k", f"{label} takes no top_k while it thinks", "leave it out"))


def _thinking(found: list[Refusal], card: Card, asked: Parameters) -> None:
    if asked.effort is not None and asked.effort not in card.efforts:
        if card.efforts:
            instead = nearest_effort(card, asked.effort)
            why = f"{card.id} takes the efforts {', '.join(card.efforts)}"
            found.append(Refusal("effort", why, f"send {instead}" if instead else "leave it out"))
        else:
            found.append(Refusal("effort", f"{card.id} has no reasoning effort", "leave it out"))
    thinking = asked.thinking
    if thinking is None or (thinking.kind == "disabled" and not card.thinking):
        return
    if thinking.kind not in card.thinking:
        if not card.thinking:
            found.append(Refusal("thinking", f"{card.id} does not think", "leave it out"))
        elif thinking.kind == "disabled":
            found.append(Refusal("thinking", f"{card.id} always thinks", "leave it out; a lower effort thinks less"))
        else:
            kinds = ", ".join(sorted(card.thinking))
            found.append(Refusal("thinking", f"{card.id} takes the kinds of thinking {kinds}", f"send one of {kinds}"))
    elif thinking.kind == "enabled" and thinking.budget is not None:
        if thinking.budget < 1024:
            found.append(Refusal("thinking", "a thinking budget has at least 1,024 tokens", "send 1024 or more"))
        elif asked.max_tokens is not None and thinking.budget >= asked.max_tokens:
            found.append(Refusal("thinking", "the thinking budget is part of max_tokens", "raise max_tokens above it"))


def _limits(found: list[Refusal], card: Card, asked: Parameters) -> None:
    if asked.max_tokens is not None:
        if card.max_output is not None and asked.max_tokens > card.max_output:
            found.append(
                Refusal("max_tokens", f"{card.id} writes at most {card.max_output} tokens", f"send {card.max_output}")
            )
        elif asked.max_tokens < (0 if card.provider == "anthropic" else 1):  # 0 fills Anthropic's prompt cache
            found.append(Refusal("max_tokens", "an answer has at least one token", "send 1 or more"))
    if card.stop_max is not None and len(asked.stop) > card.stop_max:
        found.append(
            Refusal("stop", f"{card.id} takes {card.stop_max or 'no'} stop sequences", f"send at most {card.stop_max}")
        )


def nearest_effort(card: Card, effort: str) -> str | None:
    """The effort of `card` nearest to `effort`, the lower one when two are equally near; None: no effort is taken."""
    if effort not in _EFFORTS:
        return None
    rank = _EFFORTS.index(effort)
    known = [one for one in card.efforts if one in _EFFORTS]
    return min(known, key=lambda one: (abs(_EFFORTS.index(one) - rank), _EFFORTS.index(one)), default=None)
