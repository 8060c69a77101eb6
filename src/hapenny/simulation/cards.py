"""The frozen, dated cards of simulated models, by name."""

from __future__ import annotations

from hapenny.simulation.card import Lineup, SimulatedModel
from hapenny.simulation.card_2024 import MANGA_2024
from hapenny.simulation.card_2026 import CURRENT_2026

LINEUPS = {lineup.name: lineup for lineup in (MANGA_2024, CURRENT_2026)}

__all__ = ["CURRENT_2026", "LINEUPS", "MANGA_2024", "Lineup", "SimulatedModel"]
