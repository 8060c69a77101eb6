"""What a load test says in sum, under the names that other load tests of model servers use.

Each figure is a block of `unit`, `avg`, `min`, `max`, percentiles, `std` and `count`, as in the JSON export of NVIDIA's
aiperf; its definitions hold too (metrics reference of aiperf 0.14): inter-token latency is (request latency - time to
first token) / (output tokens - 1), goodput counts requests that meet every objective.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hapenny.catalog.card import Card
from hapenny.catalog.pricing import price
from hapenny.core.money import NANO
from hapenny.studies.loadtest.sender import Sent

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
_RESAMPLES = 2_000
OBJECTIVES: dict[str, Callable[[Sent], float | None]] = {
    "time_to_first_token": lambda sent: _ms(sent.first),
    "inter_token_latency": lambda sent: _ms(sent.between),
    "request_latency": lambda sent: _ms(sent.whole),
}
"""What an objective may bound, milliseconds."""


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def block(values: Sequence[float], unit: str) -> dict[str, Any]:
    """Statistics of a distribution; only unit and count where there is no value."""
    if not len(values):
        return {"unit": unit, "count": 0}
    array = np.asarray(values, dtype=float)
    return {
        "unit": unit,
        "avg": float(array.mean()),
        "min": float(array.min()),
        "max": float(array.max()),
        **{f"p{q}": float(np.percentile(array, q)) for q in PERCENTILES},
        "std": float(array.std(ddof=1)) if len(array) > 1 else 0.0,
        "count": len(array),
    }


def report(
    sent: Sequence[Sent], objectives: Mapping[str, float] | None = None, card: Card | None = None
) -> dict[str, Any]:
    """The figures of a run.

    Args:
        sent: what came of each request.
        objectives: of `OBJECTIVES`, milliseconds: what goodput counts.
        card: of the model, for the cost at its list price; None: no cost.
    """
    good = [each for each in sent if not each.error]
    end = max((each.at + (each.whole or each.last or 0.0) for each in sent), default=0.0)
    span = max(1e-9, end - min((each.at for each in sent), default=0.0))
    counted = [each.tokens for each in good if each.tokens is not None]
    made = sum(tokens.output for tokens in counted)
    figures: dict[str, Any] = {
        name: block([value for each in good if (value := measure(each)) is not None], "ms")
        for name, measure in OBJECTIVES.items()
    }
    figures |= {
        "output_sequence_length": block([tokens.output for tokens in counted], "tokens"),
        "input_sequence_length": block([tokens.prompt for tokens in counted], "tokens"),
        "request_throughput": {"unit": "requests/sec", "avg": len(good) / span},
        "output_token_throughput": {"unit": "tokens/sec", "avg": made / span},
        "request_count": {"unit": "requests", "avg": len(good)},
        "error_request_count": {"unit": "requests", "avg": len(sent) - len(good)},
        "benchmark_duration": {"unit": "sec", "avg": span},
        "errors": dict(Counter(each.error for each in sent if each.error).most_common()),
    }
    if objectives:
        meets = [each for each in good if _meets(each, objectives)]
        figures["goodput"] = {"unit": "requests/sec", "avg": len(meets) / span}
        figures["good_request_share"] = {"unit": "share", "avg": len(meets) / max(1, len(sent))}
        figures["objectives"] = {name: {"unit": "ms", "avg": bound} for name, bound in objectives.items()}
    if card is not None:
        costs = [cost for tokens in counted if (cost := price(card, tokens)) is not None]
        figures["cost"] = {"unit": "usd", "avg": sum(costs) / NANO, "count": len(costs)}
    return figures


def _meets(sent: Sent, objectives: Mapping[str, float]) -> bool:
    values = ((OBJECTIVES[name](sent), bound) for name, bound in objectives.items())
    return all(value is None or value <= bound for value, bound in values)


def against(ours: Sequence[Sent], theirs: Sequence[Sent], seed: int = 0) -> dict[str, dict[str, Any]]:
    """Two runs of the same plan beside each other: by figure the ratio of ours to theirs at p50 and p95, each with a
    95 % interval (percentile bootstrap over requests; where it holds 1 no difference is shown)."""
    draws = np.random.default_rng(seed)
    compared: dict[str, dict[str, Any]] = {}
    for name, measure in OBJECTIVES.items():
        one, other = (
            np.array([value for each in run if not each.error and (value := measure(each)) is not None])
            for run in (ours, theirs)
        )
        if not len(one) or not len(other):
            continue
        row: dict[str, Any] = {}
        for q in (50, 95):
            ratios = [
                np.percentile(draws.choice(one, len(one)), q)
                / max(1e-9, np.percentile(draws.choice(other, len(other)), q))
                for _ in range(_RESAMPLES)
            ]
            low, high = np.quantile(ratios, (0.025, 0.975))
            ratio = np.percentile(one, q) / max(1e-9, np.percentile(other, q))
            row[f"p{q}"] = {"ratio": float(ratio), "ci95": [float(low), float(high)]}
        compared[name] = row
    return compared
