"""What each cache layer earns on each route: saved minus its own cost; a layer that loses money is stopped.

`LayerProfit.book` reads finished rows, pre-computation books its answers itself; both and the semantic stage ask
`stopped` before they spend anything. A stop is in the log, in the statistics and in the metrics.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from hapenny.caching.semantic.notes import LOOKED_UP
from hapenny.core.exchange import Exchange
from hapenny.core.log import get_logger
from hapenny.telemetry.rows import Row

_log = get_logger("hapenny.cache")
GIB_HOUR = 5_000_000
"""Nano-dollars a GiB of memory costs an hour: an assumption of $3.60 a month, to be set by the operator."""


_NOTHING = (False, 0, 0, 0)
_WEIGHED = 32
"""Requests between two looks at what a layer holds in memory."""
_AHEAD = 50
"""Answers by which pre-computation is judged: there are few."""


class Return(Struct, frozen=True, kw_only=True):
    """A layer's books over the window. Money in nano-dollars."""

    layer: str
    route: str = ""
    requests: int
    hits: int
    saved: int
    embedding: int
    judging: int
    storage: int
    answering: int = 0
    """What answers ahead cost whose worth is known: they were asked for, or expired unasked."""
    stopped: bool
    tries_again_in: int = 0
    """Requests (rounds, for pre-computation) until a stopped layer tries again; `hapenny cache resume` does at once."""

    @property
    def net(self) -> int:
        """Saved minus all it cost."""
        return self.saved - self.embedding - self.judging - self.storage - self.answering


class Layer:
    """The running books of one layer, over its last `window` requests.

    It stops when a full window ended with a loss; it starts again when `resume` is called (a change of traffic or of
    prices), or by itself after ten windows, to find out again.
    """

    def __init__(self, name: str, *, route: str = "", window: int = 2_000, gib_hour: int = GIB_HOUR) -> None:
        self.name = name
        self.route = route
        self.stopped = False
        self._gib_hour = gib_hour
        self._rows: deque[tuple[bool, int, int, int]] = deque(maxlen=window)
        self._sums = [0, 0, 0, 0]
        self._window = window
        self._storage = 0
        self._waiting = 0
        self.costly = True
        """Whether it is stopped where it loses."""
        self.seen = 0
        """Requests booked since it last started."""

    def add(self, *, hit: bool, saved: int = 0, embedding: int = 0, judging: int = 0) -> None:
        """Books one request that the layer looked at."""
        if self.stopped:
            self.skip()
            return
        self.seen += 1
        rows, sums = self._rows, self._sums
        full = len(rows) == self._window
        old = rows[0] if full else _NOTHING
        rows.append((hit, saved, embedding, judging))
        sums[0] += hit - old[0]
        sums[1] += saved - old[1]
        sums[2] += embedding - old[2]
        sums[3] += judging - old[3]
        if (full or len(rows) == self._window) and sums[1] - sums[2] - sums[3] < self._storage and self.costly:
            self.stopped = True
            self._waiting = 0
            cost = sums[2] + sums[3] + self._storage
            _log.warning(
                "a cache layer costs more than it saves and stops", technique=self.name, route=self.route,
                requests=len(rows), cost=cost, reason=f"{sums[1]} nano-dollars saved",
            )  # fmt: skip

    def charge(self, judging: int) -> None:
        """Books what verifying or pre-computing cost, on the newest request."""
        if not self._rows:
            self._rows.append((False, 0, 0, 0))
        hit, saved, embedding, before = self._rows[-1]
        self._rows[-1] = (hit, saved, embedding, before + judging)
        self._sums[3] += judging

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
        if self.stopped:
            _log.info("a cache layer tries again", technique=self.name, route=self.route)
        self.stopped = False
        self.seen = 0
        self._rows.clear()
        self._sums = [0, 0, 0, 0]

    def books(self) -> Return:
        """Where the layer stands."""
        hits, saved, embedding, judging = self._sums
        answering, judging = (judging, 0) if self.name == "precompute" else (0, judging)
        return Return(
            layer=self.name, route=self.route, requests=len(self._rows), hits=hits, saved=saved, embedding=embedding,
            judging=judging, answering=answering, storage=self._storage, stopped=self.stopped,
            tries_again_in=10 * self._window - self._waiting if self.stopped else 0,
        )  # fmt: skip


class LayerProfit:
    """The books of all layers by route. The exact layer costs nothing but memory and is never stopped."""

    def __init__(self, held: Callable[[], dict[str, int]], *, window: int = 2_000) -> None:
        """`held`: bytes each layer's store holds now. `window`: requests a layer is judged by."""
        self._held = held
        self.window = window
        self._layers: dict[tuple[str, str], Layer] = {}
        self._since: dict[tuple[str, str], float] = {}

    def layer(self, name: str, route: str) -> Layer:
        """The books of a layer on a route, opened on first use."""
        key = (name, route)
        if key not in self._layers:
            layer = Layer(name, route=route, window=_AHEAD if name == "precompute" else self.window)
            layer.costly = name != "exact"
            self._layers[key] = layer
        return self._layers[key]

    def resume(self, name: str, route: str = "") -> int:
        """Lets a stopped layer try again at once, on one route or on all; how many were stopped."""
        paused = [
            layer for (layer_, route_), layer in self._layers.items()
            if layer_ == name and route in ("", route_) and layer.stopped
        ]  # fmt: skip
        for layer in paused:
            layer.resume()
        return len(paused)

    @property
    def halted(self) -> int:
        """How many layers are stopped."""
        return sum(layer.stopped for layer in self._layers.values())

    def halts(self, name: str, route: str) -> bool:
        """Whether a layer is stopped on a route; unlike `stopped`, asking counts for nothing."""
        layer = self._layers.get((name, route))
        return layer is not None and layer.stopped

    def stopped(self, name: str, route: str) -> bool:
        """Whether a layer is stopped on a route, as it lost money; asking counts as a request it did not look at."""
        layer = self._layers.get((name, route))
        if layer is None or not layer.stopped:
            return False
        layer.skip()
        return layer.stopped

    def book(self, exchange: Exchange, row: Row) -> None:
        """Reads a finished request, or background work that a layer paid for."""
        if row.background:
            if row.background == "judge" and "semantic" in row.savings:
                self.layer("semantic", row.route).charge(row.actual or 0)
            return
        if LOOKED_UP in exchange.stage_notes:
            embedding = sum(call.cost or 0 for call in row.calls if call.purpose == "embed" and call.cost)
            hit = row.cache_hit and row.cache_layer == "semantic"
            saved = row.savings.get("semantic", 0) + embedding
            self.add("semantic", row, hit=hit, saved=saved, embedding=embedding)
        elif row.cache_layer == "exact":
            self.add("exact", row, hit=row.cache_hit, saved=row.savings.get("exact", 0))

    def books(self) -> list[Return]:
        """Where every layer stands, by layer and route."""
        return [layer.books() for _, layer in sorted(self._layers.items())]

    def add(self, name: str, row: Row, *, hit: bool, saved: int, embedding: int = 0) -> None:
        layer = self.layer(name, row.route)
        if layer.seen % _WEIGHED == 0:
            since = self._since.setdefault((name, row.route), row.wall)
            hours = max(0.0, row.wall - since) / 3600
            # What the window holds in memory: the whole store over the time the window spans.
            share = min(1.0, self.window / max(layer.seen, 1))
            # The store is all routes': each pays by the requests it looked at.
            whole = sum(other.seen for (other_, _), other in self._layers.items() if other_ == name)
            mine = layer.seen / whole if whole else 1.0
            layer.store(int(self._held().get(name, 0) * mine), hours * share)
        layer.add(hit=hit, saved=saved, embedding=embedding)
