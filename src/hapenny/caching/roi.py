"""What each cache layer earns: saved minus its own cost; a layer that loses money is stopped."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

GIB_HOUR = 5_000_000
"""Nano-dollars a GiB of memory costs an hour: an assumption of $3.60 a month, to be set by the operator."""


class Return(Struct, frozen=True, kw_only=True):
    """A layer's books over the window. Money in nano-dollars."""

    layer: str
    requests: int
    hits: int
    saved: int
    embedding: int
    judging: int
    storage: int
    stopped: bool

    @property
    def net(self) -> int:
        """Saved minus all it cost."""
        return self.saved - self.embedding - self.judging - self.storage


class Layer:
    """The running books of one layer, over its last `window` requests.

    It stops when a full window ended with a loss; it starts again when `resume` is called (a change of traffic or of
    prices), or by itself after ten windows, to find out again.
    """

    def __init__(self, name: str, *, window: int = 2_000, gib_hour: int = GIB_HOUR) -> None:
        self.name = name
        self.stopped = False
        self._gib_hour = gib_hour
        self._rows: deque[tuple[bool, int, int, int]] = deque(maxlen=window)
        self._sums = [0, 0, 0, 0]
        self._window = window
        self._storage = 0
        self._waiting = 0

    def add(self, *, hit: bool, saved: int = 0, embedding: int = 0, judging: int = 0) -> None:
        """Books one request that the layer looked at."""
        if self.stopped:
            self.skip()
            return
        row = (hit, saved, embedding, judging)
        if len(self._rows) == self._window:
            self._sums = [total - old for total, old in zip(self._sums, self._rows[0], strict=True)]
        self._rows.append(row)
        self._sums = [total + new for total, new in zip(self._sums, row, strict=True)]
        if len(self._rows) == self._window and self.books().net < 0:
            self.stopped = True
            self._waiting = 0

    def skip(self) -> None:
        """Counts a request the stopped layer did not look at."""
        self._waiting += 1
        if self._waiting >= 10 * self._window:
            self.resume()

    def store(self, bytes_: int, hours: float) -> None:
        """Books memory held: bytes for that many hours, spread over the window."""
        self._storage = int(bytes_ / 2**30 * hours * self._gib_hour)

    def resume(self) -> None:
        """Starts again with empty books."""
        self.stopped = False
        self._rows.clear()
        self._sums = [0, 0, 0, 0]

    def books(self) -> Return:
        """Where the layer stands."""
        hits, saved, embedding, judging = self._sums
        return Return(
            layer=self.name, requests=len(self._rows), hits=hits, saved=saved, embedding=embedding, judging=judging,
            storage=self._storage, stopped=self.stopped,
        )  # fmt: skip
