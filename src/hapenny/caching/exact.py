"""The exact layer: the same question in the same scope gets the answer it got before."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hapenny.caching.directives import refuses
from hapenny.caching.keys import Keys, uncacheable
from hapenny.caching.options import EXACT_STAGE
from hapenny.caching.publishing import Publisher
from hapenny.caching.store import Entry
from hapenny.caching.stored import PRECOMPUTED, STALE, AnswerDedup, Answers, Stored, result_tag, tags_of
from hapenny.core.answer import Answer, Outcome, Recorder, Replay, Transform
from hapenny.core.errors import Failure
from hapenny.core.events import Completion, Event, events_of
from hapenny.core.exchange import CacheFact, Exchange
from hapenny.core.latency import BUDGET
from hapenny.core.messages import Opaque, Text, Thinking, ToolUse
from hapenny.core.passages import BASELINE_PASSAGES, passage_tokens
from hapenny.core.stage import Ask, Decision, Onward, Stage

STORABLE = frozenset({"end_turn", "stop_sequence"})
"""Stop reasons of answers that may be served again."""


class Lookup(Decision):
    """What the cache found. `entry` None is a miss."""

    key: bytes
    entry: Entry[Stored] | None = None
    stale: bool = False
    late: bool = False
    """The entry has expired, and stands in only because a model would be too late."""


class ExactStage(Stage, spec=EXACT_STAGE):
    """Looks up by the safe key; fills on complete answers; serves stale answers, which the gateway then refreshes."""

    def __init__(
        self,
        answers: Answers,
        keys: Keys,
        *,
        ttl: float,
        stale: float = 0.0,
        any_temperature: bool = False,
        results: AnswerDedup | None = None,
        publisher: Publisher | None = None,
        stands_in: float = 0.0,
    ) -> None:
        """`results` merges equal answers and tags them with their evidence (`AnswerFacts.evidence`);
        `publisher`: of a shared route's verified answers; `stands_in`: seconds past its time in which an answer may be
        served where a model would miss the deadline."""
        self._stands_in = stands_in
        self._publisher = publisher
        self._results = results
        self._answers = answers
        self._keys = keys
        self._ttl = ttl
        self._stale = stale
        self._any_temperature = any_temperature

    async def decide(self, exchange: Exchange, ask: Ask) -> Lookup | None:
        """Finds the entry, comparing tenant and full key; None for what may not be cached at all."""
        if uncacheable(exchange, any_temperature=self._any_temperature):
            return None
        key = self._keys.key(exchange)
        directives = exchange.context.cache_control
        if "no-cache" in directives or exchange.background in ("refresh", "precompute"):
            return Lookup(key=key, reason="no-cache")
        entry = self._answers.get(key)
        if entry is None or entry.key != key or not self._mine(entry, exchange):
            return Lookup(key=key)
        now = exchange.clock.wall()
        fresh = entry.fresh(now)
        late = not fresh and now >= entry.expires + self._stale
        if late and not self._too_late(exchange, entry, now):
            return Lookup(key=key, reason=STALE)
        if directives and refuses(directives, entry.age(now), entry.expires - now):
            return Lookup(key=key, reason="max-age")
        return Lookup(key=key, entry=entry, stale=not fresh, late=late)

    def _too_late(self, exchange: Exchange, entry: Entry[Stored], now: float) -> bool:
        """Whether an expired entry may stand in: a model would miss the deadline, and only time made the entry old, not
        what it rests on."""
        budget = exchange.stage_notes.get(BUDGET)
        if budget is None or now >= entry.expires + self._stands_in or entry.expires - entry.stored < self._ttl:
            return False
        predicted = budget.predict(exchange)
        return predicted is not None and predicted > budget.spare("streaming", exchange.clock.now())

    def _mine(self, entry: Entry[Stored], exchange: Exchange) -> bool:
        """Whether the entry is the asking tenant's own, or the route declares its answers shared."""
        return self._keys.shared or entry.value.tenant == exchange.context.tenant

    async def apply(self, decision: Lookup, exchange: Exchange, onward: Onward) -> Answer:
        """Replays the entry, or goes onward and keeps what comes back."""
        entry, shown = decision.entry, decision.key[:8].hex()
        if decision.late and not exchange.stage_notes[BUDGET].react(exchange, "stale_answer"):
            entry = None
        if entry is None:
            if "only-if-cached" in exchange.context.cache_control:
                raise Failure("timeout", "no stored answer, and the request said only-if-cached", retryable=False)
            exchange.cache = CacheFact(layer="exact", hit=False, detail=decision.reason or "miss", key=shown)
            answer = await onward(exchange)
            return answer.through(
                Fill(
                    answer.recorded(),
                    self._answers,
                    decision.key,
                    exchange,
                    ttl=self._ttl,
                    stale=max(self._stale, self._stands_in),
                    results=self._results,
                    publisher=self._publisher,
                )
            )
        now = exchange.clock.wall()
        exchange.cache = CacheFact(
            layer="exact", hit=True, age=entry.age(now), ttl=entry.expires - now, key=shown,
            detail=STALE if decision.stale else "",
        )  # fmt: skip
        exchange.answer.model, exchange.answer.passages = entry.value.model, entry.value.passages
        if PRECOMPUTED in entry.tags:
            exchange.answer.precomputed = True
        if self._publisher is not None and (path := self._publisher.path(entry.value)):
            exchange.note(f"answer={path}")
            self._publisher.asked(exchange.request, decision.key, entry.value)
        stored = entry.value
        return Answer(Replay(stored.events, heard=stored.heard), forms=stored.forms)


class Fill(Transform):
    """Stores an answer that has ended, if it is whole and may be served again."""

    watches = True

    def __init__(
        self,
        recorder: Recorder,
        answers: Answers,
        key: bytes,
        exchange: Exchange,
        *,
        ttl: float,
        stale: float,
        results: AnswerDedup | None = None,
        publisher: Publisher | None = None,
    ) -> None:
        recorder.whole()
        self._recorder = recorder
        self._results = results
        self._publisher = publisher
        self._answers = answers
        self._key = key
        self._exchange = exchange
        self._ttl = ttl
        self._stale = stale

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Stores on `complete`."""
        completion = self._recorder.completion if outcome == "complete" else None
        if completion is not None:
            exchange = self._exchange
            if replayed(exchange):
                return ()  # another layer's answer: kept here it would begin a new life, and nobody could take it back
            stored = storable(completion, exchange)
            known = self._answers.peek(self._key)
            if known is not None and known.stored >= exchange.wall:
                return ()  # another reader of the same flight was first
            if stored is not None:
                tags = tags_of(exchange, stored)
                if self._results is not None:
                    if stored.evidence and not self._results.current(stored, exchange.wall):
                        return ()  # made from documents that changed meanwhile
                    fingerprint = self._results.fingerprint(stored)
                    stored, again = self._results.share(fingerprint, stored, self._key)
                    tags = (*tags, result_tag(fingerprint))
                    if self._publisher is not None:
                        if again:
                            self._publisher.verified(stored)
                        self._publisher.asked(exchange.request, self._key, stored)
                self._answers.put(
                    self._key, stored, size_of(completion), self._ttl, tags,
                    tenant=exchange.context.tenant, stale=self._stale,
                )  # fmt: skip
                if exchange.cache is not None and not exchange.cache.hit:
                    fact = exchange.cache
                    exchange.cache = CacheFact(
                        layer=fact.layer, hit=False, detail=fact.detail, key=fact.key, ttl=self._ttl, stored=True
                    )
        return ()


def replayed(exchange: Exchange) -> bool:
    """Whether a cache behind this one had the answer, for this request or for the flight it followed."""
    cache = exchange.cache
    return exchange.answer.replayed or (cache is not None and cache.hit and not cache.collapsed)


def storable(completion: Completion, exchange: Exchange) -> Stored | None:
    """The answer in the form it is stored in, or None if it must never be stored.

    Never stored: answers without closing event or usage, `length`, refusals, filtered, degraded or guardrailed
    answers, tool calls.
    """
    if completion.tokens is None or not completion.choices or completion.others:
        return None
    if exchange.answer.degraded or exchange.answer.guarded:
        return None
    for choice in completion.choices:
        if choice.reason not in STORABLE or not choice.content:
            return None
        for block in choice.content:
            if isinstance(block, ToolUse):
                return None
    model = exchange.answer.model or exchange.target.model
    beside = exchange.stage_notes.get(BASELINE_PASSAGES)
    return Stored(
        tuple(events_of(completion)), completion.tokens, model, exchange.context.tenant,
        evidence=exchange.answer.evidence,
        prompt=exchange.policy.prompt_version,
        passages=passage_tokens(beside, exchange.request, completion.tokens.prompt) if beside is not None else 0,
    )  # fmt: skip


def size_of(completion: Completion) -> int:
    """Bytes that an answer takes in memory, for the store's bound: as it is held, and as it is written."""
    size = 200 + _weight(completion.extras)
    for other in completion.others:
        size += _weight(other.payload)
    for choice in completion.choices:
        size += _weight(choice.extras)
        for block in choice.content:
            size += 100 + _weight(block.extras)
            if isinstance(block, (Text, Thinking)):
                size += 2 * len(block.text.encode())
                size += _weight(block.citations) if isinstance(block, Text) else _signed(block)
            elif isinstance(block, ToolUse):
                size += 2 * len(block.arguments.encode()) + 200
            else:
                size += 300 + (_weight(block.payload) if isinstance(block, Opaque) else 0)
    return size


def _signed(block: Thinking) -> int:
    return 2 * (len(block.signature or "") + len(block.redacted or ""))


def _weight(value: object) -> int:
    """Bytes of JSON that an answer carries along, twice."""
    return 2 * len(msgspec.json.encode(value)) if value else 0
