"""What if: other configurations on the traffic of this ledger, replayed side by side; and what to switch on next."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from hapenny.console.candidates import CHANGES, candidates, written
from hapenny.console.desk import Desk, Empty, Go, Viewer
from hapenny.console.html.charts import waterfall
from hapenny.console.html.lines import Line, lines
from hapenny.console.html.spans import Saving, kind_of, savings, shares_within
from hapenny.console.place import CARRIED, Place
from hapenny.console.render import usd
from hapenny.console.replays import Busy, Replay
from hapenny.telemetry.advice import Watched, advise
from hapenny.telemetry.conditions import condition

SAMPLE = 20_000
"""Requests that stages in shadow watched, the newest of a range."""
SIZES = (2_000, 5_000, 20_000)
"""How many requests a replay may take, the newest of a range."""
MOST = 4
"""Configurations side by side."""
_REACH = ("tenant", "route", "feature")
"""Filters that a replay follows."""


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """What may be replayed, a replay's results, and steps that stages in shadow would have saved."""
    replay = desk.replays.get(place.more.get("run", ""))
    recent = desk.replays.recent()
    return {
        **_advice(desk, place),
        "candidates": candidates(desk.file),
        "changes": CHANGES,
        "sizes": SIZES,
        "most": MOST,
        "replay": replay,
        "lost": bool(place.more.get("run")) and replay is None,
        "recent": [each for each in recent if replay is None or each.id != replay.id],
        "making": replay is not None and replay.state == "running",
        "unreached": [name for name in place.filters if name not in _REACH],
        "compared": _compared(replay) if replay is not None and replay.state == "done" else None,
    }


def act(desk: Desk, form: dict[str, str], viewer: Viewer) -> Go:
    """Begins a replay, or ends one. Raises `Empty` where it cannot."""
    place = Place.read("/whatif", {name: value for name, value in form.items() if name in CARRIED},
                       desk.clock.wall(), viewer.tenant)  # fmt: skip
    if form.get("what") == "stop":
        desk.replays.stop(form.get("run", ""))
        return Go(place.url(run=form.get("run", "")))
    file = desk.file
    if file is None:
        raise Empty("Nothing was replayed", "The console does not know the file of its configuration.")
    chosen = [each for each in candidates(file) if form.get(each.id)]
    names, ids = [each.name for each in chosen], [each.id for each in chosen]
    changes = form.get("yaml", "").strip()
    if changes:
        names.append("with changes")
        ids.append(CHANGES)
    if not ids:
        raise Empty("Nothing was replayed", "Choose at least one configuration, or write down what would change.")
    if len(ids) > MOST:
        raise Empty("Nothing was replayed", f"{len(ids)} configurations are too many side by side: {MOST} at most.")
    size = form.get("requests", "")
    options = ["--log", desk.ledger_file(), *_options(place)]
    options += ["--requests", size if size in map(str, SIZES) else str(SIZES[0])]

    def write(folder: Path) -> list[Path]:
        return [written(file, each, changes, folder) for each in ids]

    try:
        replay = desk.replays.start(names, write, options, _told(place))
    except Busy as busy:
        raise Empty(
            "Another replay runs", "One at a time: it takes a core. Wait for it, or stop it on its page.",
            f"{place.url(run=str(busy))}",
        ) from None  # fmt: skip
    except (ValueError, OSError) as error:
        raise Empty("Nothing was replayed", str(error)) from None
    return Go(place.url(run=replay.id))


def _options(place: Place) -> list[str]:
    options: list[str] = []
    for name, wall in (("--from", place.since), ("--to", place.until)):
        if wall is not None:
            options += [name, datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S")]
    for name in _REACH:
        if name in place.filters:
            options += [f"--{name}", place.filters[name]]
    return options


def _told(place: Place) -> str:
    filters = ", ".join(f"{name} {place.filters[name] or '(none)'}" for name in _REACH if name in place.filters)
    return f"{place.told}{f', {filters}' if filters else ''}"


def _compared(replay: Replay) -> dict[str, Any]:
    """A replay's outcomes as the page shows them."""
    outcomes = replay.outcomes
    pairs = list(zip(replay.names, outcomes, strict=False))
    techniques = sorted(
        {name for each in outcomes for name, saved in each["by_technique_usd"].items() if abs(saved) > 0},
        key=lambda name: -max(each["by_technique_usd"].get(name, 0.0) for each in outcomes),
    )
    first = outcomes[0]
    kinds = [kind_of(number) for number in range(len(pairs))]
    return {
        "pairs": pairs,
        "kinds": kinds,
        "verdict": _verdict(pairs),
        "techniques": techniques,
        "savings": savings(
            [
                Saving(name, each["saved_share"]["low"], each["sampled"]["low"], each["sampled"]["high"],
                       each["saved_share"]["high"])
                for name, each in pairs
            ],
            "Saved of the baseline, by configuration",
        ),
        "course": lines(
            [each["at"] for each in first["course"]],
            [
                Line("without hapenny", "total", [each["baseline_usd"] for each in first["course"]]),
                *(
                    Line(name, kind, [each["paid_usd"] for each in outcome["course"]])
                    for kind, (name, outcome) in zip(kinds, pairs, strict=True)
                ),
            ],
            "Paid over the time of the log, by configuration",
            usd,
        ),
        "speed": shares_within(
            [(name, each["whole_s"]) for name, each in pairs], [(1.5, "1.5 s"), (3.0, "3 s")],
            "Share of answers that are whole within so many seconds",
        ),
        "waterfalls": [(name, _waterfall(each)) for name, each in pairs],
        "watched": sorted({name for each in outcomes for name in each["watched_usd"]}),
        "left": _alike((tuple(each["left_out"]), name) for name, each in pairs if each["left_out"]),
        "unknown": _alike((share, name) for name, each in pairs if (share := round(each["unknown_pace"], 2))),
    }  # fmt: skip


def _alike(facts: Iterable[tuple[Any, str]]) -> list[tuple[Any, list[str]]]:
    """Each fact once, with the configurations it is true of."""
    names: dict[Any, list[str]] = {}
    for fact, name in facts:
        names.setdefault(fact, []).append(name)
    return list(names.items())


def _verdict(pairs: list[tuple[str, dict[str, Any]]]) -> str:
    """What the comparison comes to, in a sentence."""
    if len(pairs) == 1:
        name, only = pairs[0]
        return f"“{name}” would have paid {usd(only['paid_usd'])} instead of {usd(only['baseline_usd'])}."
    name, best = min(pairs, key=lambda pair: float(pair[1]["paid_usd"]))
    first = pairs[0][0]
    if name == first:
        return f"None of the others pays less than “{first}”: {usd(best['paid_usd'])}."
    less, span = best["cheaper_usd"], best["cheaper_interval_usd"]
    if span["low"] <= 0:
        return (
            f"“{name}” pays {usd(less)} less than “{first}”, but from slice to slice that moves between"
            f" {usd(span['low'])} and {usd(span['high'])}: this traffic does not tell them apart."
        )
    return (
        f"“{name}” pays least: {usd(less)} less than “{first}” (95 %: {usd(span['low'])} to {usd(span['high'])}),"
        f" {usd(best['paid_usd'])} in all."
    )


def _waterfall(outcome: dict[str, Any]) -> str:
    baseline, paid = round(outcome["baseline_usd"] * 1e9), round(outcome["paid_usd"] * 1e9)
    steps = [(name, nano) for name, saved in outcome["by_technique_usd"].items() if (nano := round(saved * 1e9))]
    return waterfall(baseline, steps, baseline - sum(nano for _, nano in steps) - paid, paid)


def _advice(desk: Desk, place: Place) -> dict[str, Any]:
    """Steps that stages in shadow would have saved, from a sample of the range, brought to the range's bill."""
    rolled = desk.rolled()
    with rolled.look():
        totals = rolled.totals(place.scope)
        where, values = condition(place.scope)
        rows = rolled.connection.execute(
            "SELECT actual, would_save, route FROM (SELECT actual, would_save, route, unpriced, background"
            f" FROM requests WHERE {where} ORDER BY wall DESC LIMIT {SAMPLE})"
            " WHERE would_save IS NOT NULL AND NOT unpriced AND background = ''",
            values,
        ).fetchall()
    decode = msgspec.json.Decoder(dict[str, int]).decode
    watched = [Watched(actual or 0, decode(saves), route) for actual, saves, route in rows]
    advised = advise(watched, totals.actual - totals.background_actual)
    return {"steps": advised.steps, "total": advised.total, "watched": len(watched), "totals": totals}
