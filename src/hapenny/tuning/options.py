"""What an operator may set about parameters."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from hapenny.core.stage_spec import Phase, StageSpec
from hapenny.tuning.sets import ParameterSet


class ArmOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where `hapenny experiment` keeps its experiments; no file, no arms."""

    file: Annotated[str, Meta(description="Path of the experiments.")] = ".hapenny/experiments.json"


class ParameterOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is sent by intent, and what happens to a parameter the model refuses."""

    refused: Annotated[
        Literal["translate", "reject"],
        Meta(
            description="`translate` drops or translates it and says so in the answer's headers; `reject` answers 400.",
        ),
    ] = "translate"
    use_sets: Annotated[
        bool,
        Meta(description="Whether intents get parameter sets; off, because other parameters give other answers."),
    ] = False
    sets: Annotated[
        dict[str, ParameterSet],
        Meta(
            description="Sets of your own, or other values for shipped ones (extraction, classification, "
            "summarization, creative, code, chat).",
        ),
    ] = {}
    by_intent: Annotated[
        dict[str, str],
        Meta(description="Intent -> set, before the shipped choice (an intent of a set's name gets that set)."),
    ] = {}


ARMS_STAGE = StageSpec(
    name="arms", options=ArmOptions, phase=Phase.KEY, safe="on",
    does="puts the request into the arms of running experiments",
)  # fmt: skip
PARAMETERS_STAGE = StageSpec(
    name="parameters", options=ParameterOptions, phase=Phase.SHAPE, safe="on", saves=False,
    does="gives the intent its parameter set and translates what the model refuses",
)  # fmt: skip
