"""What an operator may set about parameters."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from hapenny.tuning.sets import ParameterSet


class ArmOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where `hapenny experiment` keeps its experiments; no file, no arms."""

    file: str = ".hapenny/experiments.json"
    """Path of the experiments."""


class ParameterOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is sent by intent, and what happens to a parameter the model refuses."""

    refused: Literal["translate", "reject"] = "translate"
    """`translate` drops or translates it and says so in the answer's headers; `reject` answers 400."""
    use_sets: bool = False
    """Whether intents get parameter sets; off, because other parameters give other answers."""
    sets: dict[str, ParameterSet] = {}
    """Sets of your own, or other values for shipped ones (extraction, classification, summarization, creative, code,
    chat)."""
    by_intent: dict[str, str] = {}
    """Intent -> set, before the shipped choice (an intent of a set's name gets that set)."""
