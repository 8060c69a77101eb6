"""The retry stage: tries again where that may help, within one deadline and before anything was sent."""

from __future__ import annotations

from hapenny.core.answer import Answer
from hapenny.core.errors import Failure, Unavailable
from hapenny.core.exchange import Exchange
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.throughput.retry import Backoff


class Attempts(Decision):
    """How often to try at most."""

    tries: int


class RetryStage(Stage):
    """Every attempt counts against the exchange's `max_calls`; failed attempts that cost money are its own cost."""

    name = "retry"

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff

    async def decide(self, exchange: Exchange, ask: Ask) -> Attempts | None:
        """None when there is only one try."""
        return Attempts(tries=self._backoff.tries) if self._backoff.tries > 1 else None

    async def apply(self, decision: Attempts, exchange: Exchange, onward: Onward) -> Answer:
        """Calls onward until an answer begins.

        Raises:
            Unavailable: when tries or time are used up; its cause's kind.
            Failure: at once where another try cannot help.
        """
        there, attempt = exchange, 1
        while True:
            try:
                answer = await onward(there)
            except Failure as failure:
                if not failure.retryable or exchange.committed:
                    raise
                wait = self._backoff.after(attempt, exchange.clock, exchange.limits.begin_by, failure.retry_after)
                if wait is None:
                    raise Unavailable(failure.message, cause=failure) from failure
                await exchange.clock.sleep(wait)
                attempt += 1
                there = exchange.branch(f"retry {attempt}", purpose="retry", payer=self.name)
                continue
            if there is not exchange:
                exchange.adopt(there)
            return answer
