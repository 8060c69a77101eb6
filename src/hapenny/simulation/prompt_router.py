"""Simulated prompt routers: Bedrock's own routing, which says in its trace whom it chose.

A default router has two models of one family of which the card has a cheaper and a better one; its own rule is not
public, so that here a prompt goes to the better one by its length and the words it asks with (assumed).
"""

from __future__ import annotations

import re

from hapenny.core.messages import Request
from hapenny.simulation.card import TIERS, Lineup
from hapenny.simulation.request_text import question_of

_ROUTER = re.compile(
    r"arn:aws[a-z-]*:bedrock:([a-z0-9-]+):([0-9]*):(?:default-)?prompt-router/([A-Za-z0-9.:_-]{1,100})"
)
_HARD = re.compile(r"\b(?:why|compare|explain|prove|derive|calculate|plan|analy[sz]e|step by step)\b", re.IGNORECASE)
LONG = 400
"""Characters from which a question goes to the better model."""


def is_router(name: str) -> bool:
    """Whether a model id is the ARN of a prompt router."""
    return _ROUTER.fullmatch(name) is not None


def chosen(lineup: Lineup, name: str, request: Request) -> tuple[str, str] | None:
    """The id of the model that a router chooses for a request, and its ARN; None for what is no router of the card."""
    match = _ROUTER.fullmatch(name)
    if match is None:
        return None
    region, maker = match[1], match[2].partition(":")[0].partition(".")[0]
    own = [model for model in lineup.models if model.id.partition(".")[0] == maker] or list(lineup.models)
    own.sort(key=lambda model: TIERS.index(model.tier))
    question = question_of(request)
    hard = len(question) > LONG or _HARD.search(question[:LONG]) is not None
    model = own[min(len(own) - 1, 2)] if hard else own[0]
    return model.id, f"arn:aws:bedrock:{region}::foundation-model/{model.id}"
