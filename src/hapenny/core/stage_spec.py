"""A stage as the table of stages knows it: name, options, default modes, phase, and whether it can change an answer."""

from __future__ import annotations

from enum import Enum
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct

Mode: TypeAlias = Literal["off", "shadow", "on"]
Preset: TypeAlias = Literal["safe", "balanced", "demo"]

INSIDE = {"inside": True}
"""Marks an option as the inside of an algorithm (`msgspec.Meta(extra=INSIDE)`): files may set it, no deployment should
need to, and the manual tells of it apart."""

OptionsT = TypeVar("OptionsT")


class Phase(Enum):
    """What a stage decides. A request passes the phases in this order."""

    KEY = "under which key an answer is kept, and whether one is there already"
    SHAPE = "which model is asked, and what exactly"
    SEND = "how the call is made"


class StageSpec(Struct, Generic[OptionsT], frozen=True, kw_only=True, eq=False):
    """One line of the table of stages (`hapenny.config.stages.STAGES`).

    It stands beside the stage's options and not on its class, since the configuration is read before any stage is
    loaded, and some are loaded only where a route has them.
    """

    name: str
    """The stage's word in configuration, ledger and report."""
    options: type[OptionsT]
    """What an operator may set about it; all of it has defaults."""
    phase: Phase
    does: str
    """What it does to a request: ends the sentence that its name begins."""
    safe: Mode
    """Its mode where a route says nothing else, by preset: `on` only where it cannot change an answer."""
    balanced: Mode | None = None
    """None: as `safe`."""
    lossy: bool = False
    """Whether it can change an answer: such stages share a route's loss budget, and step back where it is spent."""
    safety: bool = False
    """Whether it keeps people safe and saves nothing: it runs in the holdout too, and where savings are paused."""
    saves: bool = True
    """Whether it is there to save: `hapenny pause` turns those off, and leaves what serves order or safety."""
    ahead: bool = True
    """Whether it takes part in answering ahead, in a call that nobody waits for."""
    answer_options: tuple[str, ...] = ()
    """Options that can change an answer; those of a shaping stage all can. They are part of every cache key."""

    def mode(self, preset: Preset) -> Mode:
        """Its mode under a preset."""
        return self.safe if preset == "safe" or self.balanced is None else self.balanced

    def deciding(self, options: OptionsT) -> Any:
        """What of its options can change an answer; None: nothing."""
        if self.phase is Phase.SHAPE:
            return options
        return [getattr(options, name) for name in self.answer_options] or None
