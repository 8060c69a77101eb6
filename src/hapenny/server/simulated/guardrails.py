"""Guardrails of a simulated account: ApplyGuardrail and InvokeGuardrailChecks, as botocore's model words them.

Whatever its id, a guardrail here anonymises what the built-in rules find, denies a topic whose word is `forbidden`, and
filters what is `hateful`; known injections are prompt attacks. It bills the text units of those policies.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hapenny.core.errors import Failure, invalid
from hapenny.core.events import Tokens
from hapenny.guarding import injection
from hapenny.guarding.actions import GROUPS
from hapenny.guarding.detector import Detector
from hapenny.guarding.finding import Finding
from hapenny.server.call import Call, Endpoint
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response
from hapenny.simulation.bill import GUARDRAIL
from hapenny.simulation.provider import SimulatedProvider

_NAMES = {
    "email": "EMAIL", "phone": "PHONE", "card": "CREDIT_DEBIT_CARD_NUMBER", "iban": "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
    "ip": "IP_ADDRESS", "secret": "PASSWORD", "ssn": "US_SOCIAL_SECURITY_NUMBER", "my_number": "DRIVER_ID",
    "cccd": "DRIVER_ID", "postal_code": "ADDRESS",
}  # fmt: skip
_MESSAGE = "Sorry, the guardrail does not allow this."
_UNIT = 1_000


class Guardrails:
    """Both operations, for one provider's account."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self._provider = provider
        self._rules = Detector(GROUPS["all"])

    def apply(self) -> Endpoint:
        """`POST /guardrail/{id}/version/{version}/apply`."""

        async def answer(call: Call) -> Response:
            asked = _body(call.body)
            if asked.get("source") not in ("INPUT", "OUTPUT"):
                raise invalid("source is neither INPUT nor OUTPUT", "source", "INPUT or OUTPUT")
            texts = [_text(each.get("text") if isinstance(each, dict) else None) for each in _list(asked, "content")]
            return as_json(self._applied(call, texts))

        return answer

    def checks(self) -> Endpoint:
        """`POST /guardrail-checks/invoke`."""

        async def answer(call: Call) -> Response:
            asked = _body(call.body)
            checks = asked.get("checks")
            if not isinstance(checks, dict) or not checks:
                raise invalid(
                    "checks is empty", "checks", "at least one of contentFilter, promptAttack, sensitiveInformation"
                )
            places = [
                (number, place, _text(content))
                for number, message in enumerate(_list(asked, "messages"))
                for place, content in enumerate(_list(message, "content"))
            ]
            return as_json(self._checked(call, checks, places))

        return answer

    def _applied(self, call: Call, texts: list[str]) -> dict[str, Any]:
        count = sum(max(1, -(-len(text) // _UNIT)) for text in texts)
        whole = " ".join(texts).lower()
        assessment: dict[str, Any] = {}
        if "forbidden" in whole:
            assessment["topicPolicy"] = {"topics": [{"name": "forbidden", "type": "DENY", "action": "BLOCKED"}]}
        if "hateful" in whole:
            hate = {"type": "HATE", "confidence": "HIGH", "action": "BLOCKED"}
            assessment["contentPolicy"] = {"filters": [hate]}
        matches = [self._rules.find(text) for text in texts]
        entities = [
            {"match": text[each.start : each.end], "type": _NAMES[each.kind], "action": "ANONYMIZED"}
            for text, items in zip(texts, matches, strict=True)
            for each in items
        ]
        if entities:
            assessment["sensitiveInformationPolicy"] = {"piiEntities": entities, "regexes": []}
        blocked = "topicPolicy" in assessment or "contentPolicy" in assessment
        outputs: list[dict[str, str]] = []
        if blocked:
            outputs = [{"text": _MESSAGE}]
        elif entities:
            outputs = [{"text": _anonymised(text, items)} for text, items in zip(texts, matches, strict=True)]
        usage = {
            "topicPolicyUnits": count, "contentPolicyUnits": count, "wordPolicyUnits": 0,
            "sensitiveInformationPolicyUnits": count, "sensitiveInformationPolicyFreeUnits": 0,
            "contextualGroundingPolicyUnits": 0,
        }  # fmt: skip
        self._bill(call, (("guardrail_topic", count), ("guardrail_content", count), ("guardrail_pii", count)))
        return {
            "usage": usage,
            "action": "GUARDRAIL_INTERVENED" if outputs else "NONE",
            "outputs": outputs,
            "assessments": [assessment] if assessment else [],
            "guardrailCoverage": {"textCharacters": {"guarded": len("".join(texts)), "total": len("".join(texts))}},
        }

    def _checked(self, call: Call, checks: dict[str, Any], places: list[tuple[int, int, str]]) -> dict[str, Any]:
        count = sum(max(1, -(-len(text) // _UNIT)) for _, _, text in places)
        whole = "\n".join(text for _, _, text in places)
        results: dict[str, Any] = {}
        if "contentFilter" in checks:
            score = 0.9 if "hateful" in whole.lower() else 0.0
            results["contentFilter"] = {"results": [{"category": "HATE", "severityScore": score}]}
        if "promptAttack" in checks:
            score = 0.9 if injection.find(whole) else 0.0
            results["promptAttack"] = {"results": [{"category": "PROMPT_INJECTION", "severityScore": score}]}
        if "sensitiveInformation" in checks:
            results["sensitiveInformation"] = {
                "results": [
                    {
                        "type": _NAMES[each.kind], "confidenceScore": 0.95, "beginOffset": each.start,
                        "endOffset": each.end, "messageIndex": number, "contentIndex": place,
                    }
                    for number, place, text in places
                    for each in self._rules.find(text)
                ],
                "truncated": False,
            }  # fmt: skip
        names = {"contentFilter": "guardrail_content", "promptAttack": "guardrail_content"}
        self._bill(call, tuple((names.get(check, "guardrail_pii"), count) for check in results))
        return {"results": results, "usage": {check: {"textUnits": count} for check in results}}

    def _bill(self, call: Call, units: tuple[tuple[str, int], ...]) -> None:
        clock = call.gateway.clock
        self._provider.bill.add(
            id=clock.new_id("guard_"), model=GUARDRAIL, called=GUARDRAIL, region="us-east-1", service_tier="standard",
            tokens=Tokens(units=units), outcome="complete", at=clock.wall(),
        )  # fmt: skip


def _anonymised(text: str, items: list[Finding]) -> str:
    for each in reversed(items):
        text = text[: each.start] + f"{{{_NAMES[each.kind]}}}" + text[each.end :]
    return text


def _body(body: bytes) -> dict[str, Any]:
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise Failure("invalid_request", "the body is no JSON object")
    return asked


def _list(asked: Any, name: str) -> list[Any]:
    value = asked.get(name) if isinstance(asked, dict) else None
    if not isinstance(value, list) or not value:
        raise invalid(f"{name} is empty", name, "at least one entry")
    return value


def _text(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        raise invalid("a piece of content has no text", "content", "text; pictures are not simulated")
    return text
