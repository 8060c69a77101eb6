"""Rows of which only the sums are kept: those that overflowed the queue or outlived the retention."""

from __future__ import annotations

from typing import Literal

from hapenny.telemetry.rows import Entry, Row


class Folded:
    """Rows of which only the sums are kept."""

    def __init__(self) -> None:
        self.rows = 0
        self.baseline = self.actual = self.estimate_error = 0
        self.savings: dict[str, int] = {}
        self.unpriced = 0

    def add(self, row: Row) -> None:
        """Adds a request's row."""
        self.rows += 1
        if row.unpriced:
            self.unpriced += 1
            return
        self.baseline += row.baseline or 0
        self.actual += row.actual or 0
        self.estimate_error += row.estimate_error or 0
        for technique, nano in row.savings.items():
            self.savings[technique] = self.savings.get(technique, 0) + nano

    def add_entry(self, entry: Entry) -> None:
        """Adds another row."""
        self.rows += entry.rows
        self.baseline += entry.baseline
        self.actual += entry.actual
        self.estimate_error += entry.estimate_error
        self.savings[entry.technique] = self.savings.get(entry.technique, 0) + entry.saved

    def merge(self, other: Folded) -> None:
        """Adds other sums."""
        self.rows += other.rows
        self.unpriced += other.unpriced
        self.baseline += other.baseline
        self.actual += other.actual
        self.estimate_error += other.estimate_error
        for technique, nano in other.savings.items():
            self.savings[technique] = self.savings.get(technique, 0) + nano

    def entries(self, wall: float, kind: Literal["overflow", "adjustment"] = "overflow") -> list[Entry]:
        """One entry for what was paid, one for each technique's savings."""
        entries = [
            Entry(
                kind=kind, wall=wall, technique="", actual=self.actual, baseline=self.baseline, rows=self.rows,
                estimate_error=self.estimate_error, detail={"unpriced": self.unpriced},
            )
        ]  # fmt: skip
        for technique, nano in sorted(self.savings.items()):
            entries.append(Entry(kind=kind, wall=wall, technique=technique, actual=0, saved=nano))
        return entries
