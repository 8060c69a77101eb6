"""The traces of a folder: which there are, and how they are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hapenny.simulation.workload.trace import Arrival, from_csv, from_zero


def folder(data: Path) -> Path:
    """The folder that holds traces: `data` itself, else its sub-folder `traces`."""
    inner = data / "traces"
    return inner if not any(data.glob("*.csv.gz")) and inner.is_dir() else data


def name(path: Path) -> str:
    """A file's name up to the first dot."""
    return path.name.partition(".")[0]


def requests(data: Path) -> dict[str, Path]:
    """Files of requests by name: all that are no rates."""
    return {name(path): path for path in sorted(data.glob("*.csv.gz")) if "10min" not in path.name}


def rates(data: Path) -> dict[str, Path]:
    """Files of rates in windows of ten minutes, by the fleet's name."""
    return {name(path).replace("_10min", ""): path for path in sorted(data.glob("*10min*.csv.gz"))}


def conversation(data: Path) -> Path:
    """The trace of one application: a conversation service, else the first of the folder."""
    found = requests(data)
    if not found:
        raise SystemExit(f"no request trace (*.csv.gz) in {data}")
    for key, path in found.items():
        if "conv" in key and "azure" in key:
            return path
    return next(iter(found.values()))


def halves(arrivals: list[Arrival]) -> tuple[list[Arrival], list[Arrival]]:
    """A trace before and after the middle of its time."""
    middle = arrivals[-1].at / 2
    return from_zero([a for a in arrivals if a.at < middle]), from_zero([a for a in arrivals if a.at >= middle])


def apart(train: Path | None, path: Path) -> tuple[list[Arrival], list[Arrival]]:
    """What is tuned on and what is measured: the file of the same name in `train` and this one, else its halves."""
    arrivals = from_csv(path)
    other = requests(train).get(name(path)) if train is not None else None
    if other is not None and other.resolve() != path.resolve():
        return from_csv(other), arrivals
    return halves(arrivals)


def redrawn(arrivals: list[Arrival], factor: float, seed: int) -> list[Arrival]:
    """`factor` times the requests, drawn again: each at a time within a minute of a real one, with the tokens of
    another within 250 of it. So the rate over minutes and what goes with it stay, and no request comes twice."""
    rng = np.random.default_rng(seed)
    at = np.array([each.at for each in arrivals])
    count = round(len(arrivals) * factor)
    place = np.sort(rng.integers(0, len(arrivals), count))
    times = np.clip(at[place] + rng.uniform(-60, 60, count), 0, None)
    token = np.clip(place + rng.integers(-250, 251, count), 0, len(arrivals) - 1)
    order = np.argsort(times, kind="stable")
    return [
        Arrival(when, arrivals[which].input, arrivals[which].output)
        for when, which in zip(times[order].tolist(), token[order].tolist(), strict=True)
    ]
