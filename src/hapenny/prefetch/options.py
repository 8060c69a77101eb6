"""What an operator may set about answers ahead."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Way: TypeAlias = Literal["batch", "flex", "standard"]
"""How an answer ahead is asked for, cheapest first."""


class PrefetchOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Answers ahead, off unless routes are named."""

    routes: list[str] = []
    """Routes whose requests may be kept in memory and asked again; a batch job's are on disk (`batch.journal`) and with
    the provider while it runs."""
    budget_usd: float = 1.0
    """Dollars a day (UTC) that answering ahead may cost, jobs under way included; kept over restarts by the ledger."""
    every_s: float = 900.0
    """How often what is asked is looked at."""
    ways: tuple[Way, ...] = ("batch", "flex", "standard")
    """Ways that may be used. `batch`: by a job of the provider (`batch.apis`), where there are enough questions and
    time. `flex`: at the flex tier, where it is sold and cheaper. `standard` saves time and no money."""
    off_peak: list[int] | None = None
    """Hours (UTC, 0-23) in which answers are asked for one by one; empty: any. None: learnt, hours with at most half
    the mean hour's requests in the ledger's last two weeks, and those that an answer of the last such hour would not
    last until. Jobs, and the warm-up after a change, need no such hour."""
    least: float = 2.0
    """Requests a question must be expected to bring before its next answer expires."""
    wait_worth: float = 0.25
    """What it is worth that nobody waits for an answer, as a share of its price on demand. 0: only what is expected to
    save money is answered ahead, which at the standard tier is nothing."""
    most: int = 5_000
    """Requests kept at most."""

    def __post_init__(self) -> None:
        if self.budget_usd <= 0 or self.every_s <= 0:
            raise ValueError("budget_usd and every_s: must be above 0")
        if any(not 0 <= hour <= 23 for hour in self.off_peak or ()):
            raise ValueError(f"off_peak: {self.off_peak} has hours outside 0-23")
        if self.least <= 0 or self.wait_worth < 0 or self.most < 1:
            raise ValueError("least and most: must be above 0; wait_worth: not below 0")
        if not self.ways:
            raise ValueError("ways: none is left; name batch, flex or standard")
