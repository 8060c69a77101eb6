"""Two answers to one question, compared without a model: by words and numbers, else by the cosine of their vectors.

`calibrate` fits the two cosines to what people said of pairs, so that the judge errs as little as it can here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from msgspec import Struct

from hapenny.core.exchange import Exchange
from hapenny.evidence.bounds import clopper_pearson
from hapenny.evidence.judges import agree, number, similarity

_DIGITS = re.compile(r"\d+")
ALIKE, APART = 0.85, 0.5
"""Cosines from which answers count as the same, and up to which as different, as long as nobody calibrated them."""

Embed: TypeAlias = Callable[[list[str]], Awaitable[Any]]


async def compare(served: str, reference: str, embed: Embed, alike: float = ALIKE, apart: float = APART) -> float:
    """Loss in [0, 1] of an answer against the baseline's: 0 where they say the same (normalised or numerically), 1
    where one is a number and they differ or each names numbers the other has not, else by the cosine of their vectors.
    """
    known = _plainly(served, reference)
    return known if known is not None else scaled(await cosine(served, reference, embed), alike, apart)


def judge(embed: Embed, alike: float = ALIKE, apart: float = APART) -> Callable[..., Awaitable[tuple[float, int]]]:
    """`compare` as the judge of audits: in this process, for nothing."""

    async def judged(audited: Exchange, candidate: str, reference: str) -> tuple[float, int]:
        return await compare(candidate, reference, embed, alike, apart), 0

    return judged


async def cosine(first: str, second: str, embed: Embed) -> float:
    """Cosine of two texts' vectors."""
    one, other = np.asarray(await embed([first, second]))
    return similarity(one, other)


def scaled(cosine: float, alike: float, apart: float) -> float:
    """The loss a cosine means: 0 from `alike` on, 1 up to `apart`, linear between."""
    return min(1.0, max(0.0, (alike - cosine) / max(alike - apart, 1e-9)))


class Labelled(Struct, frozen=True):
    """A pair that a person judged: what words and numbers say of it (None: nothing), its cosine, the person's loss."""

    plain: float | None
    cosine: float
    loss: float


class Agreement(Struct, frozen=True, kw_only=True):
    """How the judge fares against people with the limits `alike` and `apart`: a pair counts as agreed where both say
    the answer is worse (loss of .5 or more) or both that it is not; `low`, `high`: exact 95 % interval of the share.
    `bias`: mean loss by the judge minus mean loss by people; above 0 it is stricter than they are."""

    alike: float
    apart: float
    pairs: int
    agreed: float
    low: float
    high: float
    bias: float


async def labelled(served: str, reference: str, loss: float, embed: Embed) -> Labelled:
    """A pair, ready to be calibrated on."""
    plain = _plainly(served, reference)
    return Labelled(plain, 0.0 if plain is not None else await cosine(served, reference, embed), loss)


def agreement(pairs: Sequence[Labelled], alike: float = ALIKE, apart: float = APART) -> Agreement:
    """How often the judge and people agree."""
    mine = np.array([scaled(one.cosine, alike, apart) if one.plain is None else one.plain for one in pairs])
    theirs = np.array([one.loss for one in pairs])
    same = int(((mine >= 0.5) == (theirs >= 0.5)).sum())
    low, high = clopper_pearson(same, len(pairs))
    return Agreement(
        alike=alike,
        apart=apart,
        pairs=len(pairs),
        agreed=same / len(pairs) if pairs else 0.0,
        low=float(low),
        high=float(high),
        bias=float(mine.mean() - theirs.mean()) if pairs else 0.0,
    )


def calibrate(pairs: Sequence[Labelled]) -> Agreement:
    """The limits with the smallest squared error against people's losses, on a grid of twentieths; on a tie those
    nearest to the defaults.

    Raises:
        ValueError: fewer than 30 pairs are told apart by their cosine alone.
    """
    open_pairs = [one for one in pairs if one.plain is None]
    if len(open_pairs) < 30:
        raise ValueError(f"{len(open_pairs)} labelled pairs are judged by cosine; 30 are the least. Fix: label more")
    at = np.array([one.cosine for one in open_pairs])
    said = np.array([one.loss for one in open_pairs])
    best = (np.inf, 0.0, ALIKE, APART)
    for alike in np.arange(0.10, 1.0, 0.05):
        for apart in np.arange(0.0, alike, 0.05):
            mine = np.clip((alike - at) / (alike - apart), 0.0, 1.0)
            error = round(float(((mine - said) ** 2).mean()), 9)
            best = min(best, (error, abs(alike - ALIKE) + abs(apart - APART), float(alike), float(apart)))
    return agreement(pairs, round(best[2], 2), round(best[3], 2))


def _plainly(served: str, reference: str) -> float | None:
    if agree(served, reference):
        return 0.0
    if number(served) is not None or number(reference) is not None:
        return 1.0
    mine, theirs = set(_DIGITS.findall(served)), set(_DIGITS.findall(reference))
    return 1.0 if mine - theirs and theirs - mine else None
