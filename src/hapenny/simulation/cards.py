"""The frozen, dated cards of simulated models, by name."""

from __future__ import annotations

from hapenny.simulation.card import Deck, SimulatedModel
from hapenny.simulation.card_2024 import MANGA_2024
from hapenny.simulation.card_2026 import CURRENT_2026

DECKS = {deck.name: deck for deck in (MANGA_2024, CURRENT_2026)}

__all__ = ["CURRENT_2026", "DECKS", "MANGA_2024", "Deck", "SimulatedModel"]
