"""What the workers of the benchmark play."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.protection import over_http, scenes, semantic
from hapenny.simulation.workload.mix import Mix


class Job(NamedTuple):
    """One piece of work: scenes over one traffic, `("http", SCENE)`, or `("semantic", CHANGE)`."""

    names: tuple[str, ...]
    seed: int


def played(mix: Mix, messages: int, rate: float, job: Job) -> Mapping[str, Any]:
    """The outcomes of a job by the scene's name; of the semantic cache `{"wrong": answers}`."""
    result: Mapping[str, Any]
    if job.names[0] == "http":
        scene = job.names[1]
        result = {scene: over_http.play(mix, job.seed, messages, rate, over_http.WRONG[scene])}
    elif job.names[0] == "semantic":
        result = {"wrong": semantic.CHANGES[job.names[1]](mix, job.seed, messages)}
    else:
        result = scenes.play(mix, job.seed, messages, job.names)
    print(f"{job.names} seed {job.seed}: {dict(result)}", file=sys.stderr, flush=True)
    return result
