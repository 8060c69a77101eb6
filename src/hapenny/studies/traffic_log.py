"""Requests of a log: a ledger or a trace, read as what can be replayed.

Theory of operation. A ledger tells sizes, times and fingerprints. Requests of one fingerprint and of equal sizes are
the same request; system prompts of about one size are taken for one; a session's history is what the log holds of it,
as far as its size goes. No log tells temperatures: its requests are taken to be deterministic, as applications that are
worth caching send them. A trace tells sizes and times alone.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import cast, get_args

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from hapenny.core.events import StopReason
from hapenny.simulation.workload.trace import from_csv
from hapenny.studies.logged import Logged, Pace
from hapenny.telemetry.conditions import condition
from hapenny.telemetry.figures import Scope
from hapenny.telemetry.rows import Row
from hapenny.telemetry.schema import open_ledger, read_row

MOST = 20_000
"""Requests of a log that are replayed at most: its newest."""
_REASONS = frozenset(get_args(StopReason))
_SLACK = 8
"""Tokens by which counts of short messages err."""


class Log(Struct, frozen=True, kw_only=True):
    """Requests of a log, what its models were like, and what watching techniques noted."""

    rows: list[Logged]
    paces: dict[str, Pace]
    features: list[tuple[str, str, str]]
    """Feature, session and tenant of each row."""
    asked: list[str]
    """The model each request named."""
    watched: dict[str, float] = {}
    source: str = ""
    start: float = 0.0
    """Epoch seconds of the first request; 0 where the log tells none."""


def read(path: Path, scope: Scope | None = None, most: int = MOST) -> Log:
    """A ledger (SQLite) or a trace (CSV).

    Args:
        path: of the file.
        scope: which requests of a ledger; None: all.
        most: of these, the newest.

    Raises:
        ValueError: it is neither, or empty, or a trace of which a part is asked for.
    """
    with path.open("rb") as file:
        ledger = file.read(16) == b"SQLite format 3\x00"
    if ledger:
        return _ledger(path, scope or Scope(), most)
    if scope is not None and scope != Scope():
        raise ValueError(f"{path}: a trace tells neither dates nor labels. Fix: leave the range and the filters out")
    return _trace(path, most)


def _trace(path: Path, most: int) -> Log:
    """A trace tells sizes and times alone: nothing comes twice, nothing is shared, and models answer as is usual."""
    rows = [
        Logged(
            at=each.at, identity=f"t{number}", input_tokens=each.input, output_tokens=each.output,
            cached_tokens=each.cached, history=f"t{number}", cacheable=False, first_s=0.5,
            rest_s=each.output / 80,
        )
        for number, each in enumerate(from_csv(path)[-most:])
    ]  # fmt: skip
    return Log(
        rows=rows, paces={"": Pace(0.5, 1 / 80)}, features=[("", "", "default")] * len(rows), asked=[""] * len(rows),
        source="trace: times of answers are assumed (0.5 s, 80 tokens a second)",
    )  # fmt: skip


def _ledger(path: Path, scope: Scope, most: int) -> Log:
    where, values = condition(scope)
    connection = open_ledger(str(path), read_only=True)
    try:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'requests'").fetchone() is None:
            raise ValueError(f"{path}: no ledger. Fix: the file that `ledger.path` names")
        newest = connection.execute(
            f"SELECT * FROM requests WHERE (background IS NULL OR background = '') AND {where}"
            " ORDER BY wall DESC LIMIT ?",
            (*values, most),
        ).fetchall()
        rows = [read_row(connection, each) for each in reversed(newest)]
    finally:
        connection.close()
    rows = [row for row in rows if row.outcome in ("delivered", "left", "refused")]
    if not rows:
        what = "no requests" if scope == Scope() else "no requests in this range with these filters"
        raise ValueError(f"{path}: {what}. Fix: a ledger with traffic in it")
    start = rows[0].wall
    logged, features, asked = [], [], []
    reading = _Reading()
    paces: dict[str, list[tuple[float, float, int]]] = {}
    watched: dict[str, float] = {}
    for row in rows:
        for name, nano in row.would_save.items():
            watched[name] = watched.get(name, 0.0) + max(0, nano) / 1e9
        entry = reading.request(row, row.wall - start)
        logged.append(entry)
        features.append((row.feature, row.session.hex() if row.session else "", row.tenant))
        asked.append(row.model_asked)
        if entry.first_s is not None and entry.rest_s is not None:
            paces.setdefault(entry.model, []).append((entry.first_s, entry.rest_s, entry.output_tokens))
    means = {
        model: Pace(
            float(np.mean([each[0] for each in seen])),
            sum(each[1] for each in seen) / max(1, sum(each[2] - 1 for each in seen)),
        )
        for model, seen in paces.items()
    }
    return Log(
        rows=[reading.even(each) for each in logged],
        paces=means,
        features=features,
        asked=asked,
        watched=watched,
        source="ledger",
        start=start,
    )


class _Reading:
    """A ledger's rows on their way to requests: which of them share what."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[int, ...]] = {}
        self._sizes: list[tuple[bool, list[int]]] = []
        """Of each system prompt: whether it has tools, and its tokens as each request's were counted."""
        self._sessions: dict[str, list[tuple[str, int]]] = {}
        """Messages of each session so far, and their tokens."""

    def request(self, row: Row, at: float) -> Logged:
        """A row as a request; its system prompt's size is what it was counted as until `even`."""
        parts = row.parts
        fingerprint = row.fingerprint.hex() if row.fingerprint else row.id
        identity = f"{fingerprint}-{'-'.join(map(str, parts.values()))}".replace(" ", "")
        call = next((each for each in row.calls if each.adopted and each.purpose != "embed"), None)
        if call is None:  # a store answered: what the first answer to it was is known, where that is in the log
            known = self._answers.get(identity)
            if known is None:
                known = (sum(parts.values()), row.output_tokens)
            prompt, output, model, first, rest = known[0], known[1], "", None, None
        else:
            prompt = call.input + call.cache_read + call.cache_write + call.cache_write_1h
            output, model = call.output, call.model
            self._answers[identity] = (prompt, output)
            first = call.began - call.started if call.began is not None else None
            rest = call.ended - call.began if call.began is not None and call.ended is not None else None
        shared = self._shared(parts.get("system", 0), parts.get("tools", 0))
        system = parts.get("system", 0) + parts.get("tools", 0)
        session = row.session.hex() if row.session else row.id
        turns = self._turns(session, parts.get("history", 0))
        history = max(parts.get("history", 0), sum(tokens for _, tokens in turns))
        asked, output = max(1, prompt - system - history), max(1, output)
        if row.session:
            self._sessions[session] = [*turns, (identity, asked), (f"{session} {identity}", output)]
        return Logged(
            at=at, identity=identity, system=str(shared), system_tokens=system, history=session, history_tokens=history,
            turns=turns, input_tokens=asked, output_tokens=output, model=model, first_s=first, rest_s=rest,
            stopped=cast(StopReason, row.stopped) if row.stopped in _REASONS else "end_turn", stream=row.stream,
        )  # fmt: skip

    def even(self, row: Logged) -> Logged:
        """`row` with the usual size of its system prompt: counts are estimates that move with each request."""
        if not row.system_tokens:
            return row
        usual = round(median(self._sizes[int(row.system)][1]))
        rest = max(1, row.input_tokens + row.system_tokens - usual)
        return replace(row, system_tokens=usual, input_tokens=rest)

    def _shared(self, system: int, tools: int) -> int:
        """Which system prompt a request has: prompts with (or without) tools of about one size are taken for one."""
        tokens = system + tools
        for place, (has_tools, sizes) in enumerate(self._sizes):
            if has_tools == (tools > 0) and abs(sizes[0] - tokens) <= 0.2 * sizes[0]:
                sizes.append(tokens)
                return place
        self._sizes.append((tools > 0, [tokens]))
        return len(self._sizes) - 1

    def _turns(self, session: str, history: int) -> tuple[tuple[str, int], ...]:
        """The session's messages so far that the history is long enough to hold, give or take what counts err."""
        left = history + max(_SLACK, round(0.1 * history))
        turns = []
        for turn in self._sessions.get(session, ()):
            if turn[1] > left:
                break
            turns.append(turn)
            left -= turn[1]
        return tuple(turns) if history else ()
