"""Where finished requests are written down: ledger, metrics, traces, and texts where a route opted in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

from msgspec import Meta, Struct

from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.core.tasks import Tasks
from hapenny.telemetry.books import Books
from hapenny.telemetry.content import ContentOptions, ContentStore
from hapenny.telemetry.count_audit import CountChecks
from hapenny.telemetry.emf import Emf, EmfOptions
from hapenny.telemetry.ledger import Ledger, LedgerOptions
from hapenny.telemetry.live import Live
from hapenny.telemetry.metrics import Metrics
from hapenny.telemetry.rows import Entry, Row
from hapenny.telemetry.traces import TraceOptions, Traces


class KeptTexts(Struct, kw_only=True, forbid_unknown_fields=True):
    """The content store and its file."""

    path: Annotated[str, Meta(description="SQLite file of the encrypted texts.")] = ".hapenny/content.db"
    options: ContentOptions


_CLOSE_S = 5.0
"""How long texts that wait for the content store may take when the deployment ends."""


class Recorder:
    """What a deployment writes down. It outlives a reload.

    Args:
        clock: the deployment's clock.
        ledger: where the books are kept; None keeps none.
        content: texts, encrypted and opt-in; None keeps none.
        traces: where spans go; None sends none.
        emf: where lines for CloudWatch go; None writes none.

    Raises:
        ImportError: an extra that is wanted is not installed.
        ValueError: the content store's key is no key.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: LedgerOptions | None,
        content: KeptTexts | None,
        traces: TraceOptions | None,
        emf: EmfOptions | None = None,
    ) -> None:
        self._clock = clock
        self.live = Live(clock)
        self.metrics = Metrics(self.live)
        self.ledger = Ledger(ledger, clock) if ledger is not None else None
        self.traces = Traces.open(traces, clock) if traces is not None else None
        self.emf = Emf(emf, clock) if emf is not None else None
        self.content = _content(content, clock) if content is not None else None
        self.tasks = Tasks()
        """Texts on their way to the content store."""
        self.checks: CountChecks | None = None
        self._billed: dict[str, float] = {}
        kept = self.ledger
        if kept is not None:
            self.metrics.gauge("hapenny_ledger_waiting_rows", "Rows not yet on disk.", lambda: kept.waiting)
            self.metrics.gauge(
                "hapenny_ledger_overflowed_rows_total", "Rows folded into sums.", lambda: float(kept.overflowed)
            )
            self.metrics.gauge(
                "hapenny_ledger_failed_writes_total", "Batches that failed.", lambda: float(kept.failed_writes)
            )
            self.metrics.gauge(
                "hapenny_ledger_refused_rows_total", "Rows that cannot be written.", lambda: float(kept.refused)
            )

    def watch(self, books: Books) -> None:
        """Shows the identity violations of `books` (always 0, or there is a bug) and what they left out, and calls
        models as they do."""
        self.metrics.canonical = self.live.canonical = books.prices.canonical
        self.metrics.gauge(
            "hapenny_identity_violations_total", "Rows that do not add up.", lambda: float(books.violations)
        )
        self.metrics.gauge(
            "hapenny_implausible_reports_total",
            "Reports of usage that cannot be true: left out, the calls are estimated.",
            lambda: float(books.implausible),
        )

    def check(self, checks: CountChecks) -> None:
        """Holds the estimates of finished requests against the provider's count from now on."""
        self.checks = checks
        self.metrics.gauge("hapenny_count_audits_total", "Prompts counted again.", lambda: float(checks.audits))
        self.metrics.gauge(
            "hapenny_count_audit_error_ratio", "Mean relative error of audited estimates.", lambda: checks.error
        )

    def write(self, exchange: Exchange, row: Row) -> None:
        """Takes a finished request. Never waits and never fails the request."""
        self.metrics.observe(exchange, row)
        checks, call = self.checks, exchange.adopted
        if checks is not None and call is not None:
            target = call.target
            if checks.share or (target.backend, target.model) not in checks.met:
                checks.consider(exchange)
        if self.ledger is not None:
            self.ledger.write(row)
        if self.traces is not None:
            self.traces.observe(exchange, row)
        if self.emf is not None:
            self.emf.observe(row)
        if self.content is not None and self.content.wanted(exchange):
            self.tasks.spawn(_keep(self.content, exchange))

    def book(self, entry: Entry) -> None:
        """Takes an entry that is no request and no bill. Never waits."""
        if self.ledger is not None:
            self.ledger.book(entry)

    def bill(self, entry: Entry) -> None:
        """Takes an hour of paid capacity; one that it has is not taken again. Never waits."""
        if self._billed.get(entry.model) != entry.wall:
            self._billed[entry.model] = entry.wall
            self.metrics.bill(entry)
            if self.ledger is not None:
                self.ledger.book(entry)

    async def start(self) -> None:
        """Opens what needs a running loop."""
        if self.ledger is not None:
            await self.ledger.start()
        if self.traces is not None:
            for service in self.traces.services:
                self.tasks.serve("otlp", self._clock, service)

    async def aclose(self) -> None:
        """Writes what waits."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.tasks.settled(), _CLOSE_S)
        await self.tasks.aclose()
        if self.ledger is not None:
            await self.ledger.aclose()
        if self.traces is not None:
            self.traces.close()
        if self.emf is not None:
            self.emf.flush()


def _content(kept: KeptTexts, clock: Clock) -> ContentStore:
    from hapenny.stores.sqlite import SqliteFile, SqliteRows

    return ContentStore(kept.options, SqliteRows(SqliteFile(kept.path, clock)), clock)


async def _keep(store: ContentStore, exchange: Exchange) -> None:
    await store.keep(exchange)
