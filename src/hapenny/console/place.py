"""What a page is asked for: range and filters, as they stand in its URL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from msgspec import Struct

from hapenny.telemetry.figures import Scope

RANGES: dict[str, tuple[str, float]] = {
    "1h": ("last hour", 3_600.0),
    "6h": ("6 hours", 6 * 3_600.0),
    "24h": ("24 hours", 86_400.0),
    "7d": ("7 days", 7 * 86_400.0),
    "30d": ("30 days", 30 * 86_400.0),
    "all": ("everything", 0.0),
}
"""Name in the URL -> for people, and seconds; 0 is open."""
USUAL = "24h"
FILTERS = ("tenant", "route", "feature", "model", "key")
CARRIED = frozenset({"range", "from", "to", *FILTERS})
"""Parameters that go from page to page."""
_MOST = 200


class Place(Struct, kw_only=True):
    """A page with its range and filters.

    Attributes:
        path: of the page.
        range: one of `RANGES`, or empty where `since` and `until` stand by themselves.
        now: epoch seconds.
        filters: by name, those that are set.
        more: further parameters of the page.
        held: the tenant that whoever looks is held to; None sees all.
    """

    path: str
    range: str = USUAL
    since: float | None = None
    until: float | None = None
    now: float
    filters: dict[str, str] = {}
    more: dict[str, str] = {}
    held: str | None = None
    problem: str = ""

    @classmethod
    def read(cls, path: str, query: Mapping[str, str], now: float, held: str | None) -> Place:
        """Understands a query; what cannot be understood is said, and left out."""
        problem = ""
        named = query.get("range", "")
        since, until = moment(query.get("from", "")), moment(query.get("to", ""))
        for name, given, known in (("from", query.get("from"), since), ("to", query.get("to"), until)):
            if given and known is None:
                problem = f"{name}: {given[:40]!r} is no time. Write 2026-11-30 or 2026-11-30T17:00 (UTC)."
        if named and named not in RANGES:
            problem = f"range: {named[:20]!r} is none. One of {', '.join(RANGES)}, or from and to."
            named = ""
        if since is None and until is None:
            named = named or USUAL
            wide = RANGES[named][1]
            since = now - wide if wide else None
        else:
            named = ""
            if since is not None and until is not None and until <= since:
                problem, until = "to lies before from: it is left out.", None
        filters = {name: value[:_MOST] for name in FILTERS if (value := query.get(name, "")) or name in query}
        filters = {name: value for name, value in filters.items() if value or name == "feature"}
        if held is not None:
            filters["tenant"] = held
        more = {name: value[:_MOST] for name, value in query.items() if name not in CARRIED}
        return cls(
            path=path, range=named, since=since, until=until, now=now, filters=filters, more=more, held=held,
            problem=problem,
        )  # fmt: skip

    @property
    def scope(self) -> Scope:
        """As the ledger is asked."""
        return Scope(since=self.since, until=self.until, **self.filters)

    @property
    def span(self) -> list[tuple[str, str]]:
        """`from` and `to` as they stand in the URL, those that are set."""
        ends = (("from", self.since), ("to", self.until))
        return [(name, _written(value)) for name, value in ends if value is not None]

    @property
    def kept(self) -> dict[str, str]:
        """Range and filters as parameters: what links and forms carry on. The usual range needs no word."""
        span = dict(self.span) if not self.range else {"range": self.range} if self.range != USUAL else {}
        return span | {name: value for name, value in self.filters.items() if not (name == "tenant" and self.held)}

    @property
    def before(self) -> Scope | None:
        """The range of the same length before, to compare with; None where it is open."""
        if self.since is None:
            return None
        end = self.until if self.until is not None else self.now
        return Scope(since=self.since - (end - self.since), until=self.since, **self.filters)

    def url(self, path: str | None = None, **changes: str | None) -> str:
        """The URL of another page or of this one with other parameters; None takes one away. Going to another page
        keeps range and filters and leaves the rest."""
        query = self.kept
        if path is None or path == self.path:
            query |= self.more
        for name, change in changes.items():
            name = "from" if name == "since" else "to" if name == "until" else name
            if name == "range":
                query.pop("from", None)
                query.pop("to", None)
            if change is None:
                query.pop(name, None)
            else:
                query[name] = change
        if query.get("range") == USUAL:
            del query["range"]
        where = quote(path if path is not None else self.path)
        return f"{where}?{urlencode(query)}" if query else where

    @property
    def told(self) -> str:
        """The range for people."""
        if self.range:
            return RANGES[self.range][0]
        since = _shown(self.since) if self.since is not None else "the beginning"
        return f"{since} – {_shown(self.until) if self.until is not None else 'now'} UTC"

    @property
    def live(self) -> bool:
        """Whether the range ends now."""
        return self.until is None


def moment(text: str) -> float | None:
    """Epoch seconds of a date or time as people write them in URLs (UTC unless it says another zone); else None."""
    try:
        date = datetime.fromisoformat(text.strip().replace("Z", "+00:00")) if text.strip() else None
    except ValueError:
        return None
    if date is None or not 1970 < date.year < 2200:
        return None
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()


def _written(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M")


def _shown(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%d %b %Y %H:%M")
