"""The exact layer behind this gateway: what another gateway has answered, or is answering now.

It stands behind coalescing, so that of all identical requests of a gateway one asks, in one round trip, for the answer
or for the lease on making it.
"""

from __future__ import annotations

from collections.abc import Sequence

from hapenny.caching.directives import refuses
from hapenny.caching.exact import replayed, size_of, storable
from hapenny.caching.keys import Keys, uncacheable
from hapenny.caching.options import EXACT_STAGE
from hapenny.caching.shared import SharedAnswers
from hapenny.caching.stored import PRECOMPUTED, AnswerDedup, tags_of
from hapenny.core.answer import Answer, Outcome, Recorder, Replay, Transform
from hapenny.core.events import Event
from hapenny.core.exchange import CacheFact, Exchange
from hapenny.core.stage import Ask, Decision, Onward, Stage


class Elsewhere(Decision):
    """What to look for. `asks` False: only what comes back is shared."""

    key: bytes
    asks: bool = True


class SharedExactStage(Stage, spec=EXACT_STAGE):
    """Looks into the shared space, and keeps there what this gateway has made."""

    def __init__(
        self,
        shared: SharedAnswers,
        keys: Keys,
        results: AnswerDedup,
        *,
        ttl: float,
        stale: float = 0.0,
        any_temperature: bool = False,
    ) -> None:
        self._shared = shared
        self._keys = keys
        self._results = results
        self._ttl = ttl
        self._stale = stale
        self._any_temperature = any_temperature

    async def decide(self, exchange: Exchange, ask: Ask) -> Elsewhere | None:
        """None for what may not be kept at all."""
        if uncacheable(exchange, any_temperature=self._any_temperature):
            return None
        asks = "no-cache" not in exchange.context.cache_control and not exchange.background
        return Elsewhere(key=self._keys.key(exchange), asks=asks)

    async def apply(self, decision: Elsewhere, exchange: Exchange, onward: Onward) -> Answer:
        """Replays what is there, or goes onward and shares what comes back."""
        key, shared, holds = decision.key, self._shared, False
        if decision.asks:
            obtained = await shared.obtain(key, exchange)
            entry, holds = obtained.entry, obtained.holds
            now = exchange.clock.wall()
            if entry is not None and (self._keys.shared or entry.value.tenant == exchange.context.tenant):
                directives = exchange.context.cache_control
                if not directives or not refuses(directives, entry.age(now), entry.expires - now):
                    exchange.cache = CacheFact(
                        layer="exact", hit=True, age=entry.age(now), ttl=entry.expires - now, key=key[:8].hex()
                    )
                    exchange.answer.model, exchange.answer.passages = entry.value.model, entry.value.passages
                    if PRECOMPUTED in entry.tags:
                        exchange.answer.precomputed = True
                    return Answer(Replay(entry.value.events), forms=entry.value.forms)
        try:
            answer = await onward(exchange)
        except BaseException:
            if holds:
                shared.let_go(key)
            raise
        return answer.through(_Share(answer.recorded(), self, key, exchange, holds))

    def share(self, key: bytes, exchange: Exchange, recorder: Recorder, outcome: Outcome) -> bool:
        """Shares an answer that ended and may be served again; whether it did."""
        completion = recorder.completion if outcome == "complete" else None
        if completion is None or replayed(exchange):
            return False
        stored = storable(completion, exchange)
        if stored is None or (stored.evidence and not self._results.current(stored, exchange.wall)):
            return False
        tags = tags_of(exchange, stored)
        self._shared.keep(key, stored, size_of(completion), self._ttl, self._stale, tags)
        return True

    def let_go(self, key: bytes) -> None:
        """There is nothing to share."""
        self._shared.let_go(key)


class _Share(Transform):
    """Shares the answer at its end, or lets go of the lease."""

    watches = True

    def __init__(
        self, recorder: Recorder, stage: SharedExactStage, key: bytes, exchange: Exchange, holds: bool
    ) -> None:
        recorder.whole()
        self._recorder = recorder
        self._stage = stage
        self._key = key
        self._exchange = exchange
        self._holds = holds

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """See the class."""
        if not self._stage.share(self._key, self._exchange, self._recorder, outcome) and self._holds:
            self._stage.let_go(self._key)
        return ()
