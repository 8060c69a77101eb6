"""How a provider's prompt cache treats the prompts of a place: what is read, written and plain, and how many tokens a
prefix has that a provider has measured before."""

from __future__ import annotations

from functools import partial

from hapenny.core.events import Tokens
from hapenny.telemetry.layout import Layout
from hapenny.telemetry.prefixes import NOTHING, Prefixes, Split, Upto
from hapenny.telemetry.pricing import Place


def split(
    prefixes: Prefixes, world: tuple[object, ...], layout: Layout, place: Place, start: float, began: float
) -> Split:
    """What the prompt cache of `place` would do with a prompt in `world`, sent at `start`, readable from `began` on."""
    card = place.card
    if card is None or card.cache_mode is None or (card.cache_mode == "explicit" and not layout.points):
        return NOTHING
    return prefixes.split(
        (*world, card.id), layout, anchored(prefixes, layout, place),
        mode=card.cache_mode, minimum=card.cache_min or 0, start=start, began=began,
    )  # fmt: skip


def settle_prefix(
    prefixes: Prefixes,
    world: tuple[object, ...],
    layout: Layout,
    place: Place,
    tokens: Tokens,
    start: float,
    began: float,
) -> None:
    """What the prompt cache of `place` is reported to have done with a prompt with points."""
    card = place.card
    if card is not None and card.cache_mode == "explicit" and layout.points:
        covered = tokens.cache_read + tokens.cache_write + tokens.cache_write_1h
        prefixes.settle(
            (*world, card.id), layout, anchored(prefixes, layout, place), covered,
            minimum=card.cache_min or 0, start=start, began=began,
        )  # fmt: skip
        if covered:  # all up to the last point was read or written: its tokens are known for good
            prefixes.measured(card.id, layout, layout.points[-1].at, covered)


def anchored(prefixes: Prefixes, layout: Layout, place: Place) -> Upto:
    """Tokens of a prompt's prefixes on `place`: estimates, corrected by the deepest prefix whose tokens are known."""
    card = place.card
    anchor = prefixes.anchor(card.id, layout) if card is not None else None
    if anchor is None:
        return partial(place.upto, layout)
    at, tokens = anchor
    guess = place.upto(layout, at)

    def upto(index: int) -> int:
        estimate = place.upto(layout, index)
        return tokens + estimate - guess if index >= at else estimate * tokens // max(1, guess)

    return upto


def whole(prefixes: Prefixes, layout: Layout, place: Place, prompt: int) -> int:
    """`prompt`, the estimated tokens of all of `layout` on `place`, corrected in the same way."""
    card = place.card
    anchor = prefixes.anchor(card.id, layout) if card is not None and layout.points else None
    return prompt if anchor is None else max(1, prompt + anchor[1] - place.upto(layout, anchor[0]))
