"""What an operator may set about the token stages; modes are the route's."""

from __future__ import annotations

import msgspec

from hapenny.core.stage_spec import Phase, StageSpec
from hapenny.tokens.window import Results, WindowOptions

__all__ = [
    "ANSWER_SIZE_STAGE",
    "BREVITY_STAGE",
    "PRUNE_STAGE",
    "STRUCTURE_STAGE",
    "TEMPLATES_STAGE",
    "WINDOW_STAGE",
    "BrevityOptions",
    "BrevityProfile",
    "PruneOptions",
    "SizeOptions",
    "StructureOptions",
    "TemplateOptions",
    "TokenOptions",
    "WindowOptions",
]


class StructureOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lossless forms of tool results and tool definitions. `results`: which results are rewritten (`records`: arrays of
    records that are no file's text; `json`: all JSON); `compact` False only minifies; `definitions` also takes the
    layout out of tool definitions; `tools_untouched` names tools whose results and definitions must reach the model as
    they are (code, schemas)."""

    results: Results = "records"
    compact: bool = True
    definitions: bool = False
    tools_untouched: tuple[str, ...] = ()


class SizeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how tightly a limit is set.

    `quantile`: of past answers of the intent, `margin`: factor on it, `least`: answers needed before an intent has a
    limit of its own (the pool's, with twice the margin, holds until then), `floor`: tokens below which no limit goes.
    """

    quantile: float = 0.99
    margin: float = 1.25
    least: int = 40
    floor: int = 64
    window: int = 1000
    """Answers that are remembered of each intent."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.quantile <= 1 or self.margin < 1 or self.least < 10 or self.floor < 1:
            raise ValueError("quantile in [.5, 1], margin at least 1, least at least 10, floor at least 1")


class PruneOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pruning of retrieved context.

    `share`: of the context's tokens that may stay at most; `mass`: of the expected evidence that must stay before it
    may be less; `floor`: tokens of context under which nothing is pruned; `best_first`: order of the passages sent;
    `seconds`: the bound on the work; `tools`: tools whose results are retrieved text.
    """

    share: float = 0.5
    mass: float = 0.98
    floor: int = 400
    best_first: bool = False
    seconds: float = 0.008
    tools: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 0 < self.mass <= 1 or self.floor < 0 or self.seconds <= 0:
            raise ValueError("share and mass in (0, 1], floor at least 0, seconds above 0")


class BrevityProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to ask for short answers. `stop`: sequences that end an answer beside the client's own; `intents`: which
    ones it is for (empty: all)."""

    instruction: str
    """The sentence that is added to the system prompt."""
    stop: tuple[str, ...] = ()
    intents: tuple[str, ...] = ()


class BrevityOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`experiment`: whose arms name profiles (an arm without a profile is the control); `profiles`: beside or instead
    of the shipped ones."""

    experiment: str = "brevity"
    profiles: dict[str, BrevityProfile] = {}


class TemplateOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Template answers. `files`: YAML libraries beside the shipped ones (`shipped`); `with_tools`: also where the
    request offers tools to the model, which might have called one; `skip`: names of templates that stay off."""

    shipped: bool = True
    files: tuple[str, ...] = ()
    with_tools: bool = False
    skip: tuple[str, ...] = ()


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
BREVITY_STAGE = StageSpec(
    name="brevity", options=BrevityOptions, phase=Phase.SHAPE, safe="on",
    does="asks for short answers, in arms of an experiment alone",
)  # fmt: skip
ANSWER_SIZE_STAGE = StageSpec(
    name="answer_size", options=SizeOptions, phase=Phase.SHAPE, safe="shadow",
    does="sets a learned limit on the answer's length that frees quota and that the client never sees",
)  # fmt: skip
