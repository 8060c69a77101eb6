"""What an operator may set about deadlines."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from hapenny.core.latency import REACTIONS, Reaction
from hapenny.core.stage_spec import Phase, StageSpec
from hapenny.responsive.budget import RESERVE_MS, STEPS, limits


class LatencyRules(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A route's deadline, and what may be done to keep it."""

    deadline_s: Annotated[float, Meta(description="Seconds for the whole answer.")] = (
        round(sum(step.limit_ms for step in STEPS) + RESERVE_MS) / 1e3
    )
    steps: Annotated[
        dict[str, float],
        Meta(
            description="Milliseconds of steps whose limit is not the usual one: `routing`, `auth`, `cache`, "
            "`model_selection`, `compression`, `query_preprocessing`, `hybrid_search`, `first_token`, `streaming`, "
            "`guardrails`, `format`.",
        ),
    ] = field(default_factory=dict)
    react: Annotated[
        list[Reaction],
        Meta(
            description="What may be done where the deadline would be missed. `hedge`, `faster_tier`, "
            "`other_region` and `baseline_model` (of `auto` alone: who would answer if nothing were saved) change no "
            "answer and may cost more; the others may change one: `no_expansion`, "
            "`smaller_rerank` and `no_rerank` search with less, `faster_model` asks a faster model (of `auto` alone), "
            "`shorter_answer` asks for brevity, `stale_answer` serves what has just expired.",
        ),
    ] = field(default_factory=lambda: list(REACTIONS))
    most_degraded: Annotated[
        float, Meta(description="The largest share of requests whose answer may be changed so.")
    ] = 0.03
    stale_s: Annotated[
        float,
        Meta(
            description="How long past its time a stored answer may still stand in (`stale_answer`); 0: not at all.",
        ),
    ] = 0.0
    objective: Annotated[
        float,
        Meta(
            description="The share of answers that are to keep the deadline; alerts tell how fast what may miss it is "
            "used up.",
        ),
    ] = 0.99

    def __post_init__(self) -> None:
        if not 0 < self.deadline_s <= 600:
            raise ValueError(f"deadline_s: {self.deadline_s:g} is outside 0 to 600")
        if not 0 <= self.most_degraded <= 1:
            raise ValueError(f"most_degraded: {self.most_degraded:g} is no share; give 0 to 1")
        if not 0 < self.objective < 1:
            raise ValueError(f"objective: {self.objective:g} is outside 0 to 1")
        if not 0 <= self.stale_s <= 366 * 86_400:
            raise ValueError(f"stale_s: {self.stale_s:g} is outside 0 to a year")
        limits(self.steps)


class LatencyOptions(LatencyRules, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Deadlines of answers."""

    routes: Annotated[dict[str, LatencyRules], Meta(description="Rules of a route in place of these.")] = field(
        default_factory=dict
    )

    def of(self, route: str) -> LatencyRules:
        """The rules of a route."""
        return self.routes.get(route, self)


LATENCY_STAGE = StageSpec(
    name="latency", options=LatencyOptions, phase=Phase.KEY, safe="off", saves=False, ahead=False,
    does="gives the request a deadline and each step its part of it, and writes down what was done to keep it",
)  # fmt: skip
