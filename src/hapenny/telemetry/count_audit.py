"""Estimates held against the provider's own free count (Bedrock CountTokens, Anthropic count_tokens), off the path.

A model that is used for the first time is seeded with a few probe texts, so that its first prices and quotas are near;
later a drawn share of prompts is counted again, which says how far estimates are off once the call has taught them:
near 0, unless usage is not reported, reported wrongly, or an answer of another tokenizer was booked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Target
from hapenny.core.log import get_logger
from hapenny.core.messages import Message, Request, Text
from hapenny.counting.seeding import seed
from hapenny.telemetry.pricing import Prices

_log = get_logger("hapenny.counting")
_TAUGHT = 20
"""Reports from which an estimator needs no seed."""
_MODELS = 1_000


class Counts(Protocol):
    """A backend that may count."""

    async def count(self, request: Request, target: Target) -> int | None:
        """Prompt tokens as the provider counts them; None when it has no such service."""


class Wanted(Protocol):
    """What a deployment wants: `seed` models when first used, count a share of prompts again."""

    @property
    def seed(self) -> bool:
        """Whether models are seeded when first used."""

    @property
    def audit_share(self) -> float:
        """Share of requests whose prompt is counted again."""


class _NoCount(Exception):
    """The provider has no counting service for the model."""


class CountChecks:
    """Seeds and audits the estimators of a deployment.

    Args:
        prices: whose estimators they are.
        backends: by name.
        spawn: runs work off the path.
        clock: chance.
        wanted: which checks.
    """

    def __init__(
        self,
        prices: Prices,
        backends: Mapping[str, Counts],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        clock: Clock,
        wanted: Wanted,
    ) -> None:
        self._prices, self._backends, self._spawn, self._clock = prices, backends, spawn, clock
        self._seeding = wanted.seed
        self.share = wanted.audit_share
        """Of prompts that are counted again."""
        self.met: set[tuple[str, str]] = set()
        """Models, by backend and name, that were looked at; where nothing is counted again, no second look is due."""
        self._errors: deque[float] = deque(maxlen=200)
        self.audits = 0
        """Prompts counted again so far."""
        self.seeded = 0
        """Models that were seeded."""

    def consider(self, exchange: Exchange) -> None:
        """Takes a finished request; never waits and never fails it."""
        if exchange.background or exchange.adopted is None:
            return
        call = exchange.adopted
        target = call.target
        key = (target.backend, target.model)
        if key not in self.met and len(self.met) < _MODELS:
            self.met.add(key)
            if self._seeding and self._prices.place(target).prompts.learned < _TAUGHT:
                self._spawn(self.seed(target, exchange.original))
        if self.share and call.request is not None and self._clock.random.random() < self.share:
            self._spawn(self.audit(call.request, target))

    async def seed(self, target: Target, like: Request) -> None:
        """Teaches the target's estimator the probe texts by the provider's count; `like` gives the dialect."""
        backend = self._backends.get(target.backend)
        if backend is None:
            return

        async def endpoint(text: str) -> int:
            request = Request(protocol=like.protocol, model=target.model, messages=(Message("user", (Text(text),)),))
            counted = await backend.count(request, target)
            if counted is None:
                raise _NoCount
            return counted

        try:
            error = await seed(self._prices.place(target).prompts, endpoint)
        except Exception as failure:  # a help, never a condition
            _log.info("not seeded", model=target.model, error=failure)
            return
        self.seeded += 1
        _log.info("estimator seeded by the provider's count", model=target.model, error=round(error, 4))

    async def audit(self, request: Request, target: Target) -> None:
        """Counts a prompt again at the provider and notes how far the estimate is off."""
        backend = self._backends.get(target.backend)
        try:
            counted = await backend.count(request, target) if backend is not None else None
        except Exception as failure:
            _log.info("not audited", model=target.model, error=failure)
            return
        if counted:
            self.audits += 1
            self._errors.append(abs(self._prices.prompt(request, target) / counted - 1))
            self._prices.release(request)

    @property
    def error(self) -> float:
        """Mean absolute relative error of the last audits; 0 before the first."""
        return sum(self._errors) / len(self._errors) if self._errors else 0.0
