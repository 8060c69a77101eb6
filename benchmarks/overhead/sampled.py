"""Where the CPU goes: hapenny under a sampling profile, by room.

`python -m benchmarks.overhead.sampled FILE serve -c CONFIG` serves as `hapenny` does; a SIGUSR1 begins to sample, a
second one ends it and writes samples by room, and by function, to FILE. Samples are taken by the process's own CPU time
(`ITIMER_PROF`), where the interpreter is next; each belongs to the innermost frame of the package.
"""

from __future__ import annotations

import json
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import hapenny

OURS = str(Path(hapenny.__file__).parent)
EVERY_S = 0.002


class Sampler:
    """Counts where the main thread is."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rooms: Counter[str] = Counter()
        self._functions: Counter[str] = Counter()
        self._running = False

    def tick(self, _: int, frame: FrameType | None) -> None:
        """Takes a sample."""
        while frame is not None and not frame.f_code.co_filename.startswith(OURS):
            frame = frame.f_back
        if frame is None:
            self._rooms["other"] += 1
            return
        place = Path(frame.f_code.co_filename).relative_to(OURS)
        self._rooms[place.parts[0]] += 1
        self._functions[f"{place} {frame.f_code.co_qualname}"] += 1

    def switch(self, *_: object) -> None:
        """Begins, or ends and writes."""
        self._running = not self._running
        every = EVERY_S if self._running else 0.0
        signal.setitimer(signal.ITIMER_PROF, every, every)
        if self._running:
            return
        whole = sum(self._rooms.values()) or 1
        report = {
            "samples": whole,
            "rooms": {room: round(n / whole, 4) for room, n in self._rooms.most_common()},
            "functions": {name: round(n / whole, 4) for name, n in self._functions.most_common(40)},
        }
        ready = self._file.with_suffix(".part")
        ready.write_text(json.dumps(report))
        ready.replace(self._file)


def main() -> None:
    sampler = Sampler(Path(sys.argv[1]))
    signal.signal(signal.SIGPROF, sampler.tick)
    signal.signal(signal.SIGUSR1, sampler.switch)
    sys.argv = ["hapenny", *sys.argv[2:]]
    runpy.run_module("hapenny", run_name="__main__")


if __name__ == "__main__":
    main()
