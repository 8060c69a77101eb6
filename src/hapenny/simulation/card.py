"""What a card of simulated models holds: latency, rate, correctness by kind of work, quotas; each with its source.

A benchmark that runs on a card prints its name and `digest()`; a changed figure is a new card with a new date.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import get_args

import msgspec
from msgspec import Struct, field

from hapenny.catalog import Card, default, resolve, spoken
from hapenny.catalog.card import Tier
from hapenny.simulation.workload.truth import KINDS, Kind

TIERS: tuple[Tier, ...] = get_args(Tier)
"""From the cheapest on."""
ASSUMED = "assumed"
ANSWER = "assumed: 650 ms of streaming at 80 tokens/s, the reference application's latency budget"


class SimulatedModel(Struct, frozen=True, kw_only=True):
    """One model's behaviour. Seconds, tokens per second, tokens; p95 is always the slow or long end."""

    id: str
    """As in the catalog, where its price, window and limits stand."""
    tier: Tier
    ttft_p50: float
    ttft_p95: float
    rate_p50: float
    rate_p95: float
    """The rate that 95 % of calls exceed."""
    correctness: dict[Kind, float]
    """Share of right answers by kind of work, at the mean difficulty and with all facts in the prompt."""
    judge_error: float
    """As a judge of two answers: the share of verdicts that are wrong, of each kind (`verdicts`)."""
    output_p50: int = 52
    output_p95: int = 150
    """Length of answers to questions whose truth says nothing of it."""
    rpm: int = 1000
    tpm: int = 2_000_000
    sources: dict[str, str]
    """By field, for `correctness` by kind: source with date, or `assumed`."""


class Lineup(Struct, frozen=True, kw_only=True, dict=True):
    """A card: its models and what they share."""

    name: str
    date: str
    baseline: str
    models: tuple[SimulatedModel, ...]
    shared: dict[Kind, float]
    """By kind of work: the correlation of two models' success on a question (tetrachoric), which comes from the
    question's own difficulty."""
    visible: float = 0.5
    """How much of a question's difficulty its text tells: the correlation of both. With it the best score of the text
    alone reaches an APGR of .66 to .73 on support questions (`make_tables`); fitted classifiers reach .67 on recorded
    outcomes, the length of the prompt .61 (nine pairs of public per-prompt outcomes)."""
    wording: float = 0.3
    """The part of what is a model's own luck with a question that changes with the wording; assumed."""
    tail_share: float = 0.01
    tail_power: float = 1.5
    """That share of calls takes Pareto(power) times as long to the first token, at most 20 times; assumed, so that the
    99.9th percentile is about six times the median."""
    pace_range: tuple[float, float] = (0.7, 1.5)
    """The range in which `latents` other than 0 draw a factor on all times; assumed."""
    prefill_floor: float = 0.25
    """The part of the time to first token that a prompt-cache hit of the whole prompt does not save; assumed."""
    tier_pace: dict[str, float] = field(default_factory=lambda: {"standard": 1.0, "priority": 0.8, "flex": 1.6})
    """Factor on all times by service tier; assumed."""
    sources: dict[str, str] = {}
    """Where `shared` comes from, by kind."""

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
        """The model behind a public name, with the catalog card of that name: the same model may be sold by several
        providers, each at its own price. A chat model that is not on the card is played by the card's model of its
        tier, at its own price: how fast and how often right it is, is then that model's."""
        card = resolve(name) or default().served(name, ("bedrock", "anthropic", "openai"))
        if card is None:
            return None
        model = self._by_id.get(card.id) or self._by_spoken.get(spoken(card.id))
        if model is None and card.kind == "chat":
            model = self.of_tier(card.tier or "balanced") or self._by_id.get(self.baseline)
        return (model, card) if model is not None else None

    def plays(self, model: SimulatedModel, card: Card) -> str:
        """The id under which a model that `find` returned answers: its own, or that of the model it stands in for."""
        return model.id if spoken(model.id) == spoken(card.id) else card.id

    def of_tier(self, tier: str) -> SimulatedModel | None:
        """The model that serves `tier`."""
        return next((model for model in self.models if model.tier == tier), None)

    def tiers(self) -> dict[str, str]:
        """The id of the model that serves each tier the card has, the cheapest tier first."""
        return {tier: model.id for tier in TIERS if (model := self.of_tier(tier))}

    def describe(self) -> list[str]:
        """Two small tables for people: what is simulated and how often it is right, and where each figure is from."""
        notes: dict[str, str] = {}

        def noted(text: str, source: str) -> str:
            return text + notes.setdefault(source, _raised(len(notes)))

        heads = ("tier", "model", "first token", "tokens/s", "answer", "calls, tokens a minute")
        paces: list[tuple[str, ...]] = [heads]
        shares = [("right in", "", *(kind.replace("_", " ") for kind in KINDS), "judge errs")]
        for model in self.models:
            origin = model.sources
            name = spoken(model.id)
            paces.append(
                (
                    model.tier,
                    name,
                    noted(f"{model.ttft_p50:g}/{model.ttft_p95:g} s", origin["ttft_p50"]),
                    noted(f"{model.rate_p50:g}/{model.rate_p95:g}", origin["rate_p50"]),
                    noted(f"{model.output_p50}/{model.output_p95}", origin["output_p50"]),
                    noted(f"{model.rpm:,}, {model.tpm:,}", origin["rpm"]),
                )
            )
            rights = [noted(f"{model.correctness[kind]:.1%}", origin[kind]) for kind in KINDS]
            shares.append(("", name, *rights, noted(f"{model.judge_error:.1%}", origin["judge_error"])))
        together = [noted(f"{self.shared[kind]:.2f}", self.sources[kind]) for kind in KINDS]
        shares.append(("", "shared by models", *together, ""))
        lines = [f"simulated models: card {self.name} of {self.date}, {self.digest()}, baseline {self.baseline}"]
        lines += [*_table(paces), "  two figures are p50/p95, p95 the slow or long end", *_table(shares)]
        return lines + [f"  {sign} {source}" for source, sign in notes.items()]


def _raised(number: int) -> str:
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(number + 1))


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
