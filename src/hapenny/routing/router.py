"""Which tier a question deserves: use-case table, then cold-start score, then evidence, which overrides both.

Evidence is a trained scorer with a certificate for this route and intent. Without a certificate in force, on a prompt
unlike the training traffic, or after the monitor's alarm, the strong tier answers: the router abstains upward.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from hapenny.routing import complexity
from hapenny.routing.budget import Budget, Rates, Ruling
from hapenny.routing.certificates import Certificate, Fingerprint
from hapenny.routing.intents.features import extract
from hapenny.routing.names import TIERS
from hapenny.routing.options import TierOptions
from hapenny.routing.pareto import Dominated
from hapenny.routing.promises import Promises
from hapenny.routing.scorer import Reader, Scorer

USE_CASES: dict[str, str] = {
    "expert_reasoning": "max",
    "summarization": "fast",
    "classification": "fast",
    "chunking": "fast",
    "compression": "fast",
}
"""Tier by use case where there is no evidence: expert reasoning the best, preprocessing the cheapest."""

LEAST: dict[str, str] = {"general": "balanced"}
"""Use cases whose score decides, but not below a tier: general questions get balanced or strong."""

_SESSIONS = 50_000


class Trained(Struct, kw_only=True, frozen=True):
    """What `hapenny train router` writes: a scorer between two tiers, the certificates earned with it, and the models
    that lost to a no dearer one in the same outcomes."""

    weak: str
    strong: str
    scorer: Scorer
    certificates: tuple[Certificate, ...] = ()
    created: float = 0.0
    dominated: tuple[Dominated, ...] = ()


class _Kept(Struct):
    promises: bytes
    budget: tuple[float, float, float, float] | None


class Router:
    """Rules on tiers. Pure but for its memory of sessions and the monitors.

    Args:
        options: thresholds of the cold-start score.
        trained: the evidence, if any.
        describe: what the certificate of a route and intent would have to be about now; a certificate about anything
            else is void.
        rates: prices by tier for the cost of switching within a session.
        score: the cold-start score.
        budget: dollars a month over all routed requests; a dearer tier is given up while spending runs ahead of it.
        limits: `max_quality_loss` by route, for certificates made from audited pairs.
        instead: tiers whose model is dominated, and the tier of the model that beat it; nothing is sent to them.
    """

    def __init__(
        self,
        options: TierOptions | None = None,
        trained: Trained | None = None,
        *,
        describe: Callable[[str, str], Fingerprint] | None = None,
        rates: Mapping[str, Rates] | None = None,
        score: Callable[[str, str | None], float] = complexity.score,
        budget: Budget | None = None,
        limits: Mapping[str, float] | None = None,
        instead: Mapping[str, str] | None = None,
    ) -> None:
        self.instead = dict(instead or {})
        self._options = options = options or TierOptions()
        self.thresholds = options.thresholds()
        self._trained = trained
        self._reader = Reader(trained.scorer) if trained is not None else None
        self._describe = describe
        self._rates = dict(rates or {})
        self._score = score
        self.budget = budget
        self.sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """The tier that served each session last, and when."""
        self.promises: Promises | None = None
        if trained is not None:
            version = f"{trained.scorer.version} {trained.created}"
            self.promises = Promises(trained.certificates, version, describe or _as_trained(trained), limits=limits)

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
        thresholds: Mapping[str, float] | None = None,
        wall: float = 0.0,
        proven: tuple[str, str] | None = None,
    ) -> Ruling:
        """The tier for a question.

        Args:
            text: the question (the last user turn).
            intent, route: as classified and chosen.
            session: names the conversation; its tier changes downward only when that saves more than it costs.
            now: seconds of any steady clock, for the age of the session's cached prefix.
            prefix_tokens: tokens in front of the question that the session's model may have cached.
            output_tokens: expected length of the answer.
            thresholds: of the cold-start score by tier, in place of the options' (an experiment's arm).
            wall: epoch seconds, for the budget's month.
            proven: the tier that evidence allows, and why; it decides instead of thresholds and use-case table.
        """
        if self._reader is not None:
            ruling = self._evidence(text, intent, route)
        elif proven is not None:
            ruling = Ruling(tier=proven[0], why=proven[1], score=self._score(text, intent))
            if not ruling.tier:
                return ruling
        else:
            ruling = self._prior(text, intent, thresholds or self.thresholds)
        better = self.instead.get(ruling.tier)
        if better is not None:
            why = f"{ruling.tier} is dominated; {ruling.why}"
            ruling = msgspec.structs.replace(ruling, tier=better, certificate=None, why=why)
        if self.budget is not None:
            ruling = self.budget.within(ruling, prefix_tokens + len(text) // 4, output_tokens, wall)
        return self._stick(ruling, session, now, prefix_tokens, output_tokens) if session else ruling

    def keep(self, before: Router) -> None:
        """Goes on with the sessions of a router before a reload and, for the same evidence, with all it learnt."""
        self.sessions = before.sessions
        if self.promises is not None and before.promises is not None:
            self.promises.keep(before.promises)

    @property
    def trained(self) -> bool:
        """Whether it rules by a trained scorer and its certificates."""
        return self._trained is not None

    @property
    def weak(self) -> str:
        """The cheap tier: the trained one's, else `fast`."""
        return self._trained.weak if self._trained is not None else "fast"

    def certificate(self, route: str, intent: str) -> Certificate | None:
        """The certificate in force for that traffic: about what runs now, and not refuted."""
        return self.promises.find(route, intent) if self.promises is not None else None

    def observe(self, route: str, intent: str, loss: float) -> bool:
        """Adds the loss of an audited pair; true if the promise of that route and intent is now refuted."""
        return self.promises.observe(route, intent, loss) if self.promises is not None else False

    def paired(self, route: str, intent: str, score: float, loss: float, wall: float = 0.0) -> None:
        """Adds what the weak model would lose on a drawn request, for a new certificate where one is wanted."""
        if self.promises is not None:
            self.promises.paired(route, intent, score, loss, wall)

    def dumps(self) -> bytes:
        """What was learnt of this traffic and what is left of the month's budget, for a restart."""
        promises = self.promises.dumps() if self.promises is not None else b""
        return msgspec.msgpack.encode(_Kept(promises, self.budget.state() if self.budget is not None else None))

    def loads(self, data: bytes) -> None:
        """Goes on from `dumps`."""
        kept = msgspec.msgpack.decode(data, type=_Kept)
        if self.promises is not None and kept.promises:
            self.promises.loads(kept.promises)
        if self.budget is not None and kept.budget is not None:
            self.budget.restore(kept.budget)

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

    def book(self, cost: float, wall: float) -> None:
        """Tells the monthly budget what a routed request really cost, dollars."""
        if self.budget is not None:
            self.budget.book(cost, wall)

    def _prior(self, text: str, intent: str, thresholds: Mapping[str, float]) -> Ruling:
        score = self._score(text, intent)
        tier = USE_CASES.get(intent)
        if tier is not None:
            return Ruling(tier=tier, why=f"use case {intent}", score=score)
        tier = "fast"
        for name, threshold in thresholds.items():
            if score >= threshold:
                tier = name
        tier = TIERS[max(TIERS.index(tier), TIERS.index(LEAST.get(intent, "fast")))]
        return Ruling(tier=tier, why="cold-start score", score=score)

    def _stick(self, ruling: Ruling, session: str, now: float, prefix: int, output: int) -> Ruling:
        before = self.sessions.pop(session, None)
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
        self.sessions[session] = (ruling.tier, now)
        if len(self.sessions) > _SESSIONS:
            self.sessions.popitem(last=False)
        return ruling


def _as_trained(trained: Trained) -> Callable[[str, str], Fingerprint]:
    """What a certificate is about where nothing is known of the deployment: what it was trained for."""
    made = {(one.about.route, one.about.intent): one.about for one in trained.certificates}

    def about(route: str, intent: str) -> Fingerprint:
        return made.get((route, intent)) or Fingerprint(
            route=route, intent=intent, weak=trained.weak, strong=trained.strong, router_version=trained.scorer.version
        )

    return about
