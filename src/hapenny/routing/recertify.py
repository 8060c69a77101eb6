"""New certificates from audited pairs, for a router whose old ones are void: another model, price or prompt version.

Each subject (a `Fingerprint`) collects its own pairs of (score, loss of the weak model). At its first look, and each
time the pairs have doubled since, it is certified anew; the looks share the allowed error (a half, a quarter, ...), so
that all of them together keep the promise.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from hapenny.routing.certificates import Certificate, Fingerprint, certify

_LOOKS = 6
_SUBJECTS = 256


class Collected(Struct):
    """The pairs of one subject so far, and how often it was looked at."""

    about: Fingerprint
    scores: list[float] = []
    losses: list[float] = []
    looks: int = 0


class Recertifier:
    """Collects pairs and certifies.

    Args:
        least: pairs of a route before its first look; per_intent: of an intent of a route.
    """

    def __init__(self, least: int = 200, per_intent: int = 500) -> None:
        self._least, self._per_intent = least, per_intent
        self._known: OrderedDict[Fingerprint, Collected] = OrderedDict()

    def add(
        self,
        about: Fingerprint,
        score: float,
        loss: float,
        *,
        max_quality_loss: float,
        confidence: float,
        wall: float,
    ) -> Certificate | None:
        """Adds a pair; a certificate where this pair completed a look at which something could be proven."""
        pairs = self._known.get(about)
        if pairs is None:
            pairs = self._known[about] = Collected(about)
            if len(self._known) > _SUBJECTS:
                self._known.popitem(last=False)
        self._known.move_to_end(about)
        least = self._per_intent if about.intent else self._least
        if pairs.looks >= _LOOKS:
            return None
        pairs.scores.append(score)
        pairs.losses.append(loss)
        if len(pairs.scores) < least << pairs.looks:
            return None
        pairs.looks += 1
        made = certify(
            about,
            pairs.scores,
            pairs.losses,
            max_quality_loss=max_quality_loss,
            confidence=confidence,
            dated=wall,
            least=least,
            spend=0.5**pairs.looks,
        )
        return made if made.threshold is not None else None

    def pairs(self, about: Fingerprint) -> int:
        """How many pairs a subject has."""
        pairs = self._known.get(about)
        return len(pairs.scores) if pairs is not None else 0

    def state(self) -> list[Collected]:
        """Everything, for a restart."""
        return list(self._known.values())

    def restore(self, state: list[Collected]) -> None:
        """Goes on from `state`."""
        self._known = OrderedDict((one.about, one) for one in state)
