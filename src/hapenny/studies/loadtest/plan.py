"""What is sent and when: a rate, a number of callers, or the arrivals of a trace, with prompts of one's own or made up.

A rate or a trace is an open loop: requests are sent at their times whether or not earlier ones were answered, so that a
slow server cannot hide behind the callers it holds up. A number of callers is a closed loop: each sends its next
request when its last one was answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from hapenny.core.clock import Clock
from hapenny.simulation.workload.trace import Arrival

_WORDS = (
    "river", "ink", "paper", "bridge", "volume", "night", "market", "garden", "winter", "letter", "train", "bell",
    "copper", "lantern", "harbour", "story", "number", "window", "tide", "crane",
)  # fmt: skip


class Planned(Struct, frozen=True, kw_only=True):
    """One request: its turn, and when it is sent."""

    prompt: str
    system: str = ""
    max_tokens: int
    at: float | None = None
    """Seconds from the start; None: when a caller is free."""


def prompts_of(path: Path) -> list[tuple[str, str]]:
    """(system, prompt) of each line of a JSON-lines file: `{"prompt": …}`, with `system` if there is one.

    Raises:
        ValueError: a line is none; the message says which.
    """
    read = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            read.append((str(row.get("system", "")), str(row["prompt"])))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f'{path}, line {number}: no prompt. Fix: {{"prompt": "…"}} on each line') from None
    if not read:
        raise ValueError(f'{path}: no prompts. Fix: {{"prompt": "…"}} on each line')
    return read


def plan(
    count: int,
    clock: Clock,
    *,
    rate: float | None = None,
    trace: Sequence[Arrival] = (),
    speed: float = 1.0,
    prompts: Sequence[tuple[str, str]] = (),
    input_tokens: int = 512,
    output_tokens: int = 128,
) -> list[Planned]:
    """`count` requests.

    Args:
        clock: whose randomness gaps and words are drawn with.
        rate: requests a second, with exponential gaps; None: no times, callers send when they are free.
        trace: arrivals and sizes instead of a rate; it begins anew where it is shorter than `count`.
        speed: of a trace: 2 plays it in half its time.
        prompts: (system, prompt) in turn; without any, prompts of about `input_tokens` words that differ in their
            first words, so that no cache answers them.
        input_tokens: of prompts that are made up, where no trace says it.
        output_tokens: at most, where no trace says it.
    """
    at = 0.0
    span = trace[-1].at + 1.0 if trace else 0.0
    planned = []
    for number in range(count):
        arrival = trace[number % len(trace)] if trace else None
        if arrival is not None:
            moment: float | None = (arrival.at + span * (number // len(trace))) / speed
        elif rate is not None:
            at += clock.random.expovariate(rate)
            moment = at
        else:
            moment = None
        size = arrival.input if arrival is not None else input_tokens
        system, prompt = prompts[number % len(prompts)] if prompts else ("", made_up(clock, size))
        planned.append(
            Planned(
                prompt=prompt, system=system, at=moment,
                max_tokens=max(1, arrival.output if arrival is not None else output_tokens),
            )
        )  # fmt: skip
    return planned


def made_up(clock: Clock, words: int) -> str:
    """A text of so many words; most tokenizers make about one token of each."""
    first = f"{clock.random.getrandbits(40):x}"
    return " ".join((first, *_chosen(clock, max(1, words) - 1)))


def _chosen(clock: Clock, count: int) -> Iterable[str]:
    return (clock.random.choice(_WORDS) for _ in range(count))
