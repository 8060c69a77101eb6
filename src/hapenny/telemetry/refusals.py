"""The log of what only the operator can mend: a provider that refuses the gateway's account, with the fix."""

from __future__ import annotations

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.core.log import get_logger

_log = get_logger("hapenny.providers")
_AGAIN_S = 60.0
_MOST = 256


class Refusals:
    """Writes each refusal when it is new, and again once a minute while it lasts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._written: dict[tuple[str, str, str, str | None], float] = {}

    def tell(self, failure: Failure, target: Target) -> None:
        """Writes what the operator has to do, if the failure is the operator's at all and was not just written."""
        if failure.operator is None:
            return
        key = (target.backend, target.model, target.region, failure.upstream_type)
        now = self._clock.now()
        if now - self._written.get(key, float("-inf")) < _AGAIN_S:
            return
        if len(self._written) >= _MOST:
            self._written.clear()
        self._written[key] = now
        _log.warning(
            "a provider refuses the gateway's account",
            backend=target.backend,
            model=target.model,
            region=target.region,
            status=failure.upstream_status,
            reason=failure.upstream_type,
            fix=failure.operator,
        )
