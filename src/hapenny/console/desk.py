"""What the views share: the ledger, the running gateway, the configuration, and slow figures that are made aside."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from hapenny.config import Config
from hapenny.console.live import Live, Unreachable
from hapenny.console.replays import Replays
from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.telemetry.ledger_copy import copied
from hapenny.telemetry.rolled import Rolled

_KEPT = 64
_log = get_logger("hapenny.console")


class Empty(Exception):
    """There is nothing to show; title and text say what to do."""

    def __init__(self, title: str, text: str, code: str = "") -> None:
        super().__init__(title)
        self.title, self.text, self.code = title, text, code


class Go(str):
    """Where to go after a form: a URL of the console."""


def _place(path: str) -> tuple[int, int] | None:
    try:
        known = os.stat(path)
    except OSError:
        return None
    return known.st_dev, known.st_ino


class Viewer(Struct, frozen=True):
    """Who looks. `tenant`: whose rows alone; None sees all. `admin`: may change things."""

    tenant: str | None = None
    admin: bool = True
    name: str = ""


MOMENT_S = 0.15
"""How long a page waits for a figure that is made aside."""
COPY_S = 3.0
"""How old a copy of books in a database may be."""


class Desk:
    """The one of a console.

    Args:
        config: whose ledger is shown.
        clock: the deployment's clock.
        live: the running gateway.
        file: of `config`; None: not known.
    """

    def __init__(self, config: Config, clock: Clock, live: Live, file: Path | None = None) -> None:
        self.config, self.clock, self.live, self.file = config, clock, live, file
        self.replays = Replays(clock)
        self._lock = threading.Lock()
        self._rolled: Rolled | None = None
        self._place: tuple[int, int] | None = None
        self._copied = 0.0
        self._aside: dict[Any, tuple[float, Any]] = {}
        self._making: set[Any] = set()
        self.people: Callable[[], str] = lambda: "Nobody has labelled an answer."
        """How the judge of audits fares against people, in words."""

    @property
    def path(self) -> str:
        """The ledger's file. Raises `Empty` where none is kept."""
        ledger = self.config.ledger
        if ledger is None or ledger.path == ":memory:":
            raise Empty(
                "This configuration keeps no ledger",
                "The console reads the ledger's file. Name one in the configuration and serve with it.",
                "ledger: {path: .hapenny/ledger.db}",
            )
        return ledger.path

    def ledger_file(self) -> str:
        """The ledger as a file of this machine. Raises `Empty` where there is none yet."""
        self.rolled()
        return copied(self.path) if "://" in self.path else self.path

    def rolled(self) -> Rolled:
        """The ledger. Raises `Empty` where there is nothing in it."""
        with self._lock:
            try:
                self._bring_up_to_date()
                if self._rolled is not None and _place(self.path) != self._place:
                    self._rolled = None  # another file is there now: whoever still reads the old one lets it go
                if self._rolled is None:
                    self._rolled, self._place = Rolled(self.path), _place(self.path)
            except FileNotFoundError:
                raise Empty(
                    "There is no ledger yet",
                    f"{self._shown} appears with the first request. Serve, and send one.",
                    "hapenny serve -c hapenny.yaml",
                ) from None
            except ValueError as error:
                raise Empty("The ledger cannot be read", str(error), "pip install --upgrade hapenny") from None
            return self._rolled

    def running(self, path: str, viewer: Viewer) -> tuple[Any, str]:
        """What the running gateway answers to a GET, or None with why not; it is not asked for whoever sees one tenant
        alone."""
        if viewer.tenant is not None:
            return None, ""
        try:
            return self.live.get(path), ""
        except Unreachable as error:
            return None, str(error)

    @property
    def _shown(self) -> str:
        """The ledger's place, for people."""
        return "It" if "://" in self.path else self.path

    def _bring_up_to_date(self) -> None:
        """Takes in what is new of books in a database, which pages read from a copy of this machine."""
        if "://" in self.path and (self._rolled is None or self.clock.now() - self._copied >= COPY_S):
            copied(self.path)
            self._copied = self.clock.now()

    def again(self) -> None:
        """Opens the ledger anew at the next look: somebody may have taken the file away."""
        with self._lock:
            self._rolled = None

    def aside(self, key: Any, make: Callable[[], Any], fresh_s: float = 300.0) -> tuple[Any | None, float | None]:
        """A figure that takes its time, made by a thread of its own: the last one that is known, and how old it is in
        seconds; (None, None) while the first is made, for which the page waits a moment: mostly that is enough. One
        that is older than `fresh_s` is made again meanwhile."""
        now = self.clock.now()
        maker = None
        with self._lock:
            made, value = self._aside.get(key, (None, None))
            if (made is None or now - made > fresh_s) and key not in self._making:
                self._making.add(key)
                maker = threading.Thread(target=self._make, args=(key, make), daemon=True)
                maker.start()
        if made is None and maker is not None:
            maker.join(MOMENT_S)
            with self._lock:
                made, value = self._aside.get(key, (None, None))
        return value, None if made is None else max(0.0, now - made)

    def _make(self, key: Any, make: Callable[[], Any]) -> None:
        try:
            value = make()
        except Exception as error:
            _log.error("a figure of the console cannot be made", error=type(error).__name__)
            value = error
        with self._lock:
            self._making.discard(key)
            self._aside[key] = (self.clock.now(), value)
            while len(self._aside) > _KEPT:
                del self._aside[next(iter(self._aside))]

    def close(self) -> None:
        """Lets go of the file, and ends a replay that runs."""
        self.replays.close()
        with self._lock:
            if self._rolled is not None:
                self._rolled.close()
