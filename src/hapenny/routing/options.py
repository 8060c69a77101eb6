"""What an operator may set about routing."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from hapenny.core.stage_spec import INSIDE, Phase, StageSpec


class TierOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """The tier choice for `auto`.

    Without thresholds evidence decides, within the route's `max_quality_loss`: a cheap tier serves where audits have
    shown that it may. With any of them a cold-start score decides, in [0, 1], 1 the hardest: scores at or above a
    threshold go to that tier, whatever that loses. On support questions (banking77, hint3) a tenth scores above .25 and
    a twentieth above .30; questions that ask for a comparison, a plan or a derivation score .30 and more.
    """

    balanced_from: Annotated[
        float | None,
        Meta(
            description="Scores from here on go to `balanced`. None: evidence decides; .25 where another "
            "threshold is set, or where the route lets techniques act unproven.",
            extra=INSIDE,
        ),
    ] = None
    strong_from: Annotated[
        float | None,
        Meta(description="Scores from here on go to `strong`. None: as above, .30.", extra=INSIDE),
    ] = None
    max_from: Annotated[
        float | None,
        Meta(description="Scores from here on go to `max`; above 1 means never. None: as above, never.", extra=INSIDE),
    ] = None
    trained: Annotated[
        str | None,
        Meta(
            description="File that `hapenny train router` wrote; its certificates override thresholds and "
            "use-case table.",
        ),
    ] = None
    monthly_budget_usd: Annotated[
        float | None,
        Meta(
            description="Dollars in 30 days for all `auto` requests; while spending runs ahead tiers are lowered, "
            "easy questions first.",
        ),
    ] = None
    check: Annotated[
        bool,
        Meta(
            description="Whether a cheap tier may also serve just those answers that the request's own evidence "
            "carries (retrieved passages, results of tools), the baseline all others. A checked answer is held back "
            "until it is whole; never where the route has a latency budget.",
        ),
    ] = True
    sticky_s: Annotated[
        float,
        Meta(
            description="A session keeps its tier this long (the provider's cache lifetime) unless moving down "
            "saves money.",
        ),
    ] = 300.0

    @property
    def by_score(self) -> bool:
        """Whether the operator set thresholds."""
        return not (self.balanced_from is None and self.strong_from is None and self.max_from is None)

    def thresholds(self) -> dict[str, float]:
        """By tier, what was not set at its usual place."""
        given = {"balanced": self.balanced_from, "strong": self.strong_from, "max": self.max_from}
        return {tier: COLD_START[tier] if value is None else value for tier, value in given.items()}


COLD_START = {"balanced": 0.25, "strong": 0.30, "max": 1.1}
"""Thresholds of the cold-start score where none are set and no evidence is asked for."""


class CascadeOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which requests may be cascaded, and the two cheap tiers or models that answer first, the cheaper one first."""

    intents: Annotated[
        list[str],
        Meta(description="`*` is every intent."),
    ] = field(default_factory=lambda: ["extraction", "classification"])
    background: Annotated[
        bool,
        Meta(
            description="Whether background work (batch jobs, priorities below 0) may be cascaded whatever its intent.",
        ),
    ] = False
    gate: Annotated[
        Literal["agreement", "confidence", "either"],
        Meta(
            description="`agreement`: both are asked at once and must say the same. `confidence`: the first is "
            "asked alone and must look sure. `either`: the first alone; where it does not look sure, "
            "the second must say the same.",
        ),
    ] = "agreement"
    confident_below: Annotated[
        float,
        Meta(description="An answer looks sure only to a question whose cold-start score is below this.", extra=INSIDE),
    ] = 0.25
    first: Annotated[
        list[str],
        Meta(description="The two that answer first, the cheaper one first."),
    ] = field(default_factory=lambda: ["fast", "balanced"])
    strong: Annotated[str, Meta(description="Who answers where they disagree.")] = "strong"


TIERS_STAGE = StageSpec(
    name="tiers", options=TierOptions, phase=Phase.SHAPE, safe="shadow", balanced="on", lossy=True,
    does="chooses the cheapest tier that the question allows, for requests of `auto`",
)  # fmt: skip
CASCADE_STAGE = StageSpec(
    name="cascade", options=CascadeOptions, phase=Phase.SHAPE, safe="off", lossy=True, ahead=False,
    does="asks cheap models first, and the strong one only where their answers do not agree or do not look sure",
)  # fmt: skip
