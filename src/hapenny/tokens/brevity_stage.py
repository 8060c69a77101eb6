"""The brevity stage: an instruction to answer shortly, as an arm of an experiment whose result is what it saves."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hapenny.core.answer import Answer, EventTransform
from hapenny.core.events import Event, Stopped
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Text
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.tokens.options import BREVITY_STAGE, BrevityOptions, BrevityProfile

PROFILES: dict[str, BrevityProfile] = {
    "plain": BrevityProfile(instruction="Answer in as few words as the question allows. Do not repeat the question."),
    "two-sentences": BrevityProfile(instruction="Answer in at most two sentences unless you are asked for more."),
    "no-closing": BrevityProfile(instruction="Leave out greetings, offers of further help and summaries at the end."),
}


class Brief(Decision):
    """The profile of the exchange's arm."""

    profile: str


class BrevityStage(Stage, spec=BREVITY_STAGE):
    """Adds the profile's instruction behind the system prompt: the same bytes for all of an arm's requests."""

    def __init__(self, options: BrevityOptions) -> None:
        self._experiment = options.experiment
        self._profiles = {**PROFILES, **options.profiles}

    async def decide(self, exchange: Exchange, ask: Ask) -> Brief | None:
        """None outside the experiment, in its control, and where the answer's form is given."""
        arm = exchange.arms.get(self._experiment)
        profile = self._profiles.get(arm) if arm is not None else None
        if arm is None or profile is None or exchange.request.parameters.format is not None:
            return None
        if profile.intents and exchange.intent not in profile.intents:
            return None
        return Brief(profile=arm, reason=arm)

    async def apply(self, decision: Brief, exchange: Exchange, onward: Onward) -> Answer:
        """Sends the instruction along."""
        profile = self._profiles[decision.profile]
        request = exchange.request
        own = request.parameters.stop
        added = tuple(stop for stop in profile.stop if stop not in own)
        exchange.request = replace(
            request,
            system=(*request.system, Text(profile.instruction)),
            parameters=replace(request.parameters, stop=own + added) if added else request.parameters,
        )
        answer = await onward(exchange)
        return answer.through(_OwnStops(frozenset(added))) if added else answer


class _OwnStops(EventTransform):
    """The client did not ask for our stop sequences: an answer they end has simply ended."""

    def __init__(self, added: frozenset[str]) -> None:
        self._added = added

    def one(self, event: Event) -> Sequence[Event]:
        """Passes everything on but the name of our sequence."""
        if isinstance(event, Stopped) and event.reason == "stop_sequence" and event.sequence in self._added:
            return (Stopped("end_turn", event.choice, None, event.extras),)
        return (event,)
