"""Frozen, dated cards of simulated models: latency, rate, correctness, quotas; each figure with its source.

A benchmark that runs on a card prints its name and `digest()`; a changed figure is a new card with a new name.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Literal

import msgspec
from msgspec import Struct, field

from hapenny.catalog import Card, resolve, spoken

ASSUMED = "assumed"
ANSWER = "assumed: 650 ms of streaming at 80 tokens/s, the reference application's latency budget"
OUTCOMES = (
    "deciles of difficulty (mean score of the eleven other models) in ZeroEval, WildEval/ZeroEval @ 8c1485e, "
    "1,422 prompts, read 2026-11-20 by make_tables.py"
)


class SimulatedModel(Struct, frozen=True, kw_only=True):
    """One model's behaviour. Seconds, tokens per second, tokens; p95 is always the slow or long end."""

    id: str
    """As in the catalog, where its price, window and limits stand."""
    tier: Literal["fast", "balanced", "strong", "max"]
    ttft_p50: float
    ttft_p95: float
    rate_p50: float
    rate_p95: float
    """The rate that 95 % of calls exceed."""
    correctness: tuple[float, ...]
    """Share of right answers by difficulty, easiest first, in equal bins."""
    correctness_of: str
    """The model of the outcome tables whose shares these are."""
    output_p50: int = 52
    output_p95: int = 150
    rpm: int = 1000
    tpm: int = 2_000_000
    sources: dict[str, str]
    """By field: source with date, or `assumed`."""


class Deck(Struct, frozen=True, kw_only=True, dict=True):
    """A card: its models and what they share."""

    name: str
    date: str
    baseline: str
    models: tuple[SimulatedModel, ...]
    prefill_floor: float = 0.25
    """The part of the time to first token that a prompt-cache hit of the whole prompt does not save; assumed."""
    tier_pace: dict[str, float] = field(default_factory=lambda: {"standard": 1.0, "priority": 0.8, "flex": 1.6})
    """Factor on all times by service tier; assumed."""

    def digest(self) -> str:
        """Sixteen hexadecimal digits that name this very card."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]

    @cached_property
    def _by_id(self) -> dict[str, SimulatedModel]:
        return {model.id: model for model in self.models}

    @cached_property
    def _by_spoken(self) -> dict[str, SimulatedModel]:
        return {spoken(model.id): model for model in self.models}

    def find(self, name: str) -> tuple[SimulatedModel, Card] | None:
        """The model behind a name, alias, profile or ARN, with the catalog card of that name: the same model may be
        sold by several providers, each at its own price."""
        card = resolve(name)
        if card is None:
            return None
        model = self._by_id.get(card.id) or self._by_spoken.get(spoken(card.id))
        return (model, card) if model is not None else None

    def of_tier(self, tier: str) -> SimulatedModel | None:
        """The model that serves `tier`."""
        return next((model for model in self.models if model.tier == tier), None)

    def describe(self) -> list[str]:
        """A small table for people: what is simulated, and under it where each figure comes from."""
        sources = sorted({source for model in self.models for source in model.sources.values()}, key=len)
        mark = {source: "*¹²³⁴⁵⁶⁷⁸⁹"[number] for number, source in enumerate(sources)}
        rows = [("tier", "model", "first token", "tokens/s", "answer", "calls, tokens a minute", "right like")]
        for model in self.models:

            def said(text: str, name: str, model: SimulatedModel = model) -> str:
                return text + mark[model.sources[name]]

            rows.append(
                (
                    model.tier,
                    spoken(model.id),
                    said(f"{model.ttft_p50:g}/{model.ttft_p95:g} s", "ttft_p50"),
                    said(f"{model.rate_p50:g}/{model.rate_p95:g}", "rate_p50"),
                    said(f"{model.output_p50}/{model.output_p95}", "output_p50"),
                    said(f"{model.rpm:,}, {model.tpm:,}", "rpm"),
                    said(model.correctness_of, "correctness"),
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [f"simulated models: card {self.name} of {self.date}, {self.digest()}, baseline {self.baseline}"]
        for row in rows:
            lines.append("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        lines.append("  two figures are p50/p95, p95 the slow or long end")
        lines += [f"  {sign} {source}" for source, sign in mark.items()]
        return lines


def _sources(**own: str) -> dict[str, str]:
    names = ("ttft_p50", "ttft_p95", "rate_p50", "rate_p95", "output_p95", "rpm", "tpm")
    return dict.fromkeys(names, ASSUMED) | {"output_p50": ANSWER, "correctness": OUTCOMES} | own


_HAIKU_3 = (0.923, 0.958, 0.958, 0.915, 0.789, 0.641, 0.394, 0.196, 0.049, 0.042)
_HAIKU_35 = (0.993, 0.993, 0.993, 1.0, 0.958, 0.894, 0.761, 0.545, 0.176, 0.049)
_SONNET_35 = (1.0, 1.0, 1.0, 0.986, 0.979, 0.951, 0.88, 0.643, 0.268, 0.106)
_SONNET_35_V2 = (0.993, 1.0, 1.0, 1.0, 1.0, 0.986, 0.901, 0.797, 0.373, 0.176)
_OPUS_3 = (1.0, 0.979, 0.986, 0.979, 0.979, 0.845, 0.718, 0.538, 0.162, 0.028)
_GPT_4O_MINI = (1.0, 0.993, 1.0, 0.993, 0.993, 0.923, 0.768, 0.587, 0.317, 0.099)
_GPT_4O = (1.0, 0.993, 0.986, 0.993, 0.986, 0.972, 0.901, 0.776, 0.486, 0.12)
_LLAMA_8B = (0.887, 0.901, 0.853, 0.937, 0.704, 0.549, 0.317, 0.196, 0.035, 0.035)
_LLAMA_70B = (0.986, 0.993, 0.979, 0.972, 0.923, 0.852, 0.69, 0.371, 0.127, 0.056)
_O1_MINI = (1.0, 0.993, 0.993, 1.0, 1.0, 0.965, 0.979, 0.944, 0.859, 0.641)
_STAND_IN = "assumed: the table of another model stands in; " + OUTCOMES

MANGA_2024 = Deck(
    name="manga-2024",
    date="2026-11-20",
    baseline="anthropic.claude-3-sonnet-20240229-v1:0",
    models=(
        SimulatedModel(
            id="anthropic.claude-3-haiku-20240307-v1:0",
            tier="fast",
            ttft_p50=0.25,
            ttft_p95=0.5,
            rate_p50=150,
            rate_p95=110,
            correctness=_HAIKU_3,
            correctness_of="claude-3-haiku",
            rpm=1000,
            tpm=2_000_000,
            sources=_sources(),
        ),
        SimulatedModel(
            id="anthropic.claude-3-5-haiku-20241022-v1:0",
            tier="balanced",
            ttft_p50=0.35,
            ttft_p95=0.7,
            rate_p50=100,
            rate_p95=75,
            correctness=_HAIKU_35,
            correctness_of="claude-3-5-haiku",
            rpm=1000,
            tpm=2_000_000,
            sources=_sources(),
        ),
        SimulatedModel(
            id="anthropic.claude-3-sonnet-20240229-v1:0",
            tier="strong",
            ttft_p50=0.4,
            ttft_p95=0.8,
            rate_p50=80,
            rate_p95=60,
            correctness=_SONNET_35,
            correctness_of="claude-3-5-sonnet-v1",
            rpm=500,
            tpm=1_000_000,
            sources=_sources(),
        ),
        SimulatedModel(
            id="anthropic.claude-3-opus-20240229-v1:0",
            tier="max",
            ttft_p50=0.9,
            ttft_p95=1.8,
            rate_p50=30,
            rate_p95=22,
            correctness=_OPUS_3,
            correctness_of="claude-3-opus",
            rpm=50,
            tpm=400_000,
            sources=_sources(),
        ),
    ),
)


def _current(id: str, tier: str, ttft: float, rate: float, table: tuple[float, ...], of: str) -> SimulatedModel:
    return SimulatedModel(
        id=id,
        tier=tier,  # type: ignore[arg-type]
        ttft_p50=ttft,
        ttft_p95=2 * ttft,
        rate_p50=rate,
        rate_p95=0.75 * rate,
        correctness=table,
        correctness_of=of,
        sources=_sources(correctness=_STAND_IN),
    )


CURRENT_2026 = Deck(
    name="current-2026",
    date="2026-11-20",
    baseline="anthropic.claude-sonnet-5-5",
    models=(
        _current("anthropic.claude-haiku-5-5", "fast", 0.3, 160, _GPT_4O_MINI, "gpt-4o-mini"),
        _current("amazon.nova-2-lite-v1:0", "balanced", 0.35, 140, _GPT_4O, "gpt-4o"),
        _current("anthropic.claude-sonnet-5-5", "strong", 0.6, 80, _O1_MINI, "o1-mini"),
        _current("anthropic.claude-opus-5-5", "max", 0.9, 50, _O1_MINI, "o1-mini"),
        _current("amazon.nova-micro-v1:0", "fast", 0.2, 200, _LLAMA_8B, "llama-3.1-8b"),
        _current("amazon.nova-lite-v1:0", "fast", 0.25, 170, _LLAMA_70B, "llama-3.1-70b"),
        _current("amazon.nova-pro-v1:0", "balanced", 0.4, 100, _SONNET_35, "claude-3-5-sonnet-v1"),
        _current("anthropic.claude-haiku-4-5-20251001-v1:0", "fast", 0.35, 130, _SONNET_35, "claude-3-5-sonnet-v1"),
        _current("anthropic.claude-sonnet-4-6", "strong", 0.6, 75, _SONNET_35_V2, "claude-3-5-sonnet-v2"),
    ),
)

DECKS = {deck.name: deck for deck in (MANGA_2024, CURRENT_2026)}
