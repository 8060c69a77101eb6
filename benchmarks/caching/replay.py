"""Replays a stream through the real decider: look up, then store on a miss."""

from __future__ import annotations

import random
from typing import Any

from msgspec import Struct

from benchmarks.caching.data import Stream
from hapenny.caching.semantic.decider import Decider, Looked, Promise
from hapenny.caching.semantic.memory import Memory

_NEIGHBOURS = 24


class Run(Struct):
    """One replay: counts over `requests`."""

    requests: int
    hits: int = 0
    wrong: int = 0
    labels: int = 0

    @property
    def hit(self) -> float:
        """Share of requests served from the cache."""
        return self.hits / self.requests

    @property
    def err(self) -> float:
        """Share of requests served a wrong answer."""
        return self.wrong / self.requests


class ReplayClock:
    """Seeded chance and a standing clock: all a decider asks of its clock."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def now(self) -> float:
        """Always 0."""
        return 0.0

    def wall(self) -> float:
        """Always 0."""
        return 0.0

    def secret(self) -> bytes:
        return b"replay" * 6

    def new_id(self, prefix: str = "") -> str:
        """Not asked for here."""
        return prefix

    async def sleep(self, seconds: float) -> None:
        """Not asked for here."""

    async def work(self, kind: str, units: float, fn: Any) -> Any:
        """Runs `fn`."""
        return fn()


class Judge:
    """Compares labels; with `noise` a share of pairs gets the wrong verdict, the same one however often asked."""

    def __init__(self, labels: list[int], noise: float, seed: int) -> None:
        self._labels = labels
        self._noise = noise
        self._seed = seed

    def equal(self, one: int, other: int) -> bool:
        """The verdict on a pair of requests."""
        same = self._labels[one] == self._labels[other]
        if self._noise and random.Random(f"{self._seed}:{one}:{other}").random() < self._noise:
            return not same
        return same


def replay(
    stream: Stream, promise: Promise, *, noise: float = 0.0, records: list[dict[str, Any]] | None = None, tag: str = ""
) -> Run:
    """Runs the stream through a fresh decider; each miss is answered, verified and stored."""
    decider = Decider(promise, ReplayClock(stream.order * 77 + 1))
    return replay_into(stream, decider, Memory(), noise=noise, records=records, tag=tag)


def replay_into(
    stream: Stream,
    decider: Decider,
    memory: Memory,
    *,
    noise: float = 0.0,
    records: list[dict[str, Any]] | None = None,
    tag: str = "",
) -> Run:
    """As `replay`, with a decider and a memory that stay with the caller."""
    judge = Judge(stream.labels, noise, stream.order)
    run = Run(len(stream.labels))
    for at in range(run.requests):
        kept: list[int] = []
        similarities: list[float] = []
        for key, value in zip(stream.near[at], stream.similarities[at], strict=True):
            if key in memory:
                kept.append(key)
                similarities.append(value)
                if len(kept) == _NEIGHBOURS:
                    break
        looked = decider.look(stream.terms[at], memory.neighbours(kept, similarities), memory)
        wrong: bool | None = None
        if looked.action == "serve" and looked.candidate is not None:
            wrong = stream.labels[looked.candidate.entry] != stream.labels[at]
            run.hits += 1
            run.wrong += wrong
        else:
            memory.add(at, stream.terms[at], _verified(decider, memory, looked, judge, at))
        if records is not None:
            records.append(
                {
                    "run": tag,
                    "set": stream.name,
                    "order": stream.order,
                    "at": at,
                    "action": looked.action,
                    "error": round(looked.error, 5),
                    "wrong": wrong,
                }
            )
    run.labels = decider.stats().labels
    return run


def _verified(decider: Decider, memory: Memory, looked: Looked, judge: Judge, at: int) -> int | None:
    steps = decider.verify(looked, memory)
    try:
        entry = next(steps)
        while True:
            entry = steps.send(judge.equal(at, entry))
    except StopIteration as done:
        answer: int | None = done.value
        return answer
