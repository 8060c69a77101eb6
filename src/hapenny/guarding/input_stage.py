"""The input guardrail: what clients send is redacted or refused before anybody else reads it.

It stands before caches, retrieval and models, and what it leaves is the request as far as everybody behind is
concerned: its key, its baseline, its audits, what is remembered of it. It is no saving, so it runs in the holdout as
well.
"""

from __future__ import annotations

from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Request
from hapenny.core.notes import Note
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.guarding.counts import GuardCounts
from hapenny.guarding.options import GUARD_INPUT_STAGE, InputRules
from hapenny.guarding.policy import Policy
from hapenny.guarding.refused import refusal
from hapenny.guarding.remote_guard import RemoteGuard
from hapenny.guarding.remote_texts import judged
from hapenny.guarding.request_guard import Checked, RequestGuard

_CHECKED: Note[tuple[Checked, Ask]] = Note("guard_input.checked")
THREAD_CHARACTERS = 24_000
"""New characters from which reading them goes to a thread."""


class Guarded(Decision):
    """What was found in a request; `reason` counts kinds and holds no text."""

    blocked: str = ""


class InputGuardStage(Stage, spec=GUARD_INPUT_STAGE):
    """Redacts requests, or answers in their model's place.

    Args:
        rules: of the route.
        secret: keys digests of what was read.
        remote: a provider's guardrail that is asked as well.
        counts: of what was found and acted upon.
    """

    def __init__(
        self,
        rules: InputRules,
        secret: bytes = b"",
        remote: RemoteGuard | None = None,
        counts: GuardCounts | None = None,
    ) -> None:
        self._counts = GuardCounts() if counts is None else counts
        policy = Policy(rules.items, rules.deny, rules.watch, rules.style)
        self._message = rules.message
        self._guard = RequestGuard(policy, rules.injection, system=rules.system, secret=secret)
        self._remote = remote

    async def decide(self, exchange: Exchange, ask: Ask) -> Guarded | None:
        """Reads what is new in the request; None where there is nothing to do."""
        request = exchange.request
        size = self._guard.new(request)
        if size > THREAD_CHARACTERS:
            checked = await exchange.clock.work("guard", size / 1024, lambda: self._guard.check(request))
        else:
            checked = self._guard.check(request)
        if not checked.tally and self._remote is None:
            return None
        exchange.stage_notes[_CHECKED] = (checked, ask)
        return Guarded(reason=checked.tally.sentence(), blocked=checked.blocked)

    async def apply(self, decision: Guarded, exchange: Exchange, onward: Onward) -> Answer:
        """Goes on with the redacted request, as if it had come so."""
        checked, ask = exchange.stage_notes.pop(_CHECKED)
        self._counts.take(self.name, checked.tally)
        if checked.blocked:
            return refusal(exchange, self._message, checked.blocked, self.name)
        request: Request = checked.request
        if self._remote is not None:
            before = request
            request, ruling = await judged(self._remote, exchange, ask, request, "input")
            self._counts.take_ruling(self.name, self._remote.name, ruling, changed=request is not before)
            if ruling.blocked:
                decision.blocked, decision.reason = ruling.blocked, ", ".join(ruling.found)
                return refusal(exchange, ruling.message or self._message, ruling.blocked, self.name)
            if ruling.found:
                decision.reason = ", ".join(filter(None, (decision.reason, *ruling.found)))
        if decision.reason:
            exchange.note(f"{self.name}={decision.reason}")
        if request is not exchange.request:
            exchange.request = exchange.original = request
        return await onward(exchange)
