"""A FAQ bot's weeks in virtual time: the semantic cache opens by labels of its own, and what came of it.

The questions are those about the shop's rules (returns, shipping, the store) of a traffic mix, as often asked again and
in as many wordings as the mix says. The same messages go through two gateways in one hidden world: with the semantic
cache, and with all the same but that. So what it saves and what it loses are its own.
"""

from __future__ import annotations

import json

import msgspec
from msgspec import Struct

from hapenny.config import STAGES, Config, load
from hapenny.evidence.bounds import upper_bound
from hapenny.gateway.gateway import Gateway
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.workload.mix import Mix
from hapenny.simulation.workload.shoppers import Population
from hapenny.studies.paired import Paired
from hapenny.studies.virtual_run import paired, run

ASKED = ("returns", "shipping", "store")
CARD = "current-2026"
A_DAY = 300
MAX_ERROR, MAX_WRONG_HITS = 0.02, 0.10
"""What the operator of this bot allows: wrong answers by requests, and by hits. Twice the defaults: its judge errs by
its card in one verdict of twenty, and each label it errs on speaks against the cache."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of the weeks. Money in nano-dollars."""

    messages: int
    days: float
    labels: int
    before: int | None
    """Messages before the first hit; None: there was none."""
    hits: int
    wrong: int
    """Hits that are wrong by the workload's truth."""
    wrong_without: int
    """Of the answers to the same messages without the semantic cache."""
    bound: float
    """The share of wrong hits, at most, with 95 % confidence (exact, one-sided)."""
    paid: int
    """All that the provider's bill says: with the judge's verdicts and the audits."""
    evidence: int
    """Of that, verdicts and audits."""
    paid_without: int
    quality: Paired
    """Right answers with the semantic cache, beside those without."""
    judge: str
    judge_error: float
    outlook: str

    @property
    def saved(self) -> float:
        """Share of the bill without the semantic cache that it saved, its evidence paid for."""
        return 1 - self.paid / self.paid_without


def narrowed(mix: Mix) -> Mix | None:
    """The mix with the questions about rules alone, and no passages: the rules stand in the system prompt. None: it has
    no such questions."""
    replace = msgspec.structs.replace
    chosen = {name: intent for name, intent in mix.intents.items() if intent.asks in ASKED}
    whole = sum(intent.share for intent in chosen.values())
    if not whole:
        return None
    return replace(
        mix,
        intents={
            name: replace(intent, share=intent.share / whole, tokens=replace(intent.tokens, documents=0))
            for name, intent in chosen.items()
        },
        traffic=replace(mix.traffic, campaigns=(), releases=()),
    )


def configuration(semantic: bool) -> Config:
    """What is on: equal questions, the provider's prompt cache, and the semantic cache or not."""
    on = {"exact", "flights", "prefix", *(("semantic",) if semantic else ())}
    stages = {spec.name: "on" if spec.name in on else "off" for spec in STAGES}
    text = {
        "backends": {"simulated": {"kind": "simulated", "card": CARD}},
        "tiers": LINEUPS[CARD].tiers(),
        "routes": {"default": {"baseline": "strong", "holdout": 0.0, "stages": stages}},
        "stages": {"semantic": {"judge": "strong", "max_error": MAX_ERROR, "max_wrong_hits": MAX_WRONG_HITS}},
        "ledger": None,
    }
    return load(text=json.dumps(text))


def play(mix: Mix, messages: int, *, seed: int = 7, latents: int = 0) -> Outcome | None:
    """Plays both gateways.

    Args:
        mix: of which the questions about rules are asked.
        messages: how many, 300 a day.
        seed: of the shoppers, latencies and the gateway's own chance.
        latents: which draw of the hidden world.

    Returns:
        None where the mix has no questions about rules.
    """
    faq = narrowed(mix)
    if faq is None:
        return None
    population = Population(faq, seed=seed)
    asked = population.messages(messages, messages / A_DAY)
    gateways: list[Gateway] = []
    without, on = (
        run(
            asked, population.shop, config=configuration(semantic), card=CARD, seed=seed, latents=latents,
            model="strong", ready=gateways.append, vectors={},
        )
        for semantic in (False, True)
    )  # fmt: skip
    cache = gateways[-1].parts.semantic
    stats = cache.stats() if cache is not None else {}
    hits = [place for place, record in enumerate(on.records) if record.savings.get("semantic", 0) > 0]
    wrong = sum(not on.records[place].right for place in hits)
    judge = next(model for model in LINEUPS[CARD].models if model.id == LINEUPS[CARD].tiers()["strong"])
    return Outcome(
        messages=len(asked),
        days=messages / A_DAY,
        labels=sum(each.labels for each in stats.values()),
        before=hits[0] if hits else None,
        hits=len(hits),
        wrong=wrong,
        wrong_without=sum(not without.records[place].right for place in hits),
        bound=float(upper_bound(wrong, len(hits))) if hits else 1.0,
        paid=on.bill,
        evidence=on.background,
        paid_without=without.bill,
        quality=paired(on, without),
        judge=judge.id,
        judge_error=judge.judge_error,
        outlook="; ".join(f"{name}: {each.outlook}" for name, each in stats.items()),
    )
