"""What the workers of the benchmark play."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.protection import over_http, scenes, semantic
from hapenny.simulation.workload.mix import Mix

OVER_HTTP = "wrong30"
"""The scene that is played over real HTTP, too."""


class Job(NamedTuple):
    """One piece of work: scenes over one traffic, `("http",)`, or `("semantic", CHANGE)`."""

    names: tuple[str, ...]
    seed: int


def played(mix: Mix, messages: int, rate: float, job: Job) -> Mapping[str, Any]:
    """The outcomes of a job by the scene's name; of the semantic cache `{"wrong": answers}`."""
    result: Mapping[str, Any]
    if job.names[0] == "http":
        result = {OVER_HTTP: over_http.play(mix, job.seed, messages, rate)}
    elif job.names[0] == "semantic":
        result = {"wrong": semantic.CHANGES[job.names[1]](mix, job.seed, messages)}
    else:
        result = scenes.play(mix, job.seed, messages, job.names)
    print(f"{job.names} seed {job.seed}: {dict(result)}", file=sys.stderr, flush=True)
    return result
