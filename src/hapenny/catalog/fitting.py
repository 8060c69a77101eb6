"""Parameters as a model takes them: what it refuses, what is translated or left out, and every difference told.

What a model refuses stands in the providers' parameter references, summed up in its card (`Sampling`, `efforts`,
`thinking`). A newer model of a known family that has no card yet is taken to refuse what its youngest known sibling
refuses.

A pure function of the card, asked for every call whatever the stages do: a request that a model would answer with 400
is no saving, it is an error. What has no translation is left as it is: it is refused before it is sent (`n`), or the
gateway does it itself (`stop`).

The wish to reason is translated both ways by `BUDGETS`. Its ends are Anthropic's smallest budget (1,024 tokens) and
what the public tables of OpenRouter, genai and CLIProxyAPI agree on for the highest effort (about 32,000); the steps
between are powers of two. A budget is the effort whose budget is nearest by ratio.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from hapenny.catalog.card import Card, Sampling
from hapenny.core.messages import Parameters, Thinks

BUDGETS: dict[str, int] = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 32_768,
}
"""Thinking tokens that an effort stands for, on models that think by a budget."""
LEAST_BUDGET = 1_024
"""The smallest budget Anthropic takes."""
MOST = 0.8
"""The largest share of max_tokens a translated budget may take: the answer needs the rest."""
ROOM = 4_096
"""Tokens left for the answer beside a translated budget, where the client set no max_tokens."""
ADAPTIVE = "medium"
"""The effort of a model that is told to think as much as it sees fit: what OpenAI's models do by themselves."""
UNTRANSLATED = frozenset({"n", "stop"})
"""Refused parameters that are not changed here."""
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
    refused: list[Refusal] = []
    label = card.id if card is not None else name or "the model"
    sampling = card.sampling if card is not None else _guess(name)
    _refused_sampling(refused, label, sampling, parameters)
    if card is None:
        return refused
    _refused_thinking(refused, card, parameters)
    _refused_limits(refused, card, parameters)
    for field in ("seed", "n", "presence_penalty", "frequency_penalty", "verbosity"):
        value = getattr(parameters, field)
        if value is None or field in card.extra_parameters or (field == "n" and value == 1):
            continue
        if field.endswith("_penalty") and value == 0:
            continue
        refused.append(Refusal(field, f"{label} has no parameter {field}", f"leave {field} out"))
    return refused


def _guess(name: str) -> Sampling:
    if _STRICT.search(name.lower()):
        return Sampling(temperature="no", top_p=False, top_k=False, both=False)
    return Sampling(temperature_max=2.0)


def _refused_sampling(refused: list[Refusal], label: str, sampling: Sampling, asked: Parameters) -> None:
    thinks = asked.thinking is not None and asked.thinking.kind != "disabled"
    if asked.temperature is not None:
        if sampling.temperature == "no":
            refused.append(Refusal("temperature", f"{label} takes no temperature", "leave it out; effort is the knob"))
        elif sampling.temperature == "one" and asked.temperature != 1:
            refused.append(Refusal("temperature", f"{label} takes only temperature 1", "leave it out or send 1"))
        elif asked.temperature > sampling.temperature_max:
            top = f"{sampling.temperature_max:g}"
            refused.append(Refusal("temperature", f"{label} takes temperatures from 0 to {top}", f"send at most {top}"))
        elif asked.temperature < 0:
            refused.append(Refusal("temperature", "a temperature is never negative", "send 0 or more"))
        elif thinks and asked.temperature != 1:
            refused.append(Refusal("temperature", f"{label} takes only temperature 1 while it thinks", "leave it out"))
    if asked.top_p is not None:
        if not sampling.top_p:
            refused.append(Refusal("top_p", f"{label} takes no top_p", "leave it out"))
        elif not 0 <= asked.top_p <= 1:
            refused.append(Refusal("top_p", "top_p is a share of probability", "send a value from 0 to 1"))
        elif asked.temperature is not None and not sampling.both:
            refused.append(Refusal("top_p", f"{label} takes temperature or top_p, not both", "send only one of them"))
        elif thinks and asked.top_p < 0.95:
            refused.append(Refusal("top_p", f"{label} takes top_p from .95 on while it thinks", "leave it out"))
    if asked.top_k is not None:
        if not sampling.top_k:
            refused.append(Refusal("top_k", f"{label} takes no top_k", "leave it out"))
        elif thinks:
            refused.append(Refusal("top_k", f"{label} takes no top_k while it thinks", "leave it out"))


def _refused_thinking(refused: list[Refusal], card: Card, asked: Parameters) -> None:
    if asked.effort is not None and asked.effort not in card.efforts:
        if card.efforts:
            instead = nearest_effort(card, asked.effort)
            why = f"{card.id} takes the efforts {', '.join(card.efforts)}"
            refused.append(Refusal("effort", why, f"send {instead}" if instead else "leave it out"))
        else:
            refused.append(Refusal("effort", f"{card.id} has no reasoning effort", "leave it out"))
    thinking = asked.thinking
    if thinking is None or (thinking.kind == "disabled" and not card.thinking):
        return
    if thinking.kind not in card.thinking:
        if not card.thinking:
            refused.append(Refusal("thinking", f"{card.id} does not think", "leave it out"))
        elif thinking.kind == "disabled":
            refused.append(Refusal("thinking", f"{card.id} always thinks", "leave it out; a lower effort thinks less"))
        else:
            kinds = ", ".join(sorted(card.thinking))
            refused.append(
                Refusal("thinking", f"{card.id} takes the kinds of thinking {kinds}", f"send one of {kinds}")
            )
    elif thinking.kind == "enabled" and thinking.budget is not None:
        if thinking.budget < 1024:
            refused.append(Refusal("thinking", "a thinking budget has at least 1,024 tokens", "send 1024 or more"))
        elif asked.max_tokens is not None and thinking.budget >= asked.max_tokens:
            refused.append(
                Refusal("thinking", "the thinking budget is part of max_tokens", "raise max_tokens above it")
            )


def _refused_limits(refused: list[Refusal], card: Card, asked: Parameters) -> None:
    if asked.max_tokens is not None:
        if card.max_output is not None and asked.max_tokens > card.max_output:
            refused.append(
                Refusal("max_tokens", f"{card.id} writes at most {card.max_output} tokens", f"send {card.max_output}")
            )
        elif asked.max_tokens < (0 if card.provider == "anthropic" else 1):  # 0 fills Anthropic's prompt cache
            refused.append(Refusal("max_tokens", "an answer has at least one token", "send 1 or more"))
    if card.stop_max is not None and len(asked.stop) > card.stop_max:
        refused.append(
            Refusal("stop", f"{card.id} takes {card.stop_max or 'no'} stop sequences", f"send at most {card.stop_max}")
        )


def nearest_effort(card: Card, effort: str, *, thinks: bool = False) -> str | None:
    """The effort of `card` nearest to `effort`, the lower one when two are equally near; None: no effort is taken.
    `thinks`: one that does think."""
    if effort not in _EFFORTS:
        return None
    rank = _EFFORTS.index(effort)
    known = [one for one in card.efforts if one in _EFFORTS and not (thinks and one == "none")]
    return min(known, key=lambda one: (abs(_EFFORTS.index(one) - rank), _EFFORTS.index(one)), default=None)


class Change(Struct, frozen=True):
    """One difference between what was wanted and what is sent. `refused`: the model would have answered an error;
    `instead`: another parameter that says it."""

    name: str
    wanted: Any
    sent: Any
    why: str
    refused: bool = True
    instead: str = ""

    def note(self) -> str:
        """One line for the answer's headers."""
        if self.instead:
            return f"{self.name}={plain(self.wanted)} said as {self.instead}: {self.why}"
        what = "dropped" if self.sent is None else f"sent as {plain(self.sent)}"
        return f"{self.name}={plain(self.wanted)} {what}: {self.why}"


class Fit(Struct, frozen=True):
    """Parameters that the model takes, and every change that was needed."""

    parameters: Parameters
    changes: tuple[Change, ...] = ()


def fit(
    card: Card | None,
    asked: Parameters,
    model: str = "",
    *,
    effort: str | None = None,
    effort_thinks: bool = False,
) -> Fit:
    """`asked`, as the model of `card` takes it.

    Args:
        card: the model; None when the catalog does not know it (then `model`, its name, decides).
        asked: what client, route and parameter set want together.
        model: the provider's name of the model.
        effort: what a refused temperature means, on models whose knob is effort (from a parameter set).
        effort_thinks: whether an effort is a wish to reason, as in OpenAI's dialect (Anthropic's is a wish to spend
            more or less on everything).
    """
    changes: list[Change] = []
    now = asked
    for _ in range(16):
        for wrong in refusals(card, now, model):
            if wrong.name not in UNTRANSLATED:
                break
        else:
            break
        now, change = _fixed(wrong, card, now, effort, effort_thinks)
        changes.append(change)
    return Fit(now, tuple(changes)) if changes else Fit(asked)


def budget_of(effort: str, max_tokens: int | None) -> int | None:
    """Thinking tokens for `effort` within `max_tokens`; None where there is no room to think, or for no effort."""
    budget = BUDGETS.get(effort)
    if budget is None:
        return None
    if max_tokens is not None:
        budget = min(budget, int(max_tokens * MOST))
    return budget if budget >= LEAST_BUDGET else None


def effort_of(thinks: Thinks) -> str:
    """The effort that a wish to think stands for."""
    if thinks.kind == "disabled":
        return "none"
    budget = thinks.budget
    if budget is None:
        return ADAPTIVE
    return min(BUDGETS, key=lambda one: max(budget / BUDGETS[one], BUDGETS[one] / budget))


def _fixed(
    wrong: Refusal, card: Card | None, now: Parameters, effort: str | None, effort_thinks: bool
) -> tuple[Parameters, Change]:
    name, why = wrong.name, wrong.why
    value = getattr(now, name)
    sent: Any = None
    more: dict[str, Any] = {}
    instead = ""
    if name == "temperature" and card is not None:
        if card.sampling.temperature == "any" and value > card.sampling.temperature_max:
            sent = None if _thinks(now) else card.sampling.temperature_max
        elif card.sampling.temperature != "any" and now.effort is None and now.thinking is None and effort is not None:
            nearest = nearest_effort(card, effort)
            if nearest is not None:
                more["effort"] = nearest
                why = f"{why}; effort={nearest} says what the set means"
    elif name == "effort" and card is not None:
        if value == "none" and card.family == "nova":
            why = f"{card.id} reasons only when it is told to"
        else:
            sent = nearest_effort(card, value)
        switched = bool(card.efforts) and now.thinking is None and "disabled" in card.thinking
        if effort_thinks and value == "none" and switched:
            # Such models think when they are told to; their lowest effort is no word for not thinking at all.
            still = msgspec.structs.replace(now, effort=None, thinking=Thinks("disabled"))
            return still, Change(name, value, None, why, instead="thinking=disabled")
        adaptive = now.thinking is not None and now.thinking.kind == "adaptive"  # then effort says how much
        wishes = adaptive or (effort_thinks and now.thinking is None)
        if wishes and not card.efforts and "enabled" in card.thinking and value in BUDGETS:
            return _as_budget(card, now, value)
    elif name == "max_tokens" and card is not None:
        sent = card.max_output if card.max_output is not None and value > card.max_output else 1
    elif name == "thinking":
        sent = _thinking(card, now)
        if card is not None and not card.thinking and card.efforts and now.effort is None and value.kind != "disabled":
            nearest = nearest_effort(card, effort_of(value), thinks=True)
            if nearest is not None:
                more["effort"] = nearest
                instead = f"effort={nearest}"
    if sent == value:
        sent = None
    change = Change(name, value, sent or None, why, instead=instead)
    return msgspec.structs.replace(now, **{name: sent}, **more), change


def _thinks(now: Parameters) -> bool:
    return now.thinking is not None and now.thinking.kind != "disabled"


def _as_budget(card: Card, now: Parameters, effort: str) -> tuple[Parameters, Change]:
    """An effort on a model that thinks by a budget."""
    budget = budget_of(effort, now.max_tokens)
    if budget is None:
        why = f"{card.id} thinks in at least {LEAST_BUDGET} tokens, max_tokens leaves no room for them"
        return msgspec.structs.replace(now, effort=None), Change("effort", effort, None, why)
    limit = now.max_tokens if now.max_tokens is not None else budget + ROOM
    if card.max_output is not None and now.max_tokens is None:
        limit = min(limit, card.max_output)
    thinks = Thinks("enabled", min(budget, limit - 1))
    changed = msgspec.structs.replace(now, effort=None, thinking=thinks, max_tokens=limit)
    why = f"{card.id} thinks by a budget"
    return changed, Change("effort", effort, None, why, instead=f"thinking={plain(thinks)}")


def _thinking(card: Card | None, now: Parameters) -> Thinks | None:
    asked = now.thinking
    if card is None or asked is None or asked.kind == "disabled" or not card.thinking:
        return None
    if asked.kind in card.thinking:
        if asked.budget is not None and asked.budget < LEAST_BUDGET and (now.max_tokens or ROOM) > LEAST_BUDGET:
            return msgspec.structs.replace(asked, budget=LEAST_BUDGET)
        limit = (now.max_tokens or 0) - 1
        return msgspec.structs.replace(asked, budget=limit) if limit >= LEAST_BUDGET else None
    if "adaptive" in card.thinking:
        return Thinks(kind="adaptive")
    if "enabled" in card.thinking:
        budget = min(asked.budget or BUDGETS[ADAPTIVE], (now.max_tokens or ROOM) - 1)
        return Thinks(kind="enabled", budget=budget) if budget >= LEAST_BUDGET else None
    return None


def plain(value: Any) -> str:
    """A parameter as a note names it."""
    if isinstance(value, Thinks):
        return f"{value.kind}({value.budget})" if value.budget else value.kind
    if isinstance(value, tuple):
        return f"{len(value)} sequences"
    return f"{value:g}" if isinstance(value, float) else str(value)
