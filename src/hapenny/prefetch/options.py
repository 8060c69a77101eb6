"""What an operator may set about answers ahead."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

Way: TypeAlias = Literal["batch", "flex", "standard"]
"""How an answer ahead is asked for, cheapest first."""


class PrefetchOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Answers ahead, off unless routes are named."""

    routes: Annotated[
        list[str],
        Meta(
            description="Routes whose requests may be kept in memory and asked again; a batch job's are on disk "
            "(`batch.journal`) and with the provider while it runs.",
        ),
    ] = []
    budget_usd: Annotated[
        float,
        Meta(
            description="Dollars a day (UTC) that answering ahead may cost, jobs under way included; kept over "
            "restarts by the ledger.",
        ),
    ] = 1.0
    every_s: Annotated[float, Meta(description="How often what is asked is looked at.")] = 900.0
    ways: Annotated[
        tuple[Way, ...],
        Meta(
            description="Ways that may be used. `batch`: by a job of the provider (`batch.apis`), where there are "
            "enough questions and time. `flex`: at the flex tier, where it is sold and cheaper. "
            "`standard` saves time and no money.",
        ),
    ] = ("batch", "flex", "standard")
    off_peak: Annotated[
        list[int] | None,
        Meta(
            description="Hours (UTC, 0-23) in which answers are asked for one by one; empty: any. None: learnt, "
            "hours with at most half the mean hour's requests in the ledger's last two weeks, and "
            "those that an answer of the last such hour would not last until. Jobs, and the warm-up "
            "after a change, need no such hour.",
        ),
    ] = None
    least: Annotated[
        float,
        Meta(description="Requests a question must be expected to bring before its next answer expires."),
    ] = 2.0
    wait_worth: Annotated[
        float,
        Meta(
            description="What it is worth that nobody waits for an answer, as a share of its price on demand. 0: "
            "only what is expected to save money is answered ahead, which at the standard tier is "
            "nothing.",
        ),
    ] = 0.25
    most: Annotated[int, Meta(description="Requests kept at most.")] = 5_000

    def __post_init__(self) -> None:
        if self.budget_usd <= 0 or self.every_s <= 0:
            raise ValueError("budget_usd and every_s: must be above 0")
        if any(not 0 <= hour <= 23 for hour in self.off_peak or ()):
            raise ValueError(f"off_peak: {self.off_peak} has hours outside 0-23")
        if self.least <= 0 or self.wait_worth < 0 or self.most < 1:
            raise ValueError("least and most: must be above 0; wait_worth: not below 0")
        if not self.ways:
            raise ValueError("ways: none is left; name batch, flex or standard")
