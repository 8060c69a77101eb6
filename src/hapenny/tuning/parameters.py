"""The parameter stage: nothing reaches a model that the model refuses, and nothing is changed silently."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from hapenny.catalog import Card, Fit, fit
from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Parameters
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.tuning.experiments import ARM_PARAMETERS
from hapenny.tuning.options import PARAMETERS_STAGE, ParameterOptions
from hapenny.tuning.sets import BY_INTENT, SETS, ParameterSet, Resolved, resolve

_WORDS = 64
"""Characters of levels and a service tier that some provider has."""
_REMEMBERED = 1_024


class Change(Decision):
    """Parameters as they will be sent, and what was done to get there."""

    parameters: Parameters
    notes: tuple[str, ...] = ()


class ParameterStage(Stage, spec=PARAMETERS_STAGE):
    """Gives an intent its parameter set, and translates or drops what the capability table says the model refuses.

    What the model refuses is translated where it is sent as well (`catalog.fit`), so that nobody depends on this stage
    for an answer: here it is decided earlier, for stages behind it and their prices, and may be rejected instead.

    Args:
        find: the card of a model id.
        options: sets, and whether to translate or reject what is refused.
        defaults: what a configured model gets where the client sends nothing.
        learned: max_tokens learned for a route and intent (p99 with headroom), or None.
    """

    def __init__(
        self,
        find: Callable[[str], Card | None],
        options: ParameterOptions,
        defaults: Mapping[Target, Parameters] | None = None,
        learned: Callable[[str, str], int | None] | None = None,
    ) -> None:
        self._find = find
        self._options = options
        self._defaults = {target: said for target, said in (defaults or {}).items() if said != Parameters()}
        self._learned = learned
        self._sets = {**SETS, **options.sets}
        self._fitting: set[tuple[Target, str, bool, Parameters]] = set()
        """Parameters that a model takes as they are, of the requests of late."""

    async def decide(self, exchange: Exchange, ask: Ask) -> Change | None:
        """None when nothing is to be set and the model takes everything.

        Raises:
            Failure: `invalid_request`, naming the parameter and the fix.
        """
        model, request = exchange.target.model, exchange.request
        arm = exchange.stage_notes.get(ARM_PARAMETERS)
        chosen = arm if arm is not None else self.choose(exchange.intent)
        thinks = request.protocol in ("openai", "responses", "completions")
        parameters = request.parameters
        mark = None
        if _small(parameters):
            mark = (exchange.target, exchange.intent, thinks, parameters)
            if mark in self._fitting and ARM_PARAMETERS not in exchange.stage_notes:
                return None
        card = self._find(model)
        asked = filled(parameters, self._defaults.get(exchange.target))
        done: Fit | Resolved
        if chosen is None:
            done = fit(card, asked, model, effort_thinks=thinks)
        else:
            learned = self._learned(exchange.route, exchange.intent) if self._learned is not None else None
            done = resolve(chosen, card, asked, learned=learned, model=model, effort_thinks=thinks)
        for change in done.changes:
            mine = getattr(asked, change.name, None) == change.wanted
            if change.refused and mine and self._options.refused == "reject":
                raise Failure("invalid_request", change.why, field=change.name, fix=f"leave {change.name} out")
        if done.parameters == parameters:
            if mark is not None and arm is None and (chosen is None or self._learned is None):
                if len(self._fitting) >= _REMEMBERED:
                    self._fitting.clear()
                self._fitting.add(mark)
            return None
        notes = tuple(change.note() for change in done.changes if change.refused)
        return Change(parameters=done.parameters, notes=notes)

    def choose(self, intent: str) -> ParameterSet | None:
        """The set of an intent, if sets are in use and there is one."""
        if not self._options.use_sets:
            return None
        name = self._options.by_intent.get(intent) or (intent if intent in self._sets else BY_INTENT.get(intent, ""))
        return self._sets.get(name)

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


def _small(parameters: Parameters) -> bool:
    """Whether parameters can be remembered: what can be of any size, or has no hash, is not there."""
    if parameters.thinking is not None or parameters.format is not None or parameters.stop:
        return False
    return len(parameters.effort or "") + len(parameters.verbosity or "") + len(parameters.service_tier or "") <= _WORDS
