"""From logged outcomes to a router: fit on one part of the rows, certify on the other, keep what was proven.

The split is drawn by a hash of the prompt, so that the same prompt never stands on both sides and the same file gives
the same router.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from hapenny.routing.certificates import Certificate, Fingerprint, certify
from hapenny.routing.intents.features import extract
from hapenny.routing.pareto import Dominated, dominated
from hapenny.routing.router import Trained
from hapenny.routing.scorer import Reader, fit


class TrainingOutcome(Struct, kw_only=True):
    """What one model did on one prompt: `score` in [0, 1], `cost` in dollars, `latency` in seconds.

    `scores`: what each of several evaluators gave it; `score` is the one that counts.
    """

    score: float | None = None
    cost: float | None = None
    latency: float | None = None
    scores: dict[str, float] = {}


class Logged(Struct, kw_only=True):
    """One line of an outcomes file: a prompt, its intent (or task) and route, and what models did on it."""

    prompt: str
    models: dict[str, TrainingOutcome]
    intent: str | None = None
    task: str | None = None
    route: str = "default"

    @property
    def label(self) -> str:
        """The intent, else the task, else `unknown`."""
        return self.intent or self.task or "unknown"


def read_outcomes(lines: Iterable[bytes]) -> list[Logged]:
    """Reads JSON lines.

    Raises:
        ValueError: naming the line and what is wrong with it.
    """
    logged = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                logged.append(msgspec.json.decode(line, type=Logged))
            except msgspec.DecodeError as error:
                raise ValueError(f"line {number}: {error}. Fix: prompt, and models with a score each") from None
    return logged


def train_router(
    rows: Sequence[Logged],
    *,
    weak: str,
    strong: str,
    weak_tier: str = "fast",
    strong_tier: str = "strong",
    max_quality_loss: float = 0.02,
    confidence: float = 0.95,
    least: int = 200,
    per_intent: int = 500,
    wall: float,
    prices: str = "",
    prompt_version: str = "",
) -> Trained:
    """Fits a scorer between two models and certifies each route, and each of its intents that has enough pairs.

    Args:
        rows: logged outcomes; rows without both scores are left out.
        weak, strong: the two models' names in the rows.
        max_quality_loss, confidence: the promise.
        least: fewest calibration pairs of a route; per_intent: of an intent, for a certificate of its own.
        wall: epoch seconds, the date of the certificates.
        prices, prompt_version: what the certificates depend on.

    Raises:
        ValueError: when fewer than 40 rows have both scores.
    """
    used = [
        (row, a, b) for row in rows if (a := _score(row, weak)) is not None and (b := _score(row, strong)) is not None
    ]
    if len(used) < 40:
        names = ", ".join(sorted({name for row in rows for name in row.models})) or "no model"
        raise ValueError(
            f"{len(used)} rows have scores of both {weak} and {strong}; 40 are the least. The rows name {names}"
        )
    learns = np.array([_draw(row.prompt) for row, _, _ in used])
    low = np.array([a for _, a, _ in used])
    high = np.array([b for _, _, b in used])
    features = [extract(row.prompt) for row, _, _ in used]
    labels = [row.label for row, _, _ in used]
    at = np.flatnonzero(learns)
    version = hashlib.blake2b("\0".join(sorted(row.prompt for row, _, _ in used)).encode(), digest_size=6).hexdigest()
    scorer = fit([features[i] for i in at], low[at], high[at], [labels[i] for i in at], version=version)
    reader = Reader(scorer)
    rest = np.flatnonzero(~learns)
    scores = np.array([reader.gain(features[i], labels[i]) for i in rest])
    losses = np.maximum(high[rest] - low[rest], 0.0)
    certificates: list[Certificate] = []
    routes = np.array([used[i][0].route for i in rest])
    kinds = np.array([labels[i] for i in rest])
    for route in sorted(set(routes.tolist())):
        groups = [("", routes == route, least)]
        groups += [(kind, (routes == route) & (kinds == kind), per_intent) for kind in sorted(set(kinds.tolist()))]
        for intent, mask, needed in groups:
            if intent and (mask.sum() < needed or mask.sum() == (routes == route).sum()):
                continue  # too few, or the whole route
            about = Fingerprint(
                route=str(route),
                intent=str(intent),
                weak=weak,
                strong=strong,
                prices=prices,
                prompt_version=prompt_version,
                router_version=version,
            )
            certificates.append(
                certify(
                    about,
                    scores[mask],
                    losses[mask],
                    max_quality_loss=max_quality_loss,
                    confidence=confidence,
                    dated=wall,
                    least=needed,
                )
            )
    return Trained(
        weak=weak_tier,
        strong=strong_tier,
        scorer=scorer,
        certificates=tuple(certificates),
        created=wall,
        dominated=tuple(beaten(rows, 1 - confidence)),
    )


def beaten(rows: Sequence[Logged], alpha: float = 0.05) -> list[Dominated]:
    """Models of the outcomes that a no dearer one beats on the same prompts; those without costs are left out.
    `alpha`: the chance of naming one that is not."""
    names = sorted({name for row in rows for name in row.models})
    scores, costs = {}, {}
    for name in names:
        paid = [
            outcome.cost for row in rows if (outcome := row.models.get(name)) is not None and outcome.cost is not None
        ]
        if paid:
            values = [_score(row, name) for row in rows]
            scores[name] = np.array([np.nan if value is None else value for value in values])
            costs[name] = sum(paid) / len(paid)
    return dominated(scores, costs, alpha)


def load_router(data: bytes) -> Trained:
    """A router from the bytes that `save_router` wrote."""
    return msgspec.msgpack.decode(data, type=Trained)


def read_router(path: str | None) -> Trained | None:
    """The router a configuration names, or None where it names none.

    Raises:
        ValueError: the file cannot be read, or is no router.
    """
    if path is None:
        return None
    try:
        return load_router(Path(path).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"{path}: {error}. Fix: a file that `hapenny train router` wrote") from None


def save_router(trained: Trained) -> bytes:
    """A router as bytes."""
    return msgspec.msgpack.encode(trained)


def _score(row: Logged, model: str) -> float | None:
    outcome = row.models.get(model)
    return outcome.score if outcome is not None else None


def _draw(prompt: str) -> bool:
    """Whether a prompt is for fitting (half of them) or for certifying."""
    return hashlib.blake2b(prompt.strip().lower().encode(), digest_size=1).digest()[0] < 128
