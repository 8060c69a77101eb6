"""ApplyGuardrail: `POST /guardrail/ID/version/VERSION/apply`, texts in, texts as they may go on out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.guardrails import GuardRequest, Verdict, units
from hapenny.protocols.bedrock import errors
from hapenny.protocols.codec import Wire

_UNITS = {
    "contentPolicyUnits": "guardrail_content",
    "topicPolicyUnits": "guardrail_topic",
    "wordPolicyUnits": "guardrail_word",
    "sensitiveInformationPolicyUnits": "guardrail_pii",
    "sensitiveInformationPolicyFreeUnits": "guardrail_pii_free",
    "contextualGroundingPolicyUnits": "guardrail_grounding",
    "contentPolicyImageUnits": "guardrail_image",
    "automatedReasoningPolicyUnits": "guardrail_reasoning",
}
_LISTS = {
    "topicPolicy": ("topics", "name"),
    "contentPolicy": ("filters", "type"),
    "sensitiveInformationPolicy": ("piiEntities", "type"),
    "contextualGroundingPolicy": ("filters", "type"),
}
"""Where an assessment lists what it found, and by which word."""


class ApplyGuardrail:
    """A guardrail of the account, by id or ARN and version."""

    def __init__(self, guardrail: str, version: str) -> None:
        self._path = f"/guardrail/{quote(guardrail, safe='')}/version/{quote(version, safe='')}/apply"

    def encode(self, request: GuardRequest) -> Wire:
        """All texts at once; their whole state is asked for, so that each text has its own answer."""
        body = {
            "source": request.direction.upper(),
            "content": [{"text": {"text": text}} for text in request.texts],
            "outputScope": "INTERVENTIONS",
        }
        headers = {"content-type": "application/json", "accept": "application/json"}
        return Wire(self._path, headers, msgspec.json.encode(body))

    def decode(self, body: bytes, request: GuardRequest) -> Verdict:
        """Blocked where any policy blocked; else the texts with what was anonymised."""
        answer = _object(body)
        told = answer.get("usage")
        usage: dict[str, Any] = told if isinstance(told, dict) else {}
        counted = tuple(
            (name, usage[key]) for key, name in _UNITS.items() if type(usage.get(key)) is int and usage[key]
        )
        kinds, blocks = _found(answer.get("assessments"))
        outputs = [
            each["text"]
            for each in answer.get("outputs") or ()
            if isinstance(each, dict) and isinstance(each.get("text"), str)
        ]
        action = answer.get("action")
        if action not in ("NONE", "GUARDRAIL_INTERVENED"):
            raise Failure("upstream", "The guardrail's answer does not say what it did.")
        texts, blocked, message = request.texts, "", ""
        if action == "GUARDRAIL_INTERVENED":
            # Where nothing says that it only anonymised, it blocked: an answer that we do not read is no permission.
            if blocks or not kinds or len(outputs) != len(request.texts):
                blocked = ", ".join(blocks or kinds) or "guardrail"
                message = "\n".join(outputs)
            else:
                texts = tuple(outputs)
        return Verdict(
            texts=texts, blocked=blocked, message=message, found=tuple(kinds), tokens=Tokens(units=counted),
            reported=bool(usage),
        )  # fmt: skip

    def estimated(self, request: GuardRequest) -> Tokens:
        """Content and sensitive information, the policies that most guardrails have."""
        count = units(request.texts)
        return Tokens(units=(("guardrail_content", count), ("guardrail_pii", count)))

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """As the runtime's errors."""
        return errors.decode(status, headers, body)


def _found(assessments: Any) -> tuple[list[str], list[str]]:
    """What policies found, and which of it they block; in words of the policies, without any text."""
    kinds: dict[str, None] = {}
    blocks: dict[str, None] = {}
    for assessment in assessments if isinstance(assessments, list) else ():
        for policy, value in assessment.items() if isinstance(assessment, dict) else ():
            if not isinstance(value, dict):
                continue
            name, word = _LISTS.get(policy, ("", ""))
            for list_name, entries in value.items():
                for entry in entries if isinstance(entries, list) else ():
                    if not isinstance(entry, dict) or entry.get("action") in (None, "NONE"):
                        continue
                    said = str(entry.get(word) or "")[:40] if list_name == name else ""
                    label = f"{policy.removesuffix('Policy')} {said}".strip()
                    kinds.setdefault(label)
                    if entry["action"] == "BLOCKED":
                        blocks.setdefault(label)
    return list(kinds), list(blocks)


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise Failure("upstream", "The guardrail's answer is no JSON object.")
    return answer


parsed = _object
