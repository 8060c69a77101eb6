"""The parameter stage: nothing reaches a model that the model refuses, and nothing is changed silently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hapenny.catalog import Card, Refusal, nearest_effort, refusals
from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Parameters
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.tuning.options import ParameterOptions


class Change(Decision):
    """Parameters as they will be sent, and what was done to get there."""

    parameters: Parameters
    notes: tuple[str, ...] = ()


class ParameterStage(Stage):
    """Translates or drops what the capability table says the model refuses; rejects what has no translation.

    Args:
        find: the card of a model id.
        options: translate, or reject everything that is refused.
        defaults: what a configured model gets where the client sends nothing.
    """

    name = "parameters"

    def __init__(
        self,
        find: Callable[[str], Card | None],
        options: ParameterOptions,
        defaults: Mapping[Target, Parameters] | None = None,
    ) -> None:
        self._find = find
        self._options = options
        self._defaults = dict(defaults or {})

    async def decide(self, exchange: Exchange, ask: Ask) -> Change | None:
        """None when the model takes everything.

        Raises:
            Failure: `invalid_request`, naming the parameter and the fix.
        """
        model = exchange.target.model
        card = self._find(model)
        asked = filled(exchange.request.parameters, self._defaults.get(exchange.target))
        found = refusals(card, asked, model)
        if not found:
            return None if asked is exchange.request.parameters else Change(parameters=asked)
        if self._options.refused == "reject":
            raise Failure("invalid_request", found[0].why, field=found[0].name, fix=found[0].fix)
        parameters, notes = translate(asked, found, card)
        return Change(parameters=parameters, notes=notes)

    async def apply(self, decision: Change, exchange: Exchange, onward: Onward) -> Answer:
        """Sends the changed parameters on and notes each change."""
        exchange.request = msgspec.structs.replace(exchange.request, parameters=decision.parameters)
        for note in decision.notes:
            exchange.note(note)
        return await onward(exchange)


def filled(parameters: Parameters, defaults: Parameters | None) -> Parameters:
    """`parameters`, with `defaults` where nothing was sent. A sampling knob is not added beside another that was."""
    if defaults is None:
        return parameters
    sampled = parameters.temperature is not None or parameters.top_p is not None
    added = {
        name: value
        for name in Parameters.__struct_fields__
        if (value := getattr(defaults, name)) not in (None, ())
        and getattr(parameters, name) in (None, ())
        and not (sampled and name in ("temperature", "top_p"))
    }
    return msgspec.structs.replace(parameters, **added) if added else parameters


def translate(parameters: Parameters, found: list[Refusal], card: Card | None) -> tuple[Parameters, tuple[str, ...]]:
    """`parameters` without what is refused, and a note for each change.

    Raises:
        Failure: where leaving a parameter out would change what was asked for (several answers, more stop sequences
            than the model takes, a log of probabilities).
    """
    changed: dict[str, Any] = {}
    notes = []
    for refusal in found:
        name = refusal.name
        value = getattr(parameters, name, None)
        if name in ("n", "stop"):
            raise Failure("invalid_request", refusal.why, field=name, fix=refusal.fix)
        if name == "effort" and card is not None and value is not None:
            nearest = nearest_effort(card, value)
            changed[name] = nearest
            notes.append(f"effort={value}->{nearest}" if nearest else "effort dropped")
        elif name == "max_tokens" and card is not None and card.max_output is not None:
            changed[name] = card.max_output
            notes.append(f"max_tokens={value}->{card.max_output}")
        elif name in Parameters.__struct_fields__:
            changed[name] = None
            notes.append(f"{name} dropped")
    return msgspec.structs.replace(parameters, **changed), tuple(notes)
