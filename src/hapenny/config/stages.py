"""The table of stages: in the order of a request's life, with their options, and the modes they have by preset.

A line is a `StageSpec`, which stands beside the stage's options in its own room. What builds the stages stands in
`hapenny.gateway.stages`: it needs stores, prices and models, and imports the stages themselves, which the configuration
below it neither needs nor loads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args

import msgspec
from msgspec import field

from hapenny.caching.options import EXACT_STAGE, FLIGHTS_STAGE, PREFIX_STAGE, SEMANTIC_STAGE
from hapenny.config.section import Section
from hapenny.core.stage_spec import Mode, Preset, StageSpec
from hapenny.guarding.options import GUARD_CONTEXT_STAGE, GUARD_INPUT_STAGE, GUARD_OUTPUT_STAGE
from hapenny.responsive.options import LATENCY_STAGE
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.routing.options import CASCADE_STAGE, TIERS_STAGE
from hapenny.throughput.options import THROUGHPUT_STAGE
from hapenny.tokens.options import (
    ANSWER_SIZE_STAGE,
    BREVITY_STAGE,
    PROSE_STAGE,
    PRUNE_STAGE,
    STRUCTURE_STAGE,
    TEMPLATES_STAGE,
    WINDOW_STAGE,
)
from hapenny.tuning.options import ARMS_STAGE, PARAMETERS_STAGE

STAGES: tuple[StageSpec[Any], ...] = (
    GUARD_OUTPUT_STAGE,
    GUARD_INPUT_STAGE,
    ARMS_STAGE,
    LATENCY_STAGE,
    TEMPLATES_STAGE,
    EXACT_STAGE,
    FLIGHTS_STAGE,
    SEMANTIC_STAGE,
    RETRIEVAL_STAGE,
    GUARD_CONTEXT_STAGE,
    TIERS_STAGE,
    CASCADE_STAGE,
    STRUCTURE_STAGE,
    PROSE_STAGE,
    WINDOW_STAGE,
    PRUNE_STAGE,
    BREVITY_STAGE,
    ANSWER_SIZE_STAGE,
    PARAMETERS_STAGE,
    PREFIX_STAGE,
    THROUGHPUT_STAGE,
)
"""Every stage, in the order that a request meets them."""

LOSSY: tuple[StageSpec[Any], ...] = tuple(spec for spec in STAGES if spec.lossy)
"""Those that can change an answer and share a route's loss budget."""

PRESETS: dict[Preset, dict[str, Mode]] = {
    preset: {spec.name: spec.mode(preset) for spec in STAGES} for preset in get_args(Preset)
}
"""The mode of every stage where a route does not say. `safe`: what cannot change an answer is on and the rest watches;
what would cost something even to watch (it embeds every question, or asks a second model) is off."""

OptionsT = TypeVar("OptionsT")


class StageSection(Section):
    """What each stage may be told; the mode is the route's. In the order of a request's life."""

    def __getitem__(self, spec: StageSpec[OptionsT]) -> OptionsT:
        """The options of a stage."""
        options: OptionsT = getattr(self, spec.name)
        return options


if TYPE_CHECKING:
    StageOptions = StageSection
else:
    StageOptions = msgspec.defstruct(
        "StageOptions",
        [(spec.name, spec.options, field(default_factory=spec.options)) for spec in STAGES],
        bases=(StageSection,),
        kw_only=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": StageSection.__doc__},
        module=__name__,
    )
