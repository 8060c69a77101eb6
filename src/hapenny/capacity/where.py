"""Bedrock or servers of one's own, and why: one line for each reason."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from hapenny.capacity.planner import CapacityPlan

Lean = Literal["bedrock", "own servers", "either", "not said"]
HOURS_A_MONTH = 730.0


class Needs(Struct, frozen=True, kw_only=True):
    """What the operator says; None: nothing was said."""

    own_weights: bool | None = None
    """Weights, adapters or decoding that a hosted model does not offer."""
    special_architecture: bool | None = None
    """A model that Bedrock neither lists nor imports."""
    own_pipelines: bool | None = None
    """Training and evaluation on SageMaker or the like, which serving should join."""
    operations_usd_a_month: float | None = None
    """What it costs to run servers: people, on-call, updates."""


class Reason(Struct, frozen=True, kw_only=True):
    """One reason."""

    topic: str
    leans: Lean
    why: str


class Advice(Struct, frozen=True, kw_only=True):
    """Where to serve, and why."""

    where: Lean
    why: str
    reasons: list[Reason]


def where(plan: CapacityPlan, needs: Needs | None = None) -> Advice:
    """What speaks for which. What only servers of one's own can do decides; else the cheaper one that holds."""
    needs = needs or Needs()
    hosted = [option for option in plan.options if not option.name.endswith("servers")]
    owned = [option for option in plan.options if option.name.endswith("servers")]
    best = min((option.usd_per_h for option in hosted if option.holds), default=None)
    best = best if best is not None else min(option.usd_per_h for option in hosted)
    servers = owned[0] if owned else None
    effort = needs.operations_usd_a_month
    hourly = (effort or 0.0) / HOURS_A_MONTH
    reasons = [_volume(plan, best, servers.usd_per_h if servers else None, servers.holds if servers else True)]
    for topic, said, yes, no in (
        (
            "customisation", needs.own_weights,
            "weights, adapters or decoding of your own: full control is on your servers alone",
            "hosted models as they are do",
        ),
        (
            "special architecture", needs.special_architecture,
            "a model that Bedrock neither lists nor imports can be served by you alone",
            "Bedrock has the model",
        ),
        (
            "pipelines", needs.own_pipelines,
            "training and evaluation run on your platform: serving beside them moves no weights",
            "no pipeline of yours has to be joined",
        ),
    ):  # fmt: skip
        lean: Lean = "not said" if said is None else "own servers" if said else "bedrock"
        reasons.append(Reason(topic=topic, leans=lean, why="not said" if said is None else yes if said else no))
    if effort is None:
        reasons.append(
            Reason(
                topic="operations", leans="bedrock",
                why="servers want drivers, updates, scaling and somebody on call; what that costs was not said",
            )
        )  # fmt: skip
    else:
        share = f"${effort:,.0f} a month is ${hourly:,.2f} an hour beside the servers"
        reasons.append(Reason(topic="operations", leans="bedrock" if effort > 0 else "either", why=share))
    must = [each.topic for each in reasons if each.leans == "own servers" and each.topic in _ONLY_OWN]
    if must:
        return Advice(where="own servers", why=f"nothing else can: {', '.join(must)}", reasons=reasons)
    if servers is None:
        return Advice(
            where="bedrock", why="nothing asks for servers of your own, and what one costs was not said",
            reasons=reasons,
        )  # fmt: skip
    total = servers.usd_per_h + hourly
    if servers.holds and total < best:
        return Advice(
            where="own servers", why=f"${total:,.2f} an hour with operations, against ${best:,.2f}", reasons=reasons
        )
    return Advice(where="bedrock", why=f"${best:,.2f} an hour, against ${total:,.2f} with operations", reasons=reasons)


_ONLY_OWN = frozenset({"customisation", "special architecture"})


def _volume(plan: CapacityPlan, hosted: float, owned: float | None, holds: bool) -> Reason:
    rate = plan.requests / max(plan.hours, 1e-9)
    if owned is None:
        why = f"{rate:,.0f} requests an hour for ${hosted:,.2f}; what a server costs was not said (--server-usd-per-h)"
        return Reason(topic="volume", leans="not said", why=why)
    even = owned / max(hosted, 1e-9)
    why = (
        f"{rate:,.0f} requests an hour: ${hosted:,.2f} by the token, ${owned:,.2f} on servers; "
        f"level at {even:.2g} times this traffic, as long as the same servers carry it"
    )
    if not holds:
        return Reason(topic="volume", leans="bedrock", why=why + "; the servers do not hold the objective")
    return Reason(topic="volume", leans="own servers" if owned < hosted else "bedrock", why=why)
