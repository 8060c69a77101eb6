"""Labels by hand, as a page: one thing to judge after another, and how the judge of audits fares against people."""

from __future__ import annotations

import threading
from html import escape

from hapenny.config import Config
from hapenny.console import label_pages
from hapenny.console.judging import agreed
from hapenny.console.queue import Queue
from hapenny.core.clock import Clock


class Labels:
    """The queue of a console.

    Args:
        config: whose content store is labelled.
        clock: dates labels.
        route: only this route's answers.
        token: of the console's forms.
    """

    def __init__(self, config: Config, clock: Clock, route: str | None, token: str) -> None:
        self._config, self._clock, self._route, self._token = config, clock, route, token
        self._lock = threading.Lock()
        self._queue: Queue | None = None
        self._skipped: dict[str, set[str]] = {}

    def close(self) -> None:
        """Lets go of the files."""
        with self._lock:
            if self._queue is not None:
                self._queue.close()

    def show(self, who: str, problem: str = "") -> str:
        """The next thing that `who` may judge, as the inner part of a page."""
        with self._lock:
            try:
                queue = self._opened()
                skipped = self._skipped.get(who, set())
                item = queue.next(who, frozenset(skipped))
                if item is None and who:
                    queue.refresh()
                    item = queue.next(who, frozenset(skipped))
            except (ValueError, ImportError, FileNotFoundError) as error:
                return (
                    '<section class="empty"><h3>Nothing can be labelled yet</h3><p>Here people judge answers by hand,'
                    " one after another; the judge of audits is measured by what they say, and routers learn from it."
                    " It needs texts, which a route keeps once it is told to.</p>"
                    f"<p>{escape(str(error))}</p><pre>content:\n  options: {{key: '${{CONTENT_KEY}}', sample: 0.05,"
                    " routes: [default]}</pre></section>"
                )
            done, total = queue.counts(who)
            return label_pages.labelling(item, who, self._token, done, total, problem)

    def say(self, form: dict[str, str]) -> str:
        """Takes a label; returns what is wrong with it, else nothing."""
        who, said, id = form.get("who", ""), form.get("said", ""), form.get("id", "")
        with self._lock:
            if said == "skip":
                self._skipped.setdefault(who, set()).add(id)
                return ""
            try:
                self._opened().say(id, said, who)
            except (ValueError, ImportError, FileNotFoundError) as error:
                return str(error)
            return ""

    def people(self) -> str:
        """How the judge of audits fares against people, in words."""
        with self._lock:
            try:
                labelled = list(self._opened().labelled())
            except (ValueError, ImportError, FileNotFoundError) as error:
                return str(error)
        told = agreed(labelled)
        last = f" {len(labelled):,} answers have a person's label."
        if told is None:
            return f"Nobody has labelled a pair that the judge judged as well.{last}"
        return (
            f"On {told.pairs:,} pairs that people labelled, the judge of audits agrees with them on {told.agreed:.0%}"
            f" (95 % interval {told.low:.0%} to {told.high:.0%}) and is {abs(told.bias):.3f}"
            f" {'stricter' if told.bias > 0 else 'milder'} than they are.{last}"
        )

    def _opened(self) -> Queue:
        if self._queue is None:
            self._queue = Queue(self._config, self._clock, self._route)
        return self._queue
