"""Which tier a question deserves: use-case table, then cold-start score, then evidence, which overrides both.

Evidence is a trained scorer with a certificate for this route and intent. Without a certificate in force, on a prompt
unlike the training traffic, or after the monitor's alarm, the strong tier answers: the router abstains upward.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from hapenny.evidence.eprocess import LossMonitor
from hapenny.intents.features import extract
from hapenny.routing import complexity
from hapenny.routing.certificates import Certificate, Fingerprint
from hapenny.routing.names import TIERS
from hapenny.routing.options import TierOptions
from hapenny.routing.scorer import Reader, Scorer

USE_CASES: dict[str, str] = {
    "expert_reasoning": "max",
    "summarization": "fast",
    "classification": "fast",
    "chunking": "fast",
    "compression": "fast",
}
"""Tier by use case where there is no evidence: expert reasoning the best, preprocessing the cheapest."""

_SESSIONS = 50_000


class Trained(Struct, kw_only=True, frozen=True):
    """What `hapenny train router` writes: a scorer between two tiers and the certificates earned with it."""

    weak: str
    strong: str
    scorer: Scorer
    certificates: tuple[Certificate, ...] = ()
    created: float = 0.0


class Ruling(Struct, frozen=True, kw_only=True):
    """A tier, why, and the score it rests on. `certificate` is the promise that covers it, if any."""

    tier: str
    why: str
    score: float
    certificate: Certificate | None = None
    sticky: bool = False


class Rates(Struct, frozen=True):
    """Price of a tier in any one unit per token: input, input read from the provider's cache, output."""

    input: float
    cached: float
    output: float


class Router:
    """Rules on tiers. Pure but for its memory of sessions and the monitors.

    Args:
        options: thresholds of the cold-start score.
        trained: the evidence, if any.
        describe: what the certificate of a route and intent would have to be about now; a certificate about anything
            else is void.
        rates: prices by tier for the cost of switching within a session.
        score: the cold-start score.
    """

    def __init__(
        self,
        options: TierOptions | None = None,
        trained: Trained | None = None,
        *,
        describe: Callable[[str, str], Fingerprint] | None = None,
        rates: Mapping[str, Rates] | None = None,
        score: Callable[[str, str | None], float] = complexity.score,
    ) -> None:
        self._options = options or TierOptions()
        self._trained = trained
        self._reader = Reader(trained.scorer) if trained is not None else None
        self._describe = describe
        self._rates = dict(rates or {})
        self._score = score
        self._sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self.monitors: dict[tuple[str, str], LossMonitor] = {}
        for certificate in trained.certificates if trained is not None else ():
            if certificate.threshold is not None:
                self.monitors[certificate.about.route, certificate.about.intent] = certificate.monitor()

    def rule(
        self,
        text: str,
        intent: str = "unknown",
        route: str = "default",
        *,
        session: str = "",
        now: float = 0.0,
        prefix_tokens: int = 0,
        output_tokens: int = 300,
    ) -> Ruling:
        """The tier for a question.

        Args:
            text: the question (the last user turn).
            intent, route: as classified and chosen.
            session: names the conversation; its tier changes downward only when that saves more than it costs.
            now: seconds of any steady clock, for the age of the session's cached prefix.
            prefix_tokens: tokens in front of the question that the session's model may have cached.
            output_tokens: expected length of the answer.
        """
        ruling = self._evidence(text, intent, route) if self._reader is not None else self._prior(text, intent)
        return self._stick(ruling, session, now, prefix_tokens, output_tokens) if session else ruling

    def keep(self, before: Router) -> None:
        """Goes on with the sessions and, for the same evidence, the monitors of a router before a reload."""
        self._sessions = before._sessions
        if self._trained is not None and before._trained == self._trained:
            self.monitors = before.monitors

    def observe(self, route: str, intent: str, loss: float) -> bool:
        """Adds the loss of an audited pair; true if the promise of that route and intent is now refuted."""
        monitor = self.monitors.get((route, intent)) or self.monitors.get((route, ""))
        return monitor.update(loss) if monitor is not None else False

    def certificate(self, route: str, intent: str) -> Certificate | None:
        """The certificate in force for that traffic: about what runs now, and not refuted."""
        if self._trained is None:
            return None
        for wanted in ((route, intent), (route, "")):
            for one in self._trained.certificates:
                if (one.about.route, one.about.intent) != wanted or one.threshold is None:
                    continue
                if self._describe is not None and not one.describes(self._describe(*wanted)):
                    continue
                monitor = self.monitors.get(wanted)
                if monitor is not None and monitor.alarmed:
                    return None
                return one
        return None

    def _evidence(self, text: str, intent: str, route: str) -> Ruling:
        trained, reader = self._trained, self._reader
        assert trained is not None and reader is not None  # noqa: PT018
        features = extract(text)
        gain = reader.gain(features, intent)
        certificate = self.certificate(route, intent)
        if certificate is None:
            return Ruling(tier=trained.strong, why="no certificate in force", score=gain)
        if reader.foreign(features):
            return Ruling(tier=trained.strong, why="unlike the training traffic", score=gain)
        weak = certificate.allows(gain)
        return Ruling(
            tier=trained.weak if weak else trained.strong,
            why="certified" if weak else "above the certified threshold",
            score=gain,
            certificate=certificate,
        )

    def _prior(self, text: str, intent: str) -> Ruling:
        score = self._score(text, intent)
        tier = USE_CASES.get(intent)
        if tier is not None:
            return Ruling(tier=tier, why=f"use case {intent}", score=score)
        tier = "fast"
        options = self._options
        for name, threshold in (
            ("balanced", options.balanced_from),
            ("strong", options.strong_from),
            ("max", options.max_from),
        ):
            if score >= threshold:
                tier = name
        return Ruling(tier=tier, why="cold-start score", score=score)

    def _stick(self, ruling: Ruling, session: str, now: float, prefix: int, output: int) -> Ruling:
        before = self._sessions.pop(session, None)
        options = self._options
        if (
            before is not None
            and now - before[1] <= options.sticky_s
            and TIERS.index(before[0]) > TIERS.index(ruling.tier)
        ):
            old, new = self._rates.get(before[0]), self._rates.get(ruling.tier)
            # Moving down pays the prefix anew at the full rate; staying reads it from the cache.
            if (
                old is None
                or new is None
                or prefix * new.input + output * new.output >= prefix * old.cached + output * old.output
            ):
                ruling = msgspec.structs.replace(
                    ruling, tier=before[0], sticky=True, why=f"session stays; {ruling.why}"
                )
        self._sessions[session] = (ruling.tier, now)
        if len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
        return ruling
