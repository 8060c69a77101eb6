"""Which promise covers which traffic: certificates, the monitors that watch them, and new ones from audited pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from hapenny.evidence.eprocess import LossMonitor, MonitorState
from hapenny.routing.certificates import Certificate, Fingerprint
from hapenny.routing.recertify import Collected, Recertifier

Key = tuple[str, str]
"""Route and intent; the intent "" stands for the whole route."""


class Held(Struct, frozen=True, kw_only=True):
    """A certificate and how it stands: `in force`, `void` (it is about something else than what runs now), `refuted`
    by its monitor, or `nothing proven`. `seen`, `loss`: audited requests since, and their mean loss."""

    certificate: Certificate
    state: str
    seen: int = 0
    loss: float = 0.0


class Learnt(Struct):
    """What was learnt since training, for a restart."""

    version: str
    monitors: list[tuple[str, str, MonitorState]]
    renewed: list[Certificate]
    collected: list[Collected]


class Promises:
    """The promises of one trained router.

    Args:
        certificates: as trained.
        version: of that training; what was learnt under another is not taken over.
        about: what a certificate of a route and intent would have to be about now.
        limits: `max_quality_loss` by route, where no trained certificate says it.
    """

    def __init__(
        self,
        certificates: tuple[Certificate, ...],
        version: str,
        about: Callable[[str, str], Fingerprint],
        *,
        limits: Mapping[str, float] | None = None,
    ) -> None:
        self.certificates, self.version, self._about = certificates, version, about
        self._limits = dict(limits or {})
        self._trained: dict[Key, Certificate] = {}
        for one in certificates:
            self._trained.setdefault((one.about.route, one.about.intent), one)
        self.renewed: dict[Key, Certificate] = {}
        self.recertifier = Recertifier()
        self.monitors: dict[Key, LossMonitor] = {
            key: one.monitor() for key, one in self._trained.items() if one.threshold is not None
        }

    def keep(self, before: Promises) -> None:
        """Goes on with all that was learnt before a reload, if the training is the same."""
        if before.version == self.version and before.certificates == self.certificates:
            self.monitors, self.renewed, self.recertifier = before.monitors, before.renewed, before.recertifier

    def find(self, route: str, intent: str) -> Certificate | None:
        """The certificate in force: the intent's own, else the route's. A refuted one ends the search."""
        for key in ((route, intent), (route, "")):
            one = self._current(key)
            if one is not None and one.threshold is not None:
                return None if self._refuted(key) else one
        return None

    def observe(self, route: str, intent: str, loss: float) -> bool:
        """Adds the loss of a drawn request to its promise's monitor; true if that promise is refuted."""
        for key in ((route, intent), (route, "")):
            monitor = self.monitors.get(key)
            if monitor is not None and self._current(key) is not None:
                return monitor.update(loss)
        return False

    def paired(self, route: str, intent: str, score: float, loss: float, wall: float) -> None:
        """Adds what the weak model would lose on a drawn request. Where the certificate is void, or there never was
        one, enough pairs make a new one; a refuted promise waits for a new training."""
        for key in {(route, ""), (route, intent)}:
            first, renewed, current = self._trained.get(key), self.renewed.get(key), self._current(key)
            if current is not None and (
                (current is not renewed and current.threshold is not None) or self._refuted(key)
            ):
                continue
            made = self.recertifier.add(
                self._about(*key),
                score,
                loss,
                max_quality_loss=first.max_quality_loss if first is not None else self._limits.get(route, 0.02),
                confidence=first.confidence if first is not None else 0.95,
                wall=wall,
            )
            if made is not None:
                self.renewed[key], self.monitors[key] = made, made.monitor()

    def pairs(self, route: str, intent: str = "") -> int:
        """How many audited pairs there are towards the next certificate."""
        return self.recertifier.pairs(self._about(route, intent))

    def held(self) -> list[Held]:
        """Every certificate and how it stands, the renewed ones first."""
        held = []
        for one in (*self.renewed.values(), *self._trained.values()):
            key = one.about.route, one.about.intent
            monitor = self.monitors.get(key)
            if one.threshold is None:
                held.append(Held(certificate=one, state="nothing proven"))
            elif one is not self._current(key) or monitor is None:
                held.append(Held(certificate=one, state="void"))
            else:
                state = "refuted" if monitor.alarmed else "in force"
                held.append(Held(certificate=one, state=state, seen=monitor.n, loss=monitor.mean))
        return held

    def dumps(self) -> bytes:
        """What was learnt of this traffic."""
        kept = [(route, intent, monitor.state()) for (route, intent), monitor in self.monitors.items()]
        return msgspec.msgpack.encode(Learnt(self.version, kept, list(self.renewed.values()), self.recertifier.state()))

    def loads(self, data: bytes) -> None:
        """Goes on from `dumps`; of another training nothing is taken over."""
        learnt = msgspec.msgpack.decode(data, type=Learnt)
        if learnt.version != self.version:
            return
        self.recertifier.restore(learnt.collected)
        self.renewed = {(one.about.route, one.about.intent): one for one in learnt.renewed}
        for route, intent, state in learnt.monitors:
            self.monitors[route, intent] = LossMonitor.restore(state)

    def _current(self, key: Key) -> Certificate | None:
        """The certificate that is about what runs now."""
        about: Fingerprint | None = None
        for one in (self.renewed.get(key), self._trained.get(key)):
            if one is not None:
                about = about or self._about(*key)
                if one.describes(about):
                    return one
        return None

    def _refuted(self, key: Key) -> bool:
        monitor = self.monitors.get(key)
        return monitor is not None and monitor.alarmed
