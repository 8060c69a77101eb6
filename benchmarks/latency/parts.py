"""The parts of the benchmark, each played in a process of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.latency import settings, techniques
from hapenny.simulation.card import Deck

PARTS = ("gateway", "slow_region", "fastest", "without", "techniques")


def play(
    what: tuple[str, str], arguments: argparse.Namespace, folder: Path, decks: Mapping[str, Deck]
) -> dict[str, Any]:
    """One part of one setting; in a process of its own."""
    setting, part = what
    played = settings.traffic(arguments.mix, arguments.learning, arguments.messages, arguments.rate, arguments.seed)
    deck = decks[setting]
    print(f"{setting}: {part}", file=sys.stderr)
    if part == "without":
        return {"without_hapenny": settings.figures(settings.directly(deck, played, arguments.seed))}
    if part == "techniques":
        return techniques.measure(deck, played, arguments.seed)
    made = settings.config(deck, folder, fastest=part == "fastest")
    result = settings.through(deck, played, made, arguments.seed, slow=part == "slow_region")
    found = {**settings.figures(result), **settings.budget(result)}
    return found if part == "gateway" else {part: found}
