"""Our decision alone, for callers that make the model call themselves: a Lambda, a Prompt Flows condition, a tool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

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


def select(
    question: Question | str, router: Router, models: dict[str, str] | None = None, now: float = 0.0
) -> Selection:
    """Decides one request. `models`: model by tier."""
    asked = Question(text=question) if isinstance(question, str) else question
    ruling = router.rule(
        asked.text, asked.intent, asked.route, session=asked.session, now=now, prefix_tokens=asked.prefix_tokens
    )
    return Selection(
        tier=ruling.tier,
        model=(models or {}).get(ruling.tier),
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
    may: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """The same over HTTP: a JSON `Question` in, a JSON-ready object out.

    Args:
        body: the question.
        router, models, now: as for `select`.
        tenant: whose sessions are meant; sessions of requests are named together with their tenant.
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
    plain: dict[str, Any] = msgspec.to_builtins(select(asked, router, models, now))
    return plain
