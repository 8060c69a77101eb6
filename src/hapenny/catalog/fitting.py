"""Parameters as a model takes them: what it refuses is translated or left out, and every difference is told.

A pure function of the card, asked for every call whatever the stages do: a request that a model would answer with 400
is no saving, it is an error. What has no translation is left as it is: it is refused before it is sent (`n`), or the
gateway does it itself (`stop`).

The wish to reason is translated both ways by `BUDGETS`. Its ends are Anthropic's smallest budget (1,024 tokens) and
what the public tables of OpenRouter, genai and CLIProxyAPI agree on for the highest effort (about 32,000); the steps
between are powers of two. A budget is the effort whose budget is nearest by ratio.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hapenny.catalog.capability import Refusal, nearest_effort, refusals
from hapenny.catalog.card import Card
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
        wrong = next((one for one in refusals(card, now, model) if one.name not in UNTRANSLATED), None)
        if wrong is None:
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
        sent = nearest_effort(card, value)
        thinks = effort_thinks and not card.efforts and "enabled" in card.thinking and now.thinking is None
        if thinks and value in BUDGETS:
            return _as_budget(card, now, value)
    elif name == "max_tokens" and card is not None:
        sent = card.max_output if card.max_output is not None and value > card.max_output else 1
    elif name == "thinking":
        sent = _thinking(card, now)
        if card is not None and not card.thinking and card.efforts and now.effort is None and value.kind != "disabled":
            nearest = nearest_effort(card, effort_of(value))
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
        budget = min(asked.budget or 2_048, (now.max_tokens or ROOM) - 1)
        return Thinks(kind="enabled", budget=budget) if budget >= LEAST_BUDGET else None
    return None


def plain(value: Any) -> str:
    """A parameter as a note names it."""
    if isinstance(value, Thinks):
        return f"{value.kind}({value.budget})" if value.budget else value.kind
    if isinstance(value, tuple):
        return f"{len(value)} sequences"
    return f"{value:g}" if isinstance(value, float) else str(value)
