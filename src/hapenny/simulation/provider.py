"""A simulated model provider: takes a request, answers in events at the pace of its card, and sends a bill.

Latencies and faults come from `seed`, the prompt and how often it was asked; who is right comes from `latents` and the
question. Time passes only in `clock.sleep`, so the same provider runs in real and in
virtual time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from hapenny.catalog import Card, refusals
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Event, Started, Stopped, Tokens, Usage
from hapenny.core.messages import Request
from hapenny.protocols.registry import codec
from hapenny.protocols.rules import HOME, Service, broken
from hapenny.simulation.bill import Bill
from hapenny.simulation.call import CHUNK, CallPlan, SimulatedCall, cut
from hapenny.simulation.cards import MANGA_2024, Lineup, SimulatedModel
from hapenny.simulation.changes import Change, Changes
from hapenny.simulation.faults import Fault, Faults, asked, before
from hapenny.simulation.latents import Latents, chance
from hapenny.simulation.prompt import fingerprint, parts
from hapenny.simulation.prompt_router import chosen
from hapenny.simulation.promptcache import PrefixMatch, PromptCache
from hapenny.simulation.quota import Quota, burnt
from hapenny.simulation.tokenizer import tokenizer
from hapenny.simulation.voice import Voice, lognormal
from hapenny.simulation.workload.truth import Truth

_PROFILES = ("us.", "eu.", "apac.", "jp.", "au.", "us-gov.", "global.")
REFUSAL_SECONDS = 0.02
"""How long the provider takes to say no; assumed."""


class Limit(Struct, frozen=True):
    """A quota a minute in place of the card's; None: no limit."""

    rpm: float | None = None
    tpm: float | None = None


class SimulatedProvider:
    """One provider with its models, quotas, prompt cache, faults and bill.

    Args:
        clock: real or virtual.
        lineup: the frozen card of models.
        seed: seeds latencies and faults.
        latents: which draw of the hidden world, see `latents`.
        truth: what is right and which facts it rests on, where the questions' author says so.
        quotas: a `Limit` by catalog id; "*" is for all others; without one the card's quotas hold.
        faults: what goes wrong, see `faults.Fault`.
        changes: what becomes of the models while they serve, see `changes.Change`.
        chunk: tokens that travel in one delta, at least.
    """

    def __init__(
        self,
        clock: Clock,
        lineup: Lineup = MANGA_2024,
        *,
        seed: int = 0,
        latents: int = 0,
        truth: Truth | None = None,
        quotas: Mapping[str, Limit] | None = None,
        faults: Sequence[Fault] = (),
        changes: Sequence[Change] = (),
        chunk: int = CHUNK,
    ) -> None:
        self.clock = clock
        self.lineup = lineup
        self.seed = seed
        self.voice = Voice(Latents(lineup, latents), truth if truth is not None else Truth(), Changes(changes))
        self._chunk = chunk
        self.calls = 0
        """Calls taken so far."""
        self.bill = Bill()
        self.cache = PromptCache()
        self.faults = Faults(faults)
        self.open_calls = 0
        """Calls under way now."""
        self._limits = dict(quotas or {})
        self._quotas: dict[tuple[str, str, str], Quota] = {}
        self._asked: dict[str, int] = {}

    @property
    def latents(self) -> Latents:
        """The hidden world."""
        return self.voice.latents

    @property
    def truth(self) -> Truth:
        """What is right, as far as the questions' author says so."""
        return self.voice.truth

    @property
    def changes(self) -> Changes:
        """What has become of the models since the start."""
        return self.voice.changes

    def find(self, name: str) -> tuple[SimulatedModel, Card]:
        """The model behind `name`. Raises `Failure('not_found')`."""
        simulated = self.lineup.find(name)
        if simulated is None:
            raise Failure(
                "not_found",
                f"The simulated provider has no model {name!r} on its card {self.lineup.name}.",
                field="model",
                fix="one of " + ", ".join(model.id for model in self.lineup.models),
                upstream_status=404,
                upstream_type="ResourceNotFoundException",
            )
        return simulated

    def count(self, request: Request, name: str | None = None) -> int:
        """Prompt tokens of `request` as the model's own tokenizer counts them."""
        called = name or request.model
        router = chosen(self.lineup, called, request)
        _, card = self.find(router[0] if router is not None else called)
        return sum(part.tokens for part in parts(request, tokenizer(card.tokenizer)))

    def quota(self, model: str, region: str = "us-east-1", account: str = "") -> Quota:
        """The quota of a model of the card in one region and account."""
        key = (account, region, model)
        quota = self._quotas.get(key)
        if quota is None:
            limit = self._limits.get(model) or self._limits.get("*")
            if limit is None:
                card = self.find(model)[0]
                limit = Limit(card.rpm, card.tpm)
            quota = self._quotas[key] = Quota(limit.rpm, limit.tpm, self.clock.now())
        return quota

    async def call(
        self,
        request: Request,
        name: str | None = None,
        *,
        region: str = "us-east-1",
        service_tier: str = "standard",
        account: str = "",
        fault: Fault | None = None,
        service: Service | None = None,
    ) -> SimulatedCall:
        """Accepts or refuses `request`; the call it returns answers at its own pace. `service`: at which surface it is
        asked; that of the request's own dialect unless given.

        Raises:
            Failure: not_found, invalid_request, context_overflow, rate_limited, or what a fault brings.
        """
        called = name or request.model
        router = chosen(self.lineup, called, request)
        if router is not None:
            called = router[0]
        model, card = self.find(called)
        now = self.clock.now()
        vocabulary = tokenizer(card.tokenizer)
        prompt = parts(request, vocabulary)
        total = sum(part.tokens for part in prompt)
        self._validate(request, called, card, total, service or HOME[request.protocol])
        print_ = fingerprint(prompt)
        times = self._asked[print_] = self._asked.get(print_, 0) + 1
        if len(self._asked) > 100_000:
            self._asked.clear()
        draws = (self.seed, self.latents.seed, model.id, print_, times)
        self.calls += 1
        fault = fault or asked(request.metadata)
        fault = fault or self.faults.pick(model.id, region, now, chance("fault", *draws))
        failure = before(fault) if fault is not None else None
        if failure is not None:
            await self.clock.sleep(REFUSAL_SECONDS)
            raise failure
        quota = self.quota(model.id, region, account or _pool(called, service_tier))
        reserved = total + (request.parameters.max_tokens or card.max_output or 4096)
        reason = quota.reserve(reserved, now)
        if reason is not None:
            await self.clock.sleep(REFUSAL_SECONDS)
            raise Failure("rate_limited", reason, upstream_status=429, upstream_type="ThrottlingException")
        match = self.cache.look(f"{account}/{region}/{model.id}", card, prompt, now)
        tokens = Tokens(
            input=total - match.read - match.write - match.write_1h,
            cache_read=match.read,
            cache_write=match.write,
            cache_write_1h=match.write_1h,
        )
        self.open_calls += 1
        return SimulatedCall(
            self.clock,
            self._plan(request, model, card, match, total, draws, fault, service_tier),
            id=self.clock.new_id("msg_sim_"),
            model=self.lineup.plays(model, card),
            prompt=tokens,
            stream=request.stream,
            settle=_Settlement(self, quota, reserved, card.burndown, card.id, called, region, service_tier),
            router=router[1] if router is not None else "",
        )

    def batched(self, request: Request, name: str, *, region: str = "us-east-1") -> list[Event]:
        """The events of an answer in a batch job: no quota, no prompt cache and no waiting, billed as batch.

        Raises:
            Failure: not_found, invalid_request, context_overflow.
        """
        model, card = self.find(name)
        prompt = parts(request, tokenizer(card.tokenizer))
        total = sum(part.tokens for part in prompt)
        self._validate(request, name, card, total, HOME[request.protocol])
        draws = (self.seed, self.latents.seed, model.id, fingerprint(prompt), "batch")
        self.calls += 1
        plan = self._plan(request, model, card, PrefixMatch(), total, draws, None, "batch")
        tokens = Tokens(input=total, output=plan.total, reasoning=min(plan.reasoning, plan.total))
        id = self.clock.new_id("msg_sim_")
        self.bill.add(
            id=id, model=card.id, called=name, region=region, service_tier="batch", tokens=tokens, outcome="complete",
            at=self.clock.wall(),
        )  # fmt: skip
        events: list[Event] = [Started(id, self.lineup.plays(model, card), self.clock.wall())]
        for step, _ in plan.steps:
            events += step
        return [*events, Stopped(plan.reason, 0, plan.sequence), Usage(tokens)]

    def _validate(self, request: Request, called: str, card: Card, total: int, service: Service) -> None:
        """Refuses what the real service refuses, with its words. Raises `Failure`."""
        wrong = refusals(card, request.parameters)
        if wrong:
            raise Failure(
                "invalid_request",
                wrong[0].why,
                field=wrong[0].name,
                fix=wrong[0].fix,
                upstream_status=400,
                upstream_type="ValidationException",
            )
        for breach in broken(composed(request, service, called), service, called, card, stream=request.stream):
            raise breach.refusal(service)
        if card.context_window is not None and total > card.context_window:
            raise Failure(
                "context_overflow",
                f"The prompt has {total} tokens; {card.id} takes {card.context_window}.",
                field="messages",
                fix="send a shorter prompt",
                upstream_status=400,
                upstream_type="ValidationException",
            )

    def _plan(
        self,
        request: Request,
        model: SimulatedModel,
        card: Card,
        match: PrefixMatch,
        total: int,
        draws: tuple[object, ...],
        fault: Fault | None,
        service_tier: str,
    ) -> CallPlan:
        draft = self.voice.draft(request, model, card, self.calls)
        most = request.parameters.max_tokens or card.max_output or 4096
        vocabulary = tokenizer(card.tokenizer)
        pace = self.lineup.tier_pace.get(service_tier, 1.0) * self.latents.pace
        if fault is not None and fault.kind == "slow":
            pace *= fault.factor
        cached = match.read / total if total else 0.0
        first = lognormal(model.ttft_p50, model.ttft_p95, chance("ttft", *draws)) * self._late(draws)
        first *= self.lineup.prefill_floor + (1 - self.lineup.prefill_floor) * (1 - cached)
        rate = lognormal(model.rate_p50, model.rate_p95, chance("rate", *draws))
        plan = cut(draft, vocabulary, most, request.parameters.stop, self._chunk)
        plan.first = first * pace
        plan.rate = rate / pace
        plan.fault = fault
        plan.found = match
        return plan

    def _late(self, draws: tuple[object, ...]) -> float:
        """The heavy tail of first tokens: 1 for most calls."""
        draw = chance("late", *draws)
        if draw >= self.lineup.tail_share:
            return 1.0
        return float(min(20.0, (draw / self.lineup.tail_share + 1e-9) ** (-1 / self.lineup.tail_power)))


def composed(request: Request, service: Service, model: str) -> dict[str, Any]:
    """The body of `request` as `service` gets it."""
    dialect = next(name for name, home in HOME.items() if home == service)
    body: dict[str, Any] = msgspec.json.decode(codec(dialect).encode_request(request, model=model).body)
    return body


def _pool(called: str, tier: str) -> str:
    """Inference profiles and service tiers have quotas of their own."""
    profile = called.partition(".")[0] if called.startswith(_PROFILES) else ""
    return f"{profile}/{tier}" if profile or tier not in ("", "standard", "default") else ""


class _Settlement:
    """What is owed when a call ends: quota back, cache kept, bill written. Synchronous, once."""

    __slots__ = ("_burndown", "_called", "_model", "_provider", "_quota", "_region", "_reserved", "_service_tier")

    def __init__(
        self,
        provider: SimulatedProvider,
        quota: Quota,
        reserved: int,
        burndown: int,
        model: str,
        called: str,
        region: str,
        service_tier: str,
    ) -> None:
        self._provider = provider
        self._quota = quota
        self._reserved = reserved
        self._burndown = burndown
        self._model = model
        self._called = called
        self._region = region
        self._service_tier = service_tier

    def began(self, cached: PrefixMatch) -> None:
        """The first token is out: what the call wrote to the prompt cache can be read."""
        self._provider.cache.keep(cached, self._provider.clock.now())

    def ended(self, id: str, tokens: Tokens, outcome: str) -> None:
        """The call is over: what it used is known, however it ended. Only one that failed is not billed."""
        provider = self._provider
        provider.open_calls -= 1
        used = burnt(tokens, self._burndown) if outcome != "failed" else 0
        self._quota.settle(self._reserved, used, provider.clock.now())
        if outcome == "failed":
            return
        provider.bill.add(
            id=id,
            model=self._model,
            called=self._called,
            region=self._region,
            service_tier=self._service_tier,
            tokens=tokens,
            outcome=outcome,
            at=provider.clock.wall(),
        )
