"""What an experiment's arm asks of stages that know nothing of experiments: a model for routing, values for the others.

Tuning writes these notes (`hapenny.tuning.experiments`).
"""

from __future__ import annotations

from collections.abc import Mapping

from hapenny.core.calls import Target
from hapenny.core.exchange import Exchange
from hapenny.core.notes import Note

ARM_TARGET: Note[Target] = Note("arms.target", travels=True)
"""The model of routed requests in an arm."""
ARM_SETTINGS: Note[Mapping[str, float | str | bool]] = Note("arms.settings", travels=True)
"""Values of options by name, as `prune.share`."""


def arm_setting(exchange: Exchange, name: str, value: float, least: float, most: float) -> float:
    """The value of an option for this request: what an experiment's arm sets under `name`, within bounds, else
    `value`. What is no number is ignored, with a note."""
    settings = exchange.stage_notes.get(ARM_SETTINGS)
    if not settings or name not in settings:
        return value
    wanted = settings[name]
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not least <= wanted <= most:
        exchange.note(f"experiment: {name} ignored, not within {least:g} to {most:g}")
        return value
    return float(wanted)
