"""Bedrock's ApplyGuardrail, simulated: it counts what it looks at and blocks nothing, since what a guardrail forbids is
its owner's configuration."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from msgspec import Struct

from hapenny.core.errors import Failure

_PATH = re.compile(r"/guardrail/[^/]+/version/[^/]+/apply")
UNIT = 1_000
"""Characters of a text unit (aws.amazon.com/bedrock/pricing: guardrails)."""
_POLICIES = ("topicPolicyUnits", "contentPolicyUnits", "wordPolicyUnits", "sensitiveInformationPolicyUnits")


class _Text(Struct):
    text: str
    qualifiers: list[str] = []


class _Block(Struct):
    text: _Text | None = None
    image: Any = None


class _Asked(Struct):
    source: Literal["INPUT", "OUTPUT"]
    content: list[_Block]
    outputScope: Literal["INTERVENTIONS", "FULL"] = "INTERVENTIONS"


def apply(path: str, body: bytes) -> bytes | None:
    """The answer to ApplyGuardrail; None where something else is asked.

    Raises:
        Failure: `invalid_request`, for a body that it does not take.
    """
    if not _PATH.fullmatch(path.partition("?")[0]):
        return None
    try:
        asked = msgspec.json.decode(body, type=_Asked)
    except msgspec.MsgspecError as error:
        raise Failure(
            "invalid_request", str(error), field="body", fix="send source and content", upstream_status=400,
            upstream_type="ValidationException",
        ) from None  # fmt: skip
    texts = [block.text.text for block in asked.content if block.text is not None]
    units = sum(-(-len(text) // UNIT) for text in texts)
    free = {"sensitiveInformationPolicyFreeUnits": 0, "contextualGroundingPolicyUnits": 0}
    return msgspec.json.encode(
        {
            "usage": dict.fromkeys(_POLICIES, units) | free,
            "action": "NONE",
            "actionReason": "No action.",
            "outputs": [],
            "assessments": [],
            "guardrailCoverage": {"textCharacters": dict.fromkeys(("guarded", "total"), sum(map(len, texts)))},
        }
    )
