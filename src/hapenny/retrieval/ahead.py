"""A search that begins beside the look-up of the semantic cache, for when that finds nothing.

Theory of operation. The look-up and the search need the same vector and nothing of one another. So the search begins
where the look-up does; the retrieval stage then waits for what is left of it. Where the cache answers, the search is
ended: what it computed until then was computed in vain, which is why it begins only behind the exact layer. It is no
other search: its passages, and what it costs, are the same.
"""

from __future__ import annotations

import asyncio

from hapenny.core.exchange import Exchange
from hapenny.core.stage import Ask, Decision, Stage
from hapenny.retrieval.stage import AHEAD, RetrievalStage, Retrieved


class AheadStage(Stage):
    """Begins the search of the retrieval stage. It decides nothing and acts on nothing."""

    name = "retrieval_ahead"

    def __init__(self, retrieval: RetrievalStage) -> None:
        self._retrieval = retrieval

    async def decide(self, exchange: Exchange, ask: Ask) -> Decision | None:
        """Always None."""
        if exchange.background:
            return None
        task: asyncio.Future[Retrieved | None] = asyncio.ensure_future(self._retrieval.look(exchange, ask))
        task.add_done_callback(_seen)
        exchange.stage_notes[AHEAD] = (exchange.request, task)
        exchange.on_end(lambda: _end(task))
        return None


def _seen(task: asyncio.Future[Retrieved | None]) -> None:
    """Looks at what befell a search that nobody waited for."""
    if not task.cancelled():
        task.exception()


def _end(task: asyncio.Future[Retrieved | None]) -> None:
    task.cancel()
