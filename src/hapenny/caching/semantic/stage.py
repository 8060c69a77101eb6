"""The semantic layer in the pipeline: looks among answers to differently worded questions, and learns from misses."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from hapenny.caching.directives import refuses
from hapenny.caching.exact import size_of, storable
from hapenny.caching.keys import KEY, Keys, uncacheable
from hapenny.caching.options import SEMANTIC_STAGE
from hapenny.caching.publishing import Publisher
from hapenny.caching.semantic.cache import Lookup, SemanticCache
from hapenny.caching.semantic.decider import Promise
from hapenny.caching.semantic.notes import LOOKED_UP
from hapenny.caching.semantic.terms import read
from hapenny.caching.stored import PRECOMPUTED, AnswerDedup, Stored, result_tag, tags_of
from hapenny.core.answer import Answer, Outcome, Recorder, Replay, Transform
from hapenny.core.errors import Failure
from hapenny.core.events import Event
from hapenny.core.exchange import CacheFact, Exchange
from hapenny.core.messages import Message, Request, Text
from hapenny.core.shape import BRIEF, BRIEF_CHARACTERS
from hapenny.core.stage import Ask, Decision, Onward, Stage

MAX_QUESTION = BRIEF_CHARACTERS
"""Characters: longer questions are documents, and two documents are never paraphrases."""


class SemanticDecision(Decision, kw_only=True):
    """What was decided; the question itself stays on the exchange."""

    action: str
    score: float = 1.0
    error: float = 1.0
    similarity: float = 0.0
    bounded: bool = True


class SemanticStage(Stage, spec=SEMANTIC_STAGE):
    """Serves verified paraphrases within the route's promise.

    The namespace is the safe key with the last question blanked: tenant, scope, model policy, system prompt, tools,
    parameters, locale, epoch and the whole history are equal before similarity is even looked at. Follow-ups thus
    match only under the same history.
    """

    needs = BRIEF

    def __init__(
        self,
        cache: SemanticCache,
        keys: Keys,
        promise: Promise,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        *,
        ttl: float = 3_600.0,
        fixed: float | None = None,
        any_temperature: bool = False,
        stopped: Callable[[str], bool] = lambda route: False,
        publisher: Publisher | None = None,
        results: AnswerDedup | None = None,
    ) -> None:
        """`spawn` runs work off the path; `fixed` a similarity threshold instead of the bound (unproven hits);
        `stopped`: whether the layer lost money on a route and does not even embed for now; `publisher`: of a shared
        route's verified answers; `results`: knows equal answers, and whose documents changed."""
        self._cache = cache
        self._keys = keys
        self._promise = promise
        self._spawn = spawn
        self._ttl = ttl
        self._fixed = fixed
        self._any_temperature = any_temperature
        self._stopped = stopped
        self._publisher = publisher
        self._results = results

    async def decide(self, exchange: Exchange, ask: Ask) -> SemanticDecision | None:
        """Looks up; None for what may not be cached or is no short text question."""
        if uncacheable(exchange, any_temperature=self._any_temperature) or exchange.background:
            return None
        if "no-cache" in exchange.context.cache_control:
            return None
        question = asked(exchange.request)
        if question is None or self._stopped(exchange.route):
            return None
        part = part_of(exchange)
        decider = self._cache.decider(part, self._promise, fixed=self._fixed)
        self._cache.policy(part, exchange.policy, exchange.original.model)
        try:
            vector = (await ask.embed(exchange, [question], technique=self.name))[0]
        except Failure:  # a paid embedder that is down takes no request with it; its call stands in the books
            return None
        lookup = self._cache.look(
            namespace(self._keys, exchange), part, question, read(question), vector, decider,
            tenant=None if self._keys.shared else exchange.context.tenant, max_error=caution(exchange),
        )  # fmt: skip
        if lookup.entry is not None and exchange.context.cache_control:
            now = exchange.clock.wall()
            if refuses(exchange.context.cache_control, lookup.entry.age(now), lookup.entry.expires - now):
                lookup.entry = None
        exchange.stage_notes[LOOKED_UP] = lookup
        looked = lookup.looked
        return SemanticDecision(
            reason=looked.reason,
            action=looked.action,
            score=looked.score,
            error=looked.error,
            similarity=looked.candidate.similarity if looked.candidate is not None else 0.0,
            bounded=looked.bounded,
        )

    async def apply(self, decision: SemanticDecision, exchange: Exchange, onward: Onward) -> Answer:
        """Replays the stored answer, or goes onward and learns from what comes back."""
        lookup = exchange.stage_notes[LOOKED_UP]
        entry = lookup.entry
        if entry is None:
            answer = await onward(exchange)
            return answer.through(_Learn(self, exchange, lookup, answer.recorded()))
        now = exchange.clock.wall()
        proof = f"error={decision.error:.4f}" if decision.bounded else "unproven"
        exchange.cache = CacheFact(
            layer="semantic", hit=True, detail=f"similarity={decision.similarity:.3f} {proof}",
            age=entry.age(now), ttl=entry.expires - now, key=entry.key[:8].hex(),
        )  # fmt: skip
        exchange.answer.model, exchange.answer.passages = entry.value.model, entry.value.passages
        if PRECOMPUTED in entry.tags:
            exchange.answer.precomputed = True
        if self._publisher is not None and (path := self._publisher.path(entry.value)):
            exchange.note(f"answer={path}")
        self._cache.served(exchange.id, lookup, exchange.context.tenant)
        return Answer(Replay(entry.value.events))

    def learn(self, exchange: Exchange, lookup: Lookup, stored: Stored, text: str, size: int) -> None:
        """Verifies and stores, off the path."""
        tags, results = tags_of(exchange, stored), self._results
        if results is not None:
            tags = (*tags, result_tag(results.fingerprint(stored)))
        verified = self._publisher.verified if self._publisher is not None else None
        self._spawn(
            self._cache.learn(
                exchange, lookup, stored, text, size=size, ttl=self._ttl, tags=tags, verified=verified,
                current=results.current if results is not None else None,
            )
        )  # fmt: skip


class _Learn(Transform):
    """Watches a miss's answer and hands it to the cache if it may be served again."""

    watches = True

    def __init__(self, stage: SemanticStage, exchange: Exchange, lookup: Lookup, recorder: Recorder) -> None:
        self._stage, self._exchange, self._found = stage, exchange, lookup
        self._recorder = recorder
        recorder.whole()

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Learns from whole answers alone."""
        completion = self._recorder.completion if outcome == "complete" else None
        if completion is not None:
            stored = storable(completion, self._exchange)
            if stored is not None:
                self._stage.learn(self._exchange, self._found, stored, completion.text, size_of(completion))
        return ()


def asked(request: Request) -> str | None:
    """The question if the last message is one short text of the user's, else None."""
    last = request.messages[-1] if request.messages else None
    if last is None or last.role != "user" or len(last.content) != 1 or not isinstance(last.content[0], Text):
        return None
    text = last.content[0].text
    return text if len(text.strip()) > 0 and len(text) <= MAX_QUESTION else None


def part_of(exchange: Exchange) -> str:
    """The part of a route's traffic whose evidence counts: first questions, or later turns of conversations.

    Later turns are few, and more of their hits are wrong (what "and the other one?" means hangs on more than words):
    among first questions their errors would not be seen. Each part opens by its own labels and keeps the promise by
    itself.
    """
    later = any(message.role == "assistant" for message in exchange.request.messages)
    return f"{exchange.route} (later turns)" if later else exchange.route


def namespace(keys: Keys, exchange: Exchange) -> bytes:
    """The safe key of everything but the last question."""
    request = exchange.request
    blank = (*request.messages[:-1], Message("user", (Text(""),)))
    whole, known = exchange.request, exchange.stage_notes.get(KEY)
    try:
        exchange.request = msgspec.structs.replace(request, messages=blank, recurs=False)
        return keys.key(exchange)
    finally:
        exchange.request = whole
        if known is not None:
            exchange.stage_notes[KEY] = known


def caution(exchange: Exchange) -> float | None:
    """The caller's own limit from `Cache-Control: x-max-error=0.002`; only ever makes the cache more careful."""
    for directive in exchange.context.cache_control:
        if directive.startswith("x-max-error="):
            try:
                return max(0.0, float(directive[12:]))
            except ValueError:
                return 0.0
    return None
