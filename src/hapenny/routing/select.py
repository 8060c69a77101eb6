"""Our decision alone, for callers that make the model call themselves: a Lambda, a Prompt Flows condition, a tool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from hapenny.routing.names import TIERS
from hapenny.routing.router import Router


class Question(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a decision needs, as `POST /v1/select` takes it."""

    text: str
    intent: str = "unknown"
    route: str = "default"
    session: str = ""
    prefix_tokens: int = 0


class Selection(Struct, kw_only=True, frozen=True):
    """The tier (and model, where tiers are configured), the score and reason, and the promise that covers it."""

    tier: str
    model: str | None
    score: float
    why: str
    certificate: str | None = None
    mode: str | None = None
    """Of the stage `tiers` on the route; None: not known here."""
    serves: str | None = None
    """The model that really answers `auto` there: the route's baseline where the stage only watches or is off."""


def select(
    question: Question | str,
    router: Router,
    models: dict[str, str] | None = None,
    now: float = 0.0,
    *,
    mode: str | None = None,
    baseline: str | None = None,
) -> Selection:
    """Decides one request.

    Args:
        models: model by tier; a tier without one is served by the next stronger that has one, as on the server.
        mode: of the stage on the question's route.
        baseline: the model that answers there where the stage is not on.
    """
    asked = Question(text=question) if isinstance(question, str) else question
    ruling = router.rule(
        asked.text, asked.intent, asked.route, session=asked.session, now=now, prefix_tokens=asked.prefix_tokens
    )
    known, tier = models or {}, ruling.tier
    order = (*TIERS[TIERS.index(tier) :], *reversed(TIERS[: TIERS.index(tier)]))
    tier = next((each for each in order if each in known), tier)
    model = known.get(tier)
    return Selection(
        tier=tier,
        model=model,
        mode=mode,
        serves=baseline if mode is not None and mode != "on" else model,
        score=round(ruling.score, 4),
        why=ruling.why,
        certificate=ruling.certificate.header() if ruling.certificate is not None else None,
    )


def select_json(
    body: bytes,
    router: Router,
    models: dict[str, str] | None = None,
    now: float = 0.0,
    *,
    tenant: str | None = None,
    stands: Callable[[str], tuple[str | None, str | None]] | None = None,
    may: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """The same over HTTP: a JSON `Question` in, a JSON-ready object out.

    Args:
        body: the question.
        router, models, now: as for `select`.
        tenant: whose sessions are meant; sessions of requests are named together with their tenant.
        stands: the mode of the stage `tiers` on a route, and the route's baseline.
        may: raises for a route the caller may not use.

    Raises:
        ValueError: naming the field that is wrong.
    """
    try:
        asked = msgspec.json.decode(body, type=Question)
    except msgspec.DecodeError as error:
        raise ValueError(f"{error}. Fix: send text, and optionally intent, route, session, prefix_tokens") from None
    if may is not None:
        may(asked.route)
    if tenant is not None and asked.session:
        asked = msgspec.structs.replace(asked, session=f"{tenant}\0{asked.session}")
    mode, baseline = stands(asked.route) if stands is not None else (None, None)
    plain: dict[str, Any] = msgspec.to_builtins(select(asked, router, models, now, mode=mode, baseline=baseline))
    return plain
