"""One loss budget a route: when audits refute it, the technique with the largest attributed loss steps back, then the
next (design: one loss budget). A technique that has stepped back behaves as if it were off.

The budget is watched by an e-process over drawn traffic, so that it may be looked at after every audit; of the allowed
error each possible step back gets an equal part (union bound).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from hapenny.core.log import get_logger
from hapenny.evidence.eprocess import LossMonitor, MonitorState

_log = get_logger("hapenny.audits")


class _Kept(msgspec.Struct):
    """What is known of a route, as it is kept over a restart."""

    about: str
    off: list[str]
    monitor: MonitorState | None
    attributed: dict[str, float]


class StepBack:
    """Watches the loss of each route and says which techniques have stepped back. A refuted promise outlives a restart;
    it is forgotten when what it was about changes (`under`).

    Args:
        techniques: those that can change an answer, as stages are named.
        delta: chance that anything ever steps back on a route that keeps its promise.
    """

    def __init__(self, techniques: Sequence[str], delta: float = 0.05) -> None:
        self.techniques = tuple(techniques)
        self._delta = delta / max(1, len(self.techniques))
        self._monitors: dict[str, LossMonitor] = {}
        self._attributed: dict[str, dict[str, float]] = {}
        self._off: dict[str, list[str]] = {}
        self._about: dict[str, str] = {}

    def under(self, about: Mapping[str, str]) -> None:
        """Says how each route is configured now. Where that is no longer what was observed, every technique serves
        again and is watched from the start: nobody knows yet what the new settings lose."""
        for route, now in about.items():
            if self._about.setdefault(route, now) != now:
                if self._off.get(route):
                    gone = ", ".join(self._off[route])
                    _log.info("techniques serve again under new settings", route=route, technique=gone)
                self.restore(route)
                self._about[route] = now

    def dumps(self) -> bytes:
        """What `loads` takes over after a restart."""
        routes = {*self._off, *self._monitors}
        return msgspec.msgpack.encode(
            {
                route: _Kept(
                    self._about.get(route, ""),
                    self._off.get(route, []),
                    self._monitors[route].state() if route in self._monitors else None,
                    self._attributed.get(route, {}),
                )
                for route in sorted(routes)
            }
        )

    def loads(self, data: bytes) -> None:
        """Takes over a dump, but for routes that are configured otherwise now. `MsgspecError` or ValueError on
        nonsense."""
        for route, kept in msgspec.msgpack.decode(data, type=dict[str, _Kept]).items():
            if self._about.get(route) != kept.about:
                continue
            self._off[route] = kept.off
            self._attributed[route] = kept.attributed
            if kept.monitor is not None:
                self._monitors[route] = LossMonitor.restore(kept.monitor)
            if kept.off:
                _log.warning("techniques stay stepped back", route=route, technique=", ".join(kept.off))

    def off(self, route: str, technique: str) -> bool:
        """Whether the technique has stepped back on that route."""
        until = self._off.get(route)
        return until is not None and technique in until

    def observe(self, route: str, techniques: Collection[str], loss: float, limit: float) -> str | None:
        """Adds a drawn request: `techniques` that changed its answer (none: its loss is 0), its loss in [-1, 1], the
        route's `limit`. Returns the technique that steps back because of it, if any.

        Losses are net, in [-1, 1]: an answer that is better than everything-off's makes up for one that is worse. The
        loss is shared equally among the techniques of the request: one audit cannot tell them apart, many can.
        """
        monitor = self._monitors.get(route)
        level = (1 + limit) / 2  # the monitor's losses lie in [0, 1]
        if monitor is None or monitor.limit != level:
            monitor = self._monitors[route] = LossMonitor(level, self._delta)
        parts = self._attributed.setdefault(route, {})
        for technique in techniques:
            parts[technique] = parts.get(technique, 0.0) + loss / len(techniques)
        if not monitor.update((1 + (loss if techniques else 0.0)) / 2):
            return None
        left = {name: part for name, part in parts.items() if not self.off(route, name) and part > 0}
        if not left:
            return None
        worst = max(sorted(left), key=lambda name: left[name])
        self._off.setdefault(route, []).append(worst)
        # What is left is judged anew, without the losses of what has gone.
        del self._monitors[route]
        self._attributed[route] = {}
        return worst

    def stepped_back(self) -> dict[str, list[str]]:
        """Techniques that have stepped back, by route, in that order."""
        return {route: list(names) for route, names in self._off.items()}

    def restore(self, route: str) -> None:
        """Lets every technique of a route serve again, watched from the start."""
        for held in (self._off, self._monitors, self._attributed):
            held.pop(route, None)
