"""A file that says what a server of one's own is: measured points, figures, or a model spread over accelerators.

    measured:                      # `hapenny bench` against the server, with few and with many requests at once
      - {at_once: 1, prompt: 1000, first_s: 0.2, token_s: 0.018}
      - {at_once: 32, prompt: 1000, first_s: 0.4, token_s: 0.031}
    card: {kv_tokens: 200000, start_s: 215}

or, before there is one to measure:

    model: {parameters: 70.0e9, layers: 80, hidden: 8192, kv_bytes_a_token: 327680}
    instance: ml.trn2.48xlarge
    tensor: 8                      # left out, with pipeline: the spread that does most
    pipeline: 1
    precision: int8
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from hapenny.simulation.batching import ServerCard
from hapenny.simulation.calibration import Point, calibrate
from hapenny.simulation.parallelism import CHIPS, ModelSize, PrecisionName, Spread, best, server


class ServerFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file may say."""

    measured: list[Point] = []
    card: dict[str, float | int | bool] = {}
    model: ModelSize | None = None
    instance: str = ""
    tensor: int | None = None
    pipeline: int = 1
    precision: PrecisionName = "fp16"


class OwnServer(Struct, frozen=True, kw_only=True):
    """A server, and what is to be known of its figures."""

    card: ServerCard
    notes: list[str]


def read(path: Path) -> OwnServer:
    """The server of a YAML or JSON file.

    Raises:
        ValueError: it says nothing that makes a server; with the fix.
        OSError: it cannot be read.
    """
    try:
        said = msgspec.yaml.decode(path.read_bytes(), type=ServerFile, strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        fix = "Fix: `measured` points, or a `model` with its `instance`, and `card` figures"
        raise ValueError(f"{path}: {error}. {fix}") from None
    try:
        return _server(said)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _server(said: ServerFile) -> OwnServer:
    notes: list[str] = []
    card = ServerCard()
    if said.model is not None:
        chips = CHIPS.get(said.instance)
        if chips is None:
            raise ValueError(f"instance {said.instance!r} is not known. Fix: one of {', '.join(CHIPS)}")
        spread = (
            Spread(tensor=said.tensor, pipeline=said.pipeline, precision=said.precision)
            if said.tensor is not None
            else best(said.model, chips, said.precision)
        )
        made = server(said.model, chips, spread)
        card = made.card
        notes.append(
            f"{said.instance}: {spread.tensor} x {spread.pipeline} chips a copy at {spread.precision}, {made.copies} "
            f"copies; {made.link_share:.0%} of a step is on links; rates {chips.source}"
        )
        notes.append(f"quality at {spread.precision}: {made.quality}")
    elif not said.measured and not said.card:
        raise ValueError("no figures. Fix: `measured` points, or a `model` with its `instance`, and `card` figures")
    card = _with(card, said.card)
    if said.measured:
        fitted = calibrate(said.measured, card)
        card = fitted.card
        notes.append(f"calibrated from {len(said.measured)} measured points, which it misses by {fitted.error:.1%}")
    return OwnServer(card=card, notes=notes)


def _with(card: ServerCard, figures: dict[str, Any]) -> ServerCard:
    unknown = [name for name in figures if name not in ServerCard.__struct_fields__]
    if unknown:
        raise ValueError(f"card: {unknown[0]!r} is no figure. Fix: one of {', '.join(ServerCard.__struct_fields__)}")
    wrong = [name for name, value in figures.items() if not isinstance(value, bool) and not 0 < value < 1e12]
    if wrong:
        raise ValueError(f"card: {wrong[0]} is {figures[wrong[0]]}. Fix: a figure above 0")
    try:
        return msgspec.convert({**msgspec.to_builtins(card), **figures}, ServerCard)
    except msgspec.ValidationError as error:
        raise ValueError(f"card: {error}") from None
