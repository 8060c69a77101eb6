"""The throughput stage: quota, queue, endpoints, retries and hedges around each model call.

It replaces no model, only where and when the same model is called. It is `on` by default: with nothing configured it
holds nothing back until a provider refuses.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import msgspec

from hapenny.core.answer import Answer, Outcome, Recorder, Transform
from hapenny.core.errors import Failure, account_refused
from hapenny.core.events import Event
from hapenny.core.exchange import Exchange, Purpose, Target
from hapenny.core.latency import BUDGET, Haste, LatencyBudget
from hapenny.core.log import get_logger
from hapenny.core.messages import Request, Text, ToolResult, ToolUse
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.throughput import gate as gates
from hapenny.throughput.dispatchers import Dispatchers, Route
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import Pass
from hapenny.throughput.hurry import Hurry
from hapenny.throughput.options import THROUGHPUT_STAGE
from hapenny.throughput.pools import Used
from hapenny.throughput.queue import Job, Priority
from hapenny.throughput.regions import diagnose

_log = get_logger("hapenny.throughput")
CHARS_PER_TOKEN = 4.0
LONGEST = 128_000
"""Tokens of the longest answer that is reserved for where a model's own limit is not known: what today's largest models
can write."""
USUAL = 4_096
"""Tokens of an answer of which nothing is known. What a model may write at most is no forecast: at it, an answer of a
large model would never end in time, and nobody could ever wait for one."""
FLEX = frozenset({"flex", "batch"})
ASKED = frozenset({"flex", "priority"})
"""Service tiers that a client may ask for itself: what it asked for is what is called, and what is priced."""


_AT_ONCE = "estimated wait 0.000 s"


class Leave(Decision):
    """The job as the queue will see it, where it goes, and the wait that was estimated, in seconds."""

    job: Job
    route: Route
    wait_s: float = 0.0


class ThroughputStage(Stage, spec=THROUGHPUT_STAGE):
    """See the module.

    `size`: input tokens of a request for a model, where a limit is known that they count for; by characters when not
    given.
    `most_output`: the output limit that counts when a request sets no `max_tokens`. `predicted`: the expected answer
    size in tokens, None when unknown.
    """

    def __init__(
        self,
        routes: Dispatchers,
        *,
        size: Callable[[Exchange], int] | None = None,
        most_output: Callable[[str], int | None] | None = None,
        predicted: Callable[[Exchange], int | None] | None = None,
    ) -> None:
        self.routes = routes
        self._size = size or (lambda exchange: rough_size(exchange.request))
        self._most_output = most_output or (lambda model: None)
        self._predicted = predicted or (lambda exchange: None)

    async def decide(self, exchange: Exchange, ask: Ask) -> Leave:
        """Sizes the job; asks nobody and reserves nothing."""
        request, route = exchange.request, self.routes.of(self._wanted(exchange))
        gate = route.dispatcher.gate
        clear = gate.clear
        longest = self._most_output(exchange.target.model)
        # Nobody reserves more than an answer can have: the quota belongs to the others too.
        most = min(request.parameters.max_tokens or longest or USUAL, longest or LONGEST)
        predicted = self._predicted(exchange)
        level = exchange.context.priority
        priority = Priority.URGENT if level > 0 else Priority.NORMAL
        if level < 0 or request.parameters.service_tier in FLEX or exchange.background:
            priority = Priority.BACKGROUND
        job = Job(
            input_tokens=self._size(exchange) if not clear and gate.metered else rough_size(request),
            max_tokens=most,
            predicted_output=min(most, predicted or USUAL),
            tenant=exchange.context.tenant,
            weight=self.routes.options.shares.get(exchange.context.tenant, 1.0),
            priority=priority,
            prefix=prefix_of(request) if route.prefixes else "",
            begin_by=exchange.limits.begin_by,
            finish_by=exchange.limits.finish_by,
            patience=exchange.limits.patience,
            arrived=exchange.clock.now(),
            streamed=request.stream,
        )
        budget = exchange.stage_notes.get(BUDGET)
        if budget is not None and budget.acts:
            job.hurry = _hurry(budget, exchange, predicted)
        elif clear:
            return Leave(job=job, route=route, reason=_AT_ONCE)
        wait = gate.estimate(job)
        reason = f"estimated wait {wait:.3f} s" if math.isfinite(wait) else "no endpoint can serve now"
        return Leave(job=job, route=route, wait_s=wait, reason=reason)

    def _wanted(self, exchange: Exchange) -> Target:
        """The exchange's target, at the service tier the client asked for, where the model is sold at it."""
        target, tier = exchange.target, exchange.request.parameters.service_tier
        if tier in ASKED and target.service_tier == "standard" and self.routes.sells(target.model, tier):
            return msgspec.structs.replace(target, service_tier=tier)
        return target

    async def apply(self, decision: Leave, exchange: Exchange, onward: Onward) -> Answer:
        """Calls onward with leave, again where that helps.

        Raises:
            Shed: at once, when no answer could begin in time.
            Unavailable: when tries, time or the retry budget are used up.
        """
        original = self._wanted(exchange)
        if original is not exchange.target:
            exchange.target = original
            exchange.step("service_tier")  # the client's own choice, and its saving
        route, job = decision.route, decision.job
        first = True

        async def attempt(leave: Pass, purpose: Purpose) -> tuple[Answer, Exchange]:
            nonlocal first
            there = exchange
            if not first:
                there = exchange.branch(purpose, purpose=purpose, payer=self.name)
                there.target = original
            first = False
            target = route.targets[leave.endpoint.name]
            if job.hurry is not None and purpose == "serve":
                _tell(job.hurry, leave.endpoint, route)
            if target != there.target:
                there.target = target
            if leave.endpoint.server_priority:  # vLLM: lower goes first
                extras = {**there.request.extras, "priority": int(job.priority)}
                there.request = msgspec.structs.replace(there.request, extras=extras)
            calls = len(exchange.calls)
            try:
                answer = await onward(there)
            except Failure as failure:
                if len(exchange.calls) == calls:  # refused before any call was made
                    leave.done(gates.CallOutcome.UNCALLED)
                    raise _Refused(failure) from failure
                if len(route.targets) > 1 and (denied := _denied(failure, target)) is not None:
                    raise denied from failure
                raise
            recorder = answer.recorded()
            if not answer.begun:
                recorder.on_begun(leave.begun)
            return answer.through(_Settle(leave, job, recorder)), there

        try:
            answer, there = await route.dispatcher.begin(
                job, attempt, lambda: not exchange.committed and exchange.calls_left
            )
        except _Refused as refused:
            raise refused.failure from refused
        if there is not exchange:
            exchange.adopt(there)
        return answer


class _Refused(Failure):
    """No call was made and none would be: passes through the dispatcher untouched."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind, failure.message, retryable=False)
        self.failure = failure


class _Settle(Transform):
    """Returns the leave when the upstream's answer ends, with what its recorder has of it."""

    watches = True

    def __init__(self, leave: Pass, job: Job, recorder: Recorder) -> None:
        self._leave = leave
        self._job = job
        self._recorder = recorder

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Settles with what the provider reported, else with what was counted."""
        tokens = self._recorder.tokens
        if tokens is not None:
            cached = tokens.cache_read
            used = Used(tokens.prompt - cached, tokens.output, cached)
        else:
            job, output = self._job, math.ceil(self._recorder.characters / CHARS_PER_TOKEN)
            used = Used(job.input_tokens, output, job.cached_tokens)
        self._leave.done(_OUTCOMES[outcome], used)
        return ()


_OUTCOMES: dict[Outcome, gates.CallOutcome] = {
    "complete": gates.CallOutcome.OK,
    "failed": gates.CallOutcome.FAILED,
    "abandoned": gates.CallOutcome.ABANDONED,
}


def _denied(failure: Failure, target: Target) -> Failure | None:
    """A policy's deny of one place as that place's failure, with the fix: others may serve the same model."""
    words = failure.operator if failure.kind == "provider_account" else None
    problem = diagnose(words, target.model) if words else None
    if problem is None:
        return None
    _log.warning("a place is denied", model=target.model, region=target.region, fix=problem.fix)
    return account_refused(problem.fix, problem.message, upstream_status=failure.upstream_status)


def _hurry(budget: LatencyBudget, exchange: Exchange, tokens: int | None) -> Hurry:
    def note(reaction: Haste) -> None:
        budget.react(exchange, reaction)

    return Hurry(budget.due("streaming"), tokens, streamed=exchange.request.stream, may=budget.may, note=note)


def _tell(hurry: Hurry, chosen: Endpoint, route: Route) -> None:
    """Writes down where a call goes, if not where it usually would."""
    usual = route.dispatcher.gate.endpoints[0]
    if chosen is not usual:
        hurry.note("faster_tier" if chosen.cost_factor > usual.cost_factor else "other_region")


def rough_size(request: Request) -> int:
    """Input tokens of a request by characters: for quotas nobody has told us, where only ratios count."""
    characters = 16 * len(request.messages)
    for tool in request.tools:
        characters += 400 + len(tool.description or "")
    for block in request.system:
        characters += len(block.text) if isinstance(block, Text) else 1_000
    for message in request.messages:
        for part in message.content:
            match part:
                case Text():
                    characters += len(part.text)
                case ToolUse():
                    characters += len(part.arguments)
                case ToolResult():
                    characters += sum(len(c.text) if isinstance(c, Text) else 1_000 for c in part.content)
                case _:
                    characters += 4_000
    return math.ceil(characters / CHARS_PER_TOKEN)


def prefix_of(request: Request) -> str:
    """What prompts that begin alike have in common: model, tools and the start of the system prompt or first turn."""
    digest = hashlib.blake2b(request.model.encode(), digest_size=8)
    for tool in request.tools:
        digest.update(tool.name.encode())
    blocks = request.system or (request.messages[0].content if request.messages else ())
    for block in blocks[:4]:
        if isinstance(block, Text):
            digest.update(block.text[:4_096].encode())
    return digest.hexdigest()
