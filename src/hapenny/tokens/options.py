"""What an operator may set about the token stages; modes are the route's."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from hapenny.core.stage_spec import INSIDE, Phase, StageSpec
from hapenny.tokens.window import Results, WindowOptions

__all__ = [
    "ANSWER_SIZE_STAGE",
    "BREVITY_STAGE",
    "PROSE_STAGE",
    "PRUNE_STAGE",
    "STRUCTURE_STAGE",
    "TEMPLATES_STAGE",
    "WINDOW_STAGE",
    "BrevityOptions",
    "BrevityProfile",
    "ProseOptions",
    "PruneOptions",
    "SizeOptions",
    "StructureOptions",
    "TemplateOptions",
    "TokenOptions",
    "WindowOptions",
]


class StructureOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lossless forms of tool results and tool definitions."""

    results: Annotated[
        Results,
        Meta(
            description="Which tool results are rewritten without loss: `records` (arrays of records that are no "
            "file's text) or `json` (all JSON).",
        ),
    ] = "records"
    compact: Annotated[bool, Meta(description="Whether records become tables; false only minifies.")] = True
    definitions: Annotated[bool, Meta(description="Whether the layout is taken out of tool definitions, too.")] = False
    tools_untouched: Annotated[
        tuple[str, ...],
        Meta(description="Tools whose results and definitions must reach the model as they are (code, schemas)."),
    ] = ()


class SizeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how tightly a limit is set."""

    quantile: Annotated[
        float,
        Meta(description="Of past answers of the intent, which the limit has to hold.", extra=INSIDE),
    ] = 0.99
    margin: Annotated[float, Meta(description="Factor on it.", extra=INSIDE)] = 1.25
    least: Annotated[
        int,
        Meta(
            description="Answers needed before an intent has a limit of its own (the pool's, with twice the "
            "margin, holds until then).",
            extra=INSIDE,
        ),
    ] = 40
    floor: Annotated[int, Meta(description="Tokens below which no limit goes.", extra=INSIDE)] = 64
    window: Annotated[int, Meta(description="Answers that are remembered of each intent.", extra=INSIDE)] = 1000

    def __post_init__(self) -> None:
        if not 0.5 <= self.quantile <= 1 or self.margin < 1 or self.least < 10 or self.floor < 1:
            raise ValueError("quantile in [.5, 1], margin at least 1, least at least 10, floor at least 1")


class PruneOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pruning of retrieved context."""

    share: Annotated[float, Meta(description="Share of the context's tokens that may stay at most.")] = 0.5
    mass: Annotated[
        float,
        Meta(description="Share of the expected evidence that must stay before it may be less.", extra=INSIDE),
    ] = 0.98
    floor: Annotated[int, Meta(description="Tokens of context under which nothing is pruned.", extra=INSIDE)] = 400
    best_first: Annotated[
        bool,
        Meta(description="Whether the passages are sent best first instead of in their order."),
    ] = False
    seconds: Annotated[float, Meta(description="The bound on the work.", extra=INSIDE)] = 0.008
    tools: Annotated[
        tuple[str, ...],
        Meta(
            description="Tools whose results are retrieved text, beside those whose name says so (search, retrieve, "
            "lookup, knowledge, docs …)."
        ),
    ] = ()

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 0 < self.mass <= 1 or self.floor < 0 or self.seconds <= 0:
            raise ValueError("share and mass in (0, 1], floor at least 0, seconds above 0")


class ProseOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prose without what it says twice."""

    least: Annotated[int, Meta(description="Tokens that must go for a prompt to be touched.", extra=INSIDE)] = 20

    def __post_init__(self) -> None:
        if self.least < 1:
            raise ValueError("least: at least 1")


class BrevityProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to ask for short answers."""

    instruction: Annotated[str, Meta(description="The sentence that is added to the system prompt.")]
    stop: Annotated[tuple[str, ...], Meta(description="Sequences that end an answer, beside the client's own.")] = ()
    intents: Annotated[tuple[str, ...], Meta(description="Which intents it is for; empty: all.")] = ()


class BrevityOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ways to ask for short answers, tried by an experiment."""

    experiment: Annotated[
        str,
        Meta(description="The experiment whose arms name profiles; an arm without a profile is the control."),
    ] = "brevity"
    profiles: Annotated[dict[str, BrevityProfile], Meta(description="Beside or instead of the shipped ones.")] = {}


class TemplateOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Template answers."""

    shipped: Annotated[bool, Meta(description="Whether the libraries that come with hapenny are used.")] = True
    files: Annotated[tuple[str, ...], Meta(description="Further YAML libraries.")] = ()
    with_tools: Annotated[
        bool,
        Meta(description="Also where the request offers tools to the model, which might have called one."),
    ] = False
    skip: Annotated[tuple[str, ...], Meta(description="Names of templates that stay off.")] = ()


class TokenOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All token stages."""

    structure: StructureOptions = StructureOptions()
    prune: PruneOptions = PruneOptions()
    window: WindowOptions = WindowOptions()
    answer_size: SizeOptions = SizeOptions()
    templates: TemplateOptions = TemplateOptions()


TEMPLATES_STAGE = StageSpec(
    name="templates", options=TemplateOptions, phase=Phase.KEY, safe="shadow", balanced="on", lossy=True, ahead=False,
    does="answers predictable turns (greetings, thanks, results of tools) without a model",
)  # fmt: skip
STRUCTURE_STAGE = StageSpec(
    name="structure", options=StructureOptions, phase=Phase.SHAPE, safe="on",
    does="writes tool results that are data in their smallest lossless form",
)  # fmt: skip
WINDOW_STAGE = StageSpec(
    name="window", options=WindowOptions, phase=Phase.SHAPE, safe="shadow", balanced="on", lossy=True,
    does="leaves out what a long conversation no longer needs, where prices or the model's context ask for it",
)  # fmt: skip
PRUNE_STAGE = StageSpec(
    name="prune", options=PruneOptions, phase=Phase.SHAPE, safe="shadow", balanced="on", lossy=True,
    does="keeps of retrieved passages what the question needs",
)  # fmt: skip
PROSE_STAGE = StageSpec(
    name="prose", options=ProseOptions, phase=Phase.SHAPE, safe="shadow", lossy=True,
    does="leaves out what instructions, examples and earlier answers say twice",
)  # fmt: skip
BREVITY_STAGE = StageSpec(
    name="brevity", options=BrevityOptions, phase=Phase.SHAPE, safe="on",
    does="asks for short answers, in arms of an experiment alone",
)  # fmt: skip
ANSWER_SIZE_STAGE = StageSpec(
    name="answer_size", options=SizeOptions, phase=Phase.SHAPE, safe="shadow",
    does="sets a learned limit on the answer's length that frees quota and that the client never sees",
)  # fmt: skip
