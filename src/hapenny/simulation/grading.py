"""The judge of simulated answers: what a person who knows the truth would say of them.

The only way out for the latents, and it tells whether an answer is right, never how hard a question is.
"""

from __future__ import annotations

from hapenny.core.messages import Request
from hapenny.simulation import latents
from hapenny.simulation.answering import reference
from hapenny.simulation.cards import Deck


def is_right(request: Request, answer: str) -> bool:
    """Whether `answer` holds what a right answer to `request` begins with."""
    return reference(request) in answer


def would_be_right(deck: Deck, model: str, request: Request) -> bool:
    """Whether `model` itself answers `request` rightly: the yardstick of a run with everything off.

    Raises:
        KeyError: the deck has no such model.
    """
    found = deck.find(model)
    if found is None:
        raise KeyError(model)
    simulated, _ = found
    return latents.right(simulated.id, simulated.correctness, latents.question_of(request), deck.name)
