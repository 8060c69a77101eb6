"""A ledger of a few hours in a manga shop, made by the real books: repeated, routed, pruned and failing requests."""

from __future__ import annotations

import asyncio
import random

from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.exchange import CacheFact, Taken, Target
from hapenny.core.stage import Decision
from hapenny.telemetry.ledger import Ledger, LedgerOptions
from tests.telemetry import made


def fill(path, count=400, seed=7):
    """Writes `count` rows; returns them."""
    clock = made.Clock()
    book = made.books(clock)
    dice = random.Random(seed)
    rows = []
    for n in range(count):
        clock.t += dice.expovariate(1 / 40) * (0.3 if 150 < n < 260 else 1.0)
        text = f"where is order {dice.randrange(60)} and what is volume {dice.randrange(9)} about? " * dice.randint(
            1, 5
        )
        feature = dice.choice(["support", "support", "search", "recommendations", ""])
        ex = made.exchange(clock, made.ask(text, system=made.Text("You know every manga in this shop. " * 9)),
                           feature=feature, background="audit" if n % 37 == 36 else "")  # fmt: skip
        answer = "It is on its way and should arrive on Friday. " * dice.randint(2, 9)
        kind = dice.random()
        ttft, pace = dice.lognormvariate(-0.9, 0.45), dice.lognormvariate(-5.0, 0.3)
        ex.decisions.append(Taken("exact", "on", Decision(), 2e-5 * dice.random()))
        ex.decisions.append(Taken("semantic", "shadow", Decision(would_save=900_000 if kind < 0.4 else None), 2e-3))
        if kind < 0.3:
            ex.cache = CacheFact(layer="exact", hit=True, age=30.0)
            ex.step("exact", free=True)
            ttft, pace = 0.004 + dice.random() / 200, 0
            made.deliver(ex, answer)
        elif kind < 0.34:
            made.call(book, ex, outcome="failed", failure=Failure("timeout", "late"))
            ex.failure = Failure("timeout", "late")
        else:
            if kind < 0.75:
                ex.target = Target("cheap")
                ex.step("tiers")
            if dice.random() < 0.5:
                ex.request = made.ask(text[: len(text) // 2])
                ex.step("pruning")
            if dice.random() < 0.1:
                made.call(book, ex, input=300, output=20, purpose="hedge", technique="hedging", outcome="abandoned")
            if dice.random() < 0.3:
                made.call(book, ex, input=200, output=2, purpose="judge", technique="evidence", target=Target("cheap"))
            made.served(book, ex, text=answer)
        ex.first_out, ex.finished = ex.arrived + ttft, ex.arrived + ttft + pace * len(answer)
        rows.append(book.close(ex))

    async def write():
        ledger = Ledger(LedgerOptions(path=str(path)), RealClock())
        for row in rows:
            ledger.write(row)
        await ledger.aclose()

    asyncio.run(write())
    return rows
