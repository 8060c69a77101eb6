"""What an operator may set about the token stages; modes are the route's."""

from __future__ import annotations

import msgspec

from hapenny.tokens.brevity_stage import BrevityOptions
from hapenny.tokens.sizes import SizeOptions
from hapenny.tokens.window import Results, WindowOptions

__all__ = [
    "BrevityOptions",
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
