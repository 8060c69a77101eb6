"""The pages of the console: one line each."""

from __future__ import annotations

from typing import NamedTuple


class Page(NamedTuple):
    """Where it is, what it is called, under which heading, its module and template, its key behind `g`, whether all
    may see it (else those who see all tenants), whether range and filters matter, whether it keeps itself fresh."""

    path: str
    title: str
    group: str
    view: str
    key: str
    tenants: bool = True
    ranged: bool = True
    live: bool = True


PAGES = (
    Page("/", "Overview", "Money", "overview", "o"),
    Page("/savings", "Savings", "Money", "savings", "s"),
    Page("/by", "Breakdown", "Money", "breakdown", "b"),
    Page("/requests", "Requests", "Money", "explorer", "r"),
    Page("/latency", "Latency budget", "Speed", "latency", "l"),
    Page("/capacity", "Quotas & capacity", "Speed", "capacity", "q"),
    Page("/cache", "Cache", "Techniques", "cache", "c"),
    Page("/routing", "Routing", "Techniques", "routing", "m"),
    Page("/experiments", "Experiments", "Techniques", "experiments", "e", tenants=False, ranged=False),
    Page("/learning", "Health of learning", "Techniques", "learning", "h"),
    Page("/whatif", "What if", "Techniques", "whatif", "w", tenants=False, live=False),
    Page("/keys", "Keys & budgets", "Operate", "keys", "k"),
    Page("/alerts", "Alerts", "Operate", "alerts", "a", tenants=False),
    Page("/playground", "Playground", "Operate", "playground", "p", tenants=False, ranged=False, live=False),
    Page("/labels", "Labels", "Operate", "labels", "y", tenants=False, ranged=False, live=False),
)
BY_PATH = {page.path: page for page in PAGES}
GROUPS = tuple(dict.fromkeys(page.group for page in PAGES))
