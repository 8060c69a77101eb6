"""Where the time of requests goes, as a verdict with what to do: the model, retrieval, hapenny's own work, or the way
there. Shares are of the mean duration of a sample's requests that a model answered."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hapenny.telemetry.rolled_figures import Called
from hapenny.telemetry.sampled import Percentiles, Spending

RETRIEVAL = frozenset({"retrieval", "guard_context"})
_WAITING = 0.02
"""Seconds between the last decision and the call from which a queue is worth a word."""


class Part(Struct, kw_only=True):
    """One place where time goes: its mean seconds, its share of a request, what it is, and what to do."""

    name: str
    seconds: float
    share: float
    about: str
    fix: str


class Verdict(Struct, kw_only=True):
    """The parts, the largest first, and how many requests say so."""

    parts: list[Part]
    requests: int

    @property
    def worst(self) -> Part | None:
        """The bottleneck; None where nothing was measured."""
        return self.parts[0] if self.parts else None


def bottleneck(spending: Spending, calls: Sequence[Called], connecting: float = 0.0) -> Verdict:
    """The verdict on a sample.

    Args:
        spending: times of a sample.
        calls: calls of the same range, to name the model that is slow.
        connecting: mean seconds a request spent on names, connections and TLS.
    """
    parts = spending.parts
    if "first" not in parts:
        return Verdict(parts=[], requests=0)
    searching = sum(stage.mean * stage.count for name, stage in spending.stages.items() if name in RETRIEVAL)
    deciding = sum(stage.mean * stage.count for name, stage in spending.stages.items() if name not in RETRIEVAL)
    whole = max(1, spending.requests)
    retrieval, processing = searching / whole, deciding / whole
    queued = max(0.0, _mean(parts.get("before")) - retrieval - processing)
    model = max(0.0, _mean(parts.get("first")) - connecting) + _mean(parts.get("rest"))
    slow = max((call for call in calls if call.purpose == "serve" and call.ttft_p95), default=None,
               key=lambda call: (call.ttft_p95 or 0.0) * call.calls)  # fmt: skip
    name = slow.model if slow is not None else "the model"
    streaming = _mean(parts.get("rest")) > _mean(parts.get("first"))
    costs = [
        (
            "model", model, f"waiting for {name}: its first content and its streaming",
            "shorter answers (stages.answer_size), a faster tier (stages.tiers)" if streaming
            else "a faster tier or region, latency-optimised inference, a warm prompt cache (stages.prefix)",
        ),
        (
            "retrieval", retrieval, "searching, reranking and reading documents",
            "fewer candidates (stages.retrieval.candidates), no rerank on easy questions, the index in memory:"
            " hapenny index tune",
        ),
        (
            "processing", processing + _mean(parts.get("after")), "hapenny's own decisions, encoding and writing",
            "the stages with the highest p95 below: switch them off, or put the embedder on its own cores",
        ),
        (
            "queue", queued if queued >= _WAITING else 0.0, "waiting for quota or a free connection",
            "more quota, another region (stages.throughput), or fewer tokens: hapenny doctor --url says what holds"
            " calls back",
        ),
        (
            "network", connecting, "names, connections and TLS",
            "keep connections (throughput.pool), a nearer region or a VPC endpoint: hapenny profile lists each",
        ),
    ]  # fmt: skip
    total = sum(seconds for _, seconds, _, _ in costs) or 1.0
    made = [
        Part(name=name, seconds=seconds, share=seconds / total, about=about, fix=fix)
        for name, seconds, about, fix in costs
    ]
    return Verdict(parts=sorted(made, key=lambda part: -part.seconds), requests=parts["first"].count)


def _mean(known: Percentiles | None) -> float:
    return known.mean if known is not None else 0.0
