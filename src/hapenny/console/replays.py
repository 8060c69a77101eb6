"""Replays of logged traffic that pages ask for: `hapenny whatif` in a process of its own, one at a time.

A replay takes a core for seconds to minutes: it runs at low priority beside the console, never longer than `LIMIT_S`,
and its results stay until `KEPT` newer ones came or the console ends.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from hapenny.core.clock import Clock

LIMIT_S = 600.0
KEPT = 12
_NICE = 10


class Busy(Exception):
    """Another replay runs; its id."""


class Replay(Struct, kw_only=True):
    """One of them. `names`: of the configurations; `told`: which requests; `command`: the same by hand."""

    id: str
    names: list[str]
    told: str
    command: str
    began: float
    state: str = "running"
    """`running`, `done`, `failed` or `stopped`."""
    share: float = 0.0
    outcomes: list[dict[str, Any]] = []
    """As `hapenny whatif --json` gives them, in the order of `names`."""
    error: str = ""


class Replays:
    """Those of a console.

    Args:
        clock: dates them, names them.
        limit_s: how long one may take.
    """

    def __init__(self, clock: Clock, limit_s: float = LIMIT_S) -> None:
        self._clock, self._limit_s = clock, limit_s
        self._lock = threading.Lock()
        self._known: dict[str, Replay] = {}
        self._running: tuple[Replay, subprocess.Popen[bytes]] | None = None

    def start(
        self, names: Sequence[str], write: Callable[[Path], list[Path]], options: Sequence[str], told: str
    ) -> Replay:
        """Begins one.

        Args:
            names: of the configurations, for people.
            write: writes what has to be written into a folder; gives the files, in the order of `names`.
            options: of the verb.
            told: which requests are replayed.

        Raises:
            Busy: one is running.
            ValueError, OSError: what `write` raises.
        """
        with self._lock:
            if self._running is not None:
                raise Busy(self._running[0].id)
            folder = tempfile.TemporaryDirectory(prefix="hapenny-whatif-", ignore_cleanup_errors=True)
            try:
                files = write(Path(folder.name))
                verb = ["whatif", *options, *(part for file in files for part in ("-c", str(file)))]
                with (Path(folder.name) / "outcomes").open("wb") as out:
                    process = subprocess.Popen(
                        [sys.executable, "-m", "hapenny", *verb, "--progress", "--json"], stdin=subprocess.DEVNULL,
                        stdout=out, stderr=subprocess.PIPE, process_group=0,
                    )  # fmt: skip
            except BaseException:
                folder.cleanup()
                raise
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
            replay = Replay(
                id=self._clock.new_id()[:16], names=list(names), told=told, command=_command(verb, folder.name),
                began=self._clock.wall(),
            )  # fmt: skip
            self._known[replay.id] = replay
            while len(self._known) > KEPT:
                del self._known[next(iter(self._known))]
            self._running = replay, process
            threading.Thread(target=self._watch, args=(replay, process, folder), daemon=True).start()
            return replay

    def get(self, id: str) -> Replay | None:
        """That of an id, while it is kept."""
        with self._lock:
            return self._known.get(id)

    def recent(self) -> list[Replay]:
        """All that are kept, the newest first."""
        with self._lock:
            return list(reversed(self._known.values()))

    def stop(self, id: str) -> None:
        """Ends it, if it still runs."""
        with self._lock:
            if self._running is not None and self._running[0].id == id:
                replay, process = self._running
                replay.state = "stopped"
                process.kill()

    def close(self) -> None:
        """Ends whatever runs."""
        with self._lock:
            if self._running is not None:
                self._running[1].kill()

    def _watch(
        self, replay: Replay, process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]
    ) -> None:
        late = threading.Timer(self._limit_s, self._too_long, (replay, process))
        late.daemon = True
        late.start()
        last = ""
        assert process.stderr is not None
        for line in process.stderr:
            text = line.decode("utf-8", "replace").strip()
            if text.endswith("%") and text[:-1].isdecimal():
                replay.share = int(text[:-1]) / 100
            elif text:
                last = text[:600]
        code = process.wait()
        late.cancel()
        outcomes: list[dict[str, Any]] = []
        if code == 0:
            try:
                shown = msgspec.json.decode(
                    (Path(folder.name) / "outcomes").read_bytes(), type=dict[str, dict[str, Any]]
                )
                outcomes = list(shown.values())
            except (OSError, msgspec.DecodeError) as error:
                last = f"its result cannot be read: {error}"
        folder.cleanup()
        with self._lock:
            self._running = None
            if outcomes:
                replay.outcomes, replay.state = outcomes, "done"
            elif replay.state == "running":
                replay.error = last.removeprefix("Error: ") or f"it ended with status {code}"
                replay.state = "failed"

    def _too_long(self, replay: Replay, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if process.poll() is None:
                replay.error = f"it took longer than {self._limit_s:.0f} s. Fix: fewer requests, or a shorter range"
                replay.state = "failed"
                process.kill()


def _command(verb: Sequence[str], folder: str) -> str:
    """The verb as somebody would type it; files that were made for this run alone have no folder."""
    import shlex

    return "hapenny " + " ".join(shlex.quote(part.replace(f"{folder}/", "")) for part in verb)
