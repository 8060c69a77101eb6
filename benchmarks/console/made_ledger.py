"""A ledger of a busy month: rows as a gateway writes them, by the ledger's own writer."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from hapenny.core.events import Tokens
from hapenny.telemetry.ledger_file import LedgerFile
from hapenny.telemetry.rows import CallRow, Entry, Row, verdict

MODELS = (
    ("claude-haiku", 0.25, 0.45),
    ("claude-sonnet", 0.55, 0.9),
    ("nova-lite", 0.2, 0.3),
    ("claude-opus", 0.9, 1.6),
)
FEATURES = ("support", "search", "recommend", "checkout", "returns", "faq", "chat", "")
ROUTES = ("default", "chat", "documents")
FAILURES = ("timeout", "rate_limited", "upstream", "overloaded")
BATCH = 1_024


def rows(count: int, until: float, seed: int = 18, days: float = 30.0, tenants: int = 20) -> Iterator[Row]:
    """`count` requests over `days` before `until`, with the tides of a day; money adds up in each."""
    dice = random.Random(seed)
    names = [f"tenant-{number:02}" for number in range(tenants)]
    step = days * 86_400 / count
    start = until - days * 86_400
    for number in range(count):
        wall = start + number * step
        tide = math.sin((wall % 86_400) / 86_400 * 2 * math.pi - math.pi / 2)
        tenant = names[min(tenants - 1, int(dice.expovariate(0.35)))]
        name, ttft, whole = MODELS[min(3, int(dice.expovariate(0.9)))]
        kind = dice.random()
        prompt, output = dice.randrange(200, 4_000), dice.randrange(20, 600)
        baseline = prompt * 3_000 + output * 15_000
        ttft *= dice.lognormvariate(0, 0.4) * (1.15 + 0.2 * tide)
        whole = ttft + whole * dice.lognormvariate(0, 0.45)
        base: dict[str, Any] = {
            "id": f"req-{number:08x}", "wall": wall, "tenant": tenant,
            "key_id": f"{tenant[-2:]}{dice.randrange(3)}f00d",
            "user": dice.randbytes(16), "fingerprint": dice.randbytes(16), "feature": dice.choice(FEATURES),
            "session": number.to_bytes(16, "big") if number % 4 else dice.randbytes(16),
            "route": ROUTES[min(2, int(dice.expovariate(1)))],
            "intent": dice.choice(("question", "order", "smalltalk")), "protocol": "openai", "stream": number % 5 != 0,
            "model_asked": "auto", "model_baseline": "claude-sonnet", "holdout": number % 101 == 0,
            "decide": {"exact": 2e-5, "semantic": 1e-3 * dice.random(), "tiers": 2e-4 * dice.random(), "tokens": 3e-4},
            "parts": {"system": prompt // 4, "history": prompt // 4, "user": prompt - prompt // 2},
            "output_tokens": output,
        }  # fmt: skip
        if kind < 0.24:
            yield Row(
                **base, outcome="delivered", stopped="stop", cache_layer="exact" if kind < 0.15 else "semantic",
                cache_hit=True, cache_age=dice.random() * 3_600, ttft=0.002 + dice.random() / 90,
                e2e=0.004 + dice.random() / 80, baseline=baseline,
                savings={"exact" if kind < 0.15 else "semantic": baseline}, actual=0,
            )  # fmt: skip
            continue
        failed = kind > 0.99
        spent = round(baseline * (0.3 if name != "claude-opus" else 1.2))
        error = round(baseline * dice.gauss(0, 0.004))
        audit = number % 97 == 0
        tokens = Tokens(input=prompt, output=output)
        call = CallRow(
            "audit" if audit else "serve", "evidence" if audit else "serve", name, "bedrock",
            dice.choice(("us-east-1", "us-west-2")), "standard", prompt, output, prompt // 3, 0, 0, 0,
            0 if failed else spent, "failed" if failed else "complete", "reported",
            dice.choice(FAILURES) if failed else None, 0.004, None if failed else ttft, whole, not failed and not audit,
        )  # fmt: skip
        if failed:
            yield Row(**base, outcome="failed", failure=call.failure, cache_layer="exact", e2e=whole, calls=(call,))
        elif audit:
            yield Row(
                **base, outcome="background", background="audit", model_served=name, actual=spent, e2e=whole,
                savings={"evidence": -spent}, calls=(call,), scores={"audit": 1.0 - (dice.random() < 0.03)},
            )  # fmt: skip
        else:
            saved = baseline - error - spent
            tiers = round(saved * 0.6)
            yield Row(
                **base, outcome="delivered", stopped="stop", cache_layer="exact", model_served=name, ttft=ttft,
                e2e=whole, queued=0.004, tokens=tokens, baseline=baseline, estimate_error=error, actual=spent,
                savings={"tiers": tiers, "prefix": saved - tiers}, calls=(call,),
                notes=("certificate=loss at most 0.02 with 95 % confidence",) if number % 3 == 0 else (),
                would_save={"prune": round(spent * 0.1)} if number % 20 == 0 else {},
                alone={"tiers": tiers} if number % 2 else {},
            )  # fmt: skip


def fill(path: str, count: int, until: float) -> dict[str, float]:
    """Writes a ledger; rows per second of wall and of CPU time of the writing alone."""
    file = LedgerFile(path)
    wall = cpu = 0.0
    made = rows(count, until)
    for _ in range(0, count, BATCH):
        batch: list[Row | Entry] = list(islice(made, BATCH))
        marks = [verdict(row.id, 1.0 - (hash(row.id) % 50 == 0), "audit", row.wall)
                 for row in batch[::200] if isinstance(row, Row)]  # fmt: skip
        began, used = time.perf_counter(), time.thread_time()
        file.insert(batch + list(marks))
        wall += time.perf_counter() - began
        cpu += time.thread_time() - used
    file.close()
    return {"rows_per_s": round(count / wall), "rows_per_cpu_s": round(count / cpu)}
