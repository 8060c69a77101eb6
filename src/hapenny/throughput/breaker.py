"""Circuit breaker (Nygard, Release It!): an upstream that fails gets one probe an interval instead of all traffic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hapenny.core.clock import Clock
from hapenny.core.stage_spec import INSIDE

_TRUSTED_WHOLE_S = 5.0
"""A refusal of the whole account, seconds after it was served: one of a provider's servers, perhaps."""


class BreakerSpec(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """When an endpoint is left alone.

    Probes that succeed close an open breaker. One is also let through where the one before is still out, so that a
    probe in a black hole keeps nobody from finding out. Pauses get up to a quarter on top by chance: gateways that lost
    a provider together do not probe in step. An endpoint whose provider refuses the gateway's own account is open at
    once, unless a call has just succeeded: then the refusal may be about the request (a model, a guardrail), and counts
    as a failure; so does one that can only be about the account, for five seconds.
    """

    failures: Annotated[int, Meta(description="Failures in a row that stop calls to an endpoint.", extra=INSIDE)] = 5
    failure_share: Annotated[
        float,
        Meta(description="Share of failed calls among the last `sample` that does so, too.", extra=INSIDE),
    ] = 0.5
    sample: Annotated[int, Meta(description="Calls that share is taken over.", extra=INSIDE)] = 20
    probe_s: Annotated[float, Meta(description="After how long the first probe is let through.", extra=INSIDE)] = 1.0
    longest_s: Annotated[
        float,
        Meta(description="The longest time between probes, to which it doubles.", extra=INSIDE),
    ] = 4.0
    eject_share: Annotated[
        float,
        Meta(
            description="An endpoint that fails this share of its calls while others hardly fail is left alone.",
            extra=INSIDE,
        ),
    ] = 0.2
    eject_s: Annotated[float, Meta(description="For how long.", extra=INSIDE)] = 10.0
    trusted_s: Annotated[
        float,
        Meta(
            description="How long after a call that succeeded a refusal of the gateway's own account may be about "
            "the request.",
            extra=INSIDE,
        ),
    ] = 60.0


class Breaker:
    """Open or closed for one endpoint. Calls that end must be told by `succeeded`, `failed` or `cancelled`."""

    def __init__(self, clock: Clock, spec: BreakerSpec | None = None) -> None:
        self._clock = clock
        self._spec = spec or BreakerSpec()
        self.state: Literal["closed", "open"] = "closed"
        self._row = 0
        self._share = 0.0
        self._interval = self._spec.probe_s
        self._probe_at = 0.0
        self._succeeded_at = float("-inf")
        self._warned_until = float("-inf")
        self.account_refused = False
        """Whether the last call that failed did so because the provider refuses the gateway's account."""
        self.opened = 0

    @property
    def share(self) -> float:
        """Failed share of the calls of late."""
        return self._share

    def outlier(self, others: Sequence[Breaker]) -> bool:
        """Whether this one fails often while all `others`, which are closed, hardly do."""
        closed = [other for other in others if other is not self and other.state == "closed"]
        worst = max((other.share for other in closed), default=1.0)
        return self.state == "closed" and self._share > self._spec.eject_share and worst < self._spec.eject_share / 4

    def wait_s(self) -> float:
        """0 if a call may be made now; else seconds until the next probe is due."""
        if self.state == "closed":
            return 0.0
        return max(0.0, self._probe_at - self._clock.now())

    def start(self) -> bool:
        """Notes that a call starts; True if it is the probe."""
        if self.state == "closed":
            return False
        self._rest(self._interval)  # for the others: its own end may be far away
        return True

    def succeeded(self, probe: bool) -> None:
        """A call was answered."""
        self._row = 0
        self._succeeded_at = self._clock.now()
        self.account_refused = False
        self._share += (0.0 - self._share) / self._spec.sample
        if probe or self.state == "closed":
            self._close(probe)

    def failed(self, probe: bool) -> None:
        """A call failed by the upstream's fault (5xx, connection, timeout)."""
        self.account_refused = False
        self._row += 1
        self._share += (1.0 - self._share) / self._spec.sample
        if probe:
            self._interval = min(self._spec.longest_s, self._interval * 2)
            self._rest(self._interval)
        elif (
            self._row >= self._spec.failures
            or self._share > self._spec.failure_share
            or self._clock.now() < self._warned_until
        ):
            self._open(self._spec.probe_s)

    def refused(self, probe: bool, *, whole: bool) -> None:
        """The provider refused the gateway's account: for every request (`whole`), or perhaps for this one alone."""
        now = self._clock.now()
        trust = min(_TRUSTED_WHOLE_S, self._spec.trusted_s) if whole else self._spec.trusted_s
        trusted = now - self._succeeded_at < trust
        self.failed(probe)
        self.account_refused = True
        if not trusted:
            self._open(self._spec.probe_s)
        if self.state == "open":
            self._rest(self._spec.eject_s)

    def warn(self, seconds: float) -> None:
        """Another gateway has given this endpoint up: for so long one failure is enough."""
        self._warned_until = self._clock.now() + seconds

    def cancelled(self, probe: bool) -> None:
        """A call ended without a verdict."""
        if probe:
            self._probe_at = self._clock.now()

    def eject(self) -> None:
        """Opens, because others do much better."""
        self._open(self._spec.eject_s)

    def _open(self, wait_s: float) -> None:
        if self.state == "closed":
            self.state = "open"
            self.opened += 1
            self._interval = self._spec.probe_s
            self._rest(wait_s)

    def _rest(self, seconds: float) -> None:
        self._probe_at = self._clock.now() + seconds * self._clock.random.uniform(1.0, 1.25)

    def _close(self, probe: bool) -> None:
        if probe:
            self.state = "closed"
            self._share = 0.0
            self._interval = self._spec.probe_s
