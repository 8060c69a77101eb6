"""Changes of a simulated model while it runs: a provider that updates it without a word.

A share of its questions, the same ones from then on, gets wrong answers whatever the card says; or all answers say the
same facts in other words.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hapenny.simulation.latents import chance, same


class Change(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is different from the moment it holds."""

    model: str = ""
    """Catalog id; "": all models."""
    wrong: float = 0.0
    """Share of questions that are answered wrongly from now on."""
    reworded: bool = False
    """Right answers say the same in other words."""
    after: int = 0
    """Holds once the provider has taken that many calls, counted from its start."""


class Changes:
    """All changes of a provider, in the order in which they were made."""

    def __init__(self, changes: Sequence[Change] = ()) -> None:
        self.plan = list(changes)

    def add(self, change: Change) -> None:
        """One more. Raises `ValueError` for a share outside 0 to 1."""
        if not 0 <= change.wrong <= 1:
            raise ValueError(f"wrong: {change.wrong} is no share. Fix: a value from 0 to 1")
        self.plan.append(change)

    def spoils(self, model: str, question: str, calls: int) -> bool:
        """Whether a change makes `model` answer this question wrongly."""
        return any(
            chance("change", number, model, same(question)) < change.wrong
            for number, change in enumerate(self.plan)
            if change.wrong and change.model in ("", model) and calls >= change.after
        )

    def turn(self, model: str, calls: int) -> int:
        """Which wording right answers have: another number, other words."""
        return sum(change.reworded for change in self.plan if change.model in ("", model) and calls >= change.after)
