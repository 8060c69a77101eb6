"""The story of one request: as it came, as it is now, what was decided, called, paid and how long it took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from hapenny.core.answer_facts import AnswerFacts
from hapenny.core.calls import SERVING, Asked, Call, CallOutcome, Limits, Policy, Provenance, Purpose, Target
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.core.messages import Context, Request
from hapenny.core.notes import StageNotes

__all__ = [
    "SERVING", "AnswerFacts", "Asked", "CacheFact", "Call", "CallOutcome", "Exchange", "Limits", "Policy",
    "Provenance", "Purpose", "Step", "Taken", "Target",
]  # fmt: skip


_log = get_logger("hapenny.requests")


class Step(Struct, frozen=True, gc=False):
    """The request as it stood when a technique passed it on: what the price walk prices."""

    technique: str
    request: Request
    target: Target
    free: bool = False
    """The technique answered by itself: nothing is left to pay."""


class Taken(Struct, gc=False):
    """A decision as recorded. `seconds` is the time it took to decide."""

    stage: str
    mode: str
    decision: Any
    seconds: float
    error: str | None = None


class CacheFact(Struct, frozen=True, kw_only=True, gc=False):
    """What the cache did, for `Cache-Status` (RFC 9211) and `Age`."""

    layer: str
    hit: bool
    detail: str = ""
    age: float | None = None
    ttl: float | None = None
    key: str = ""
    stored: bool = False
    collapsed: bool = False


class _Story:
    """What an exchange and its branches have in common."""

    __slots__ = ("calls", "committed", "ended", "holds", "kept", "max_calls", "on_call", "on_end", "serving")

    def __init__(self, max_calls: int) -> None:
        self.calls: list[Call] = []
        self.committed = False
        self.max_calls = max_calls
        self.kept = 0
        self.serving = 0
        self.holds = 1
        self.ended = False
        self.on_call: list[Callable[[Call], None]] = []
        self.on_end: list[Callable[[], None]] = []


_NO_POLICY = Policy()


class Exchange:
    """One request on its way. The ledger, headers, traces and the console only read it.

    Args:
        id: the request id.
        request: as it came.
        context: who asks; the tenant comes from the key.
        clock: the deployment's clock.
        limits: the two travelling limits.
        baseline: what the request would cost without us: the model asked for, else the route's stated baseline.
        route: name of the route that was chosen.
        max_calls: how many serving calls all stages may make together.
        asked: what the name that was asked for means; None where nothing is decided about the request.
        policy: what else decides the answer.
        background: what kind of background work this is, or "" for a client's request.
    """

    __slots__ = (
        "_story",
        "adopted",
        "answer",
        "arms",
        "arrived",
        "asked",
        "background",
        "baseline",
        "cache",
        "calls",
        "clock",
        "context",
        "decisions",
        "delivered",
        "failure",
        "finished",
        "first_out",
        "holdout",
        "id",
        "intent",
        "limits",
        "notes",
        "original",
        "output",
        "passthrough",
        "payer",
        "policy",
        "purpose",
        "reason",
        "request",
        "route",
        "shaped",
        "stage_notes",
        "steps",
        "stopped",
        "target",
        "traits",
        "wall",
    )

    def __init__(
        self,
        *,
        id: str,
        request: Request,
        context: Context,
        clock: Clock,
        limits: Limits,
        baseline: Target,
        route: str = "default",
        max_calls: int = 4,
        asked: Asked | None = None,
        policy: Policy = _NO_POLICY,
        background: str = "",
    ) -> None:
        self.id = id
        self.original = request
        self.request = request
        self.shaped: Request | None = None
        """The request that `traits` (`hapenny.core.shape`) are told of."""
        self.traits = 0
        self.context = context
        self.clock = clock
        self.limits = limits
        self.baseline = baseline
        self.target = baseline
        self.route = route
        self.background = background
        self.arrived = clock.now()
        self.wall = clock.wall()
        self.intent = context.intent or "unknown"
        self.holdout = False
        self.decisions: list[Taken] = []
        self.steps: list[Step] = []
        self.notes: list[str] = []
        """What was translated, dropped or degraded: goes into the answer's headers."""
        self.answer = AnswerFacts()
        """What is known of the answer besides its events."""
        self.cache: CacheFact | None = None
        self.adopted: Call | None = None
        """The call that delivered the answer."""
        self.output = ""
        """The text that was delivered, for counting; never stored by the ledger."""
        self.stopped: str | None = None
        self.delivered = False
        self.failure: Failure | None = None
        self.first_out: float | None = None
        self.finished: float | None = None
        self.reason = ""
        self.purpose: Purpose = "serve"
        """Purpose of the calls made on this exchange or branch."""
        self.payer = "serve"
        """The technique that pays for calls on it that do not deliver."""
        self.asked = asked
        self.policy = policy
        self.arms: dict[str, str] = {}
        """Experiment arms by experiment: part of the cache key."""
        self.passthrough = False
        """The request is passed on as it is, not understood: nothing of it can be compared or repriced."""
        self.stage_notes = StageNotes()
        """What stages prepared for themselves and left for one another, typed."""
        self._story = _Story(max_calls)
        self.calls = self._story.calls
        """All calls of this exchange and its branches, in order of their start."""

    # -- calls ---------------------------------------------------------------------------------------------------

    @property
    def committed(self) -> bool:
        """Whether the first byte went out: after that no retry, hedge or escalation."""
        return self._story.committed

    def commit(self) -> None:
        """Said by the server at its first byte out."""
        self._story.committed = True

    def begin_call(self, target: Target, purpose: Purpose, technique: str, request: Request | None = None) -> Call:
        """Opens a call. Raises `Failure` when the exchange has made all the serving calls it may."""
        story = self._story
        if purpose in SERVING:
            if story.serving >= story.max_calls - story.kept:
                raise Failure("unavailable", f"this request has used its {story.max_calls} model calls")
            story.serving += 1
        call = Call(
            f"{self.id}.{len(story.calls)}", target, purpose, technique, request or self.request, self.clock.now()
        )
        story.calls.append(call)
        story.holds += 1
        return call

    def keep_calls(self, count: int) -> None:
        """Keeps that many of the serving calls that are left for later; at least one may be made now."""
        story = self._story
        story.kept = max(0, min(count, story.max_calls - story.serving - 1))

    @property
    def calls_left(self) -> bool:
        """Whether another serving call may be made now."""
        return self._story.serving < self._story.max_calls - self._story.kept

    def end_call(self, call: Call, outcome: CallOutcome, failure: Failure | None = None) -> None:
        """Closes a call (once; synchronous) and lets the pricing hook settle it."""
        if call.outcome != "open":
            return
        call.outcome, call.ended, call.failure = outcome, self.clock.now(), failure
        for hook in self._story.on_call:
            try:
                hook(call)
            except Exception as error:  # what is wrong with the books of a call must not keep its exchange open
                _log.error("a call could not be settled", call=call.id, error=error)
        self.release()

    def on_call(self, hook: Callable[[Call], None]) -> None:
        """Runs `hook` when a call ends."""
        self._story.on_call.append(hook)

    # -- lifetime ------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Keeps the story open: the row is written when the last hold is released."""
        self._story.holds += 1

    def release(self) -> None:
        """Lets go of one hold (the exchange is born with one, which the server releases)."""
        story = self._story
        story.holds -= 1
        if story.holds <= 0 and not story.ended:
            story.ended = True
            hooks, story.on_end, story.on_call = story.on_end, [], []
            for hook in hooks:  # let go of: hooks know the exchange, and rings of references live on until a collection
                try:
                    hook()
                except Exception as error:  # the others have something of their own to give back
                    _log.error("the end of a request failed for one of its observers", request=self.id, error=error)

    def on_end(self, hook: Callable[[], None]) -> None:
        """Runs `hook` once, when the request is over and all its calls are settled."""
        self._story.on_end.append(hook)

    # -- changes -------------------------------------------------------------------------------------------------

    def step(self, technique: str, *, free: bool = False) -> None:
        """Records the request as it stands behind `technique`, if that changed anything."""
        steps = self.steps
        if steps and not free:
            last = steps[-1]
            if last.request is self.request and last.target is self.target:
                return
        elif not free and self.request is self.original and self.target is self.baseline:
            return
        steps.append(Step(technique, self.request, self.target, free))

    def note(self, text: str) -> None:
        """Tells the client something was changed on its behalf."""
        if text not in self.notes:
            self.notes.append(text)

    def branch(self, reason: str, *, purpose: Purpose = "serve", payer: str = "") -> Exchange:
        """A copy-on-write sibling for a further call: own request, decisions and limits; calls are common.

        Args:
            reason: why there is a further call.
            purpose: of the calls made on the branch.
            payer: the technique that pays for them unless the branch is adopted.
        """
        twin = Exchange.__new__(Exchange)
        for name in Exchange.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.decisions = []
        twin.steps = list(self.steps)
        twin.notes = []
        twin.answer = msgspec.structs.replace(self.answer)
        twin.limits = self.limits.copy()
        twin.adopted = None
        twin.stage_notes = self.stage_notes.travelling()
        twin.reason = reason
        twin.purpose = purpose
        twin.payer = payer or self.payer
        return twin

    def adopt(self, branch: Exchange) -> None:
        """Takes the winner: its request, target, steps, decisions, notes, and what is known of its answer become the
        exchange's."""
        self.request, self.target = branch.request, branch.target
        self.steps = branch.steps
        self.decisions.extend(branch.decisions)
        for text in branch.notes:
            self.note(text)
        self.answer = branch.answer
        self.stage_notes.update(branch.stage_notes.travelling())
        self.cache = branch.cache
        self.adopted = branch.adopted
        self.reason = branch.reason
