"""Calls that no client waits for: refreshed stale answers, audits and verdicts, each in a row of its own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from hapenny.caching.options import SEMANTIC_STAGE
from hapenny.caching.stored import STALE
from hapenny.config import LOSSY
from hapenny.core.calls import Purpose
from hapenny.core.errors import Failure
from hapenny.core.events import Completion
from hapenny.core.exchange import Exchange, Taken, Target
from hapenny.core.log import get_logger
from hapenny.core.messages import Message, Parameters, Request, Text
from hapenny.core.metering import deliver
from hapenny.core.stage import Onward
from hapenny.core.tasks import Spawn
from hapenny.evidence.facts import Said, said
from hapenny.evidence.live_audit import Judged, Quality, changed_by
from hapenny.evidence.llm import Judged as Preference
from hapenny.evidence.llm import compare
from hapenny.evidence.pair_judge import ModelJudge
from hapenny.gateway.exchanges import Exchanges
from hapenny.routing.options import TIERS_STAGE
from hapenny.telemetry.content import Rival
from hapenny.telemetry.recorder import Recorder
from hapenny.telemetry.rows import Row
from hapenny.telemetry.rows import verdict as verdict_row

_log = get_logger("hapenny.gateway")
_VERDICT_TOKENS = 256
"""Room for a judge's one line; some models put a word before it."""

_LOSSY = tuple(spec.name for spec in LOSSY)
_REMEMBERED = 10_000
"""Refreshed keys whose time is remembered."""


class BackgroundCalls:
    """Asks models on the gateway's own behalf, past every stage.

    Args:
        exchanges: opens and closes the exchange of each call.
        call: one paid attempt.
        recorder: where verdicts, and texts beside audited ones, are kept.
    """

    def __init__(self, exchanges: Exchanges, call: Onward, recorder: Recorder) -> None:
        self._exchanges = exchanges
        self._call = call
        self._recorder = recorder

    async def same(self, of: Exchange, target: Target, prompt: str) -> tuple[str, int]:
        """What a model says of two answers, for the semantic cache, which pays; and what that cost, in nano-dollars.

        Raises:
            Failure: the model did not answer.
        """
        exchange = self._exchanges.bare(_question(target, prompt), of.context, target, of.route, "judge")
        exchange.purpose, exchange.payer = "judge", SEMANTIC_STAGE.name
        try:
            reply = (await self._run(exchange)).text
        finally:
            self._exchanges.close(exchange)
        return reply, _cost(exchange)

    async def audit(
        self, audited: Exchange, request: Request, target: Target, judged: Judged, *, probe: str = ""
    ) -> tuple[Said, int]:
        """Asks what the baseline would have answered, everything off; the judge's verdict stands in that row, and as
        the quality of the audited request. A `probe` asks what the technique of that name would have, and the verdict
        is on its answer alone. Returns the answer and what it cost, in nano-dollars.

        Raises:
            Failure: the model did not answer.
        """
        recorder = self._recorder
        exchange = self._beside(audited, request, target, "probe" if probe else "audit", "audit", probe)
        try:
            answer = said(await self._run(exchange))
            verdict = await judged(answer)
            quality = 1.0 - max(0.0, verdict.net)
            exchange.decisions.append(Taken("audit", "on", Quality(score=quality), 0.0))
            exchange.note(f"verdict={verdict.net:+g}; by={verdict.by}")
            if recorder.ledger is not None and not probe:
                recorder.ledger.book(verdict_row(audited.id, quality, "audit", exchange.clock.wall()))
            if recorder.content is not None:
                rival = Rival(answer.shown(), exchange.id if probe else audited.id, target.model, bool(probe))
                await recorder.content.beside(audited, rival)
        except Failure as failure:
            exchange.failure = failure
            raise
        finally:
            self._exchanges.close(exchange)
        return answer, _cost(exchange)

    def judging(self, target: Target) -> ModelJudge:
        """A model as the judge of audits: asked again with places swapped, each time in a row of its own (`judge`)."""

        async def judge(audited: Exchange, candidate: str, reference: str, both: bool) -> tuple[Preference, int]:
            costs: list[int] = []

            async def ask(prompt: str) -> str:
                exchange = self._beside(audited, _question(target, prompt), target, "judge", "judge")
                try:
                    return (await self._run(exchange)).text
                finally:
                    self._exchanges.close(exchange)
                    costs.append(_cost(exchange))

            comparison = await compare(ask, audited.original.question, candidate, reference, both=both)
            return comparison, sum(costs)

        return judge

    async def _run(self, exchange: Exchange) -> Completion:
        return await _collected(exchange, self._call)

    def _beside(
        self, audited: Exchange, request: Request, target: Target, kind: str, purpose: Purpose, probe: str = ""
    ) -> Exchange:
        """The exchange of a call about an audited request, marked with its id and with
        the techniques that it is evidence about."""
        about = probe or "+".join(changed_by(audited, _LOSSY)) or TIERS_STAGE.name
        tags = {**audited.context.tags, "audited": audited.id, "evidence": about}
        context = msgspec.structs.replace(audited.context, tags=tags)
        exchange = self._exchanges.bare(request, context, target, audited.route, kind)
        exchange.intent, exchange.purpose, exchange.payer = audited.intent, purpose, "audit"
        return exchange


class StaleRefresh:
    """Asks a request again whose stored answer was served stale: once, however many were served the same answer.

    Args:
        exchanges: opens and closes the exchange of each refresh.
        pipelines: by route.
        spawn: runs work off the path.
    """

    def __init__(self, exchanges: Exchanges, pipelines: Mapping[str, Onward], spawn: Spawn) -> None:
        self._exchanges = exchanges
        self._pipelines = pipelines
        self._spawn = spawn
        self._under_way: set[str] = set()
        self._refreshed: OrderedDict[str, float] = OrderedDict()

    def consider(self, exchange: Exchange, row: Row) -> None:
        """Takes a finished request. One that came before the last refresh ended (a slow reader's) begins none."""
        cache = exchange.cache
        if cache is None or not cache.hit or cache.detail != STALE or cache.key in self._under_way:
            return
        if exchange.arrived < self._refreshed.get(cache.key, 0.0):
            return
        self._under_way.add(cache.key)
        self._spawn(self._refresh(exchange, cache.key))

    async def _refresh(self, stale: Exchange, key: str) -> None:
        exchange = None
        try:
            exchange = self._exchanges.again(stale, "refresh")
            await _collected(exchange, self._pipelines[exchange.route])
            self._refreshed[key] = exchange.clock.now()
            if len(self._refreshed) > _REMEMBERED:
                self._refreshed.popitem(last=False)
        except Failure as failure:
            _log.info("refresh failed", kind=failure.kind, route=stale.route)
        finally:
            self._under_way.discard(key)
            if exchange is not None:
                self._exchanges.close(exchange)


async def _collected(exchange: Exchange, onward: Onward) -> Completion:
    """The whole answer of a background exchange; its failure, if it has one, stands on it."""
    try:
        return await deliver(await onward(exchange), exchange).collect()
    except Failure as failure:
        exchange.failure = failure
        raise


def _question(target: Target, prompt: str) -> Request:
    """A judge's question, to be answered in a line."""
    return Request(
        protocol="openai",
        model=target.model,
        messages=(Message("user", (Text(prompt),)),),
        parameters=Parameters(max_tokens=_VERDICT_TOKENS),
    )


def _cost(exchange: Exchange) -> int:
    return sum(call.cost or 0 for call in exchange.calls)
