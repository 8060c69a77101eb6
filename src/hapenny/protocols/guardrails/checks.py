"""InvokeGuardrailChecks: `POST /guardrail-checks/invoke`, checks without a guardrail of the account.

It judges and changes nothing: what it finds with enough severity is blocked here, and sensitive information is taken
out at the offsets that it names. Offsets count characters of a message's content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.guardrails import GuardRequest, Verdict, units
from hapenny.core.numbers import finite
from hapenny.protocols.bedrock import errors
from hapenny.protocols.codec import Wire
from hapenny.protocols.guardrails.apply import parsed

_CONTENT = ("VIOLENCE", "HATE", "SEXUAL", "MISCONDUCT", "INSULTS")
_ATTACKS = ("JAILBREAK", "PROMPT_INJECTION", "PROMPT_LEAKAGE")
ENTITIES = (
    "EMAIL", "PHONE", "NAME", "ADDRESS", "CREDIT_DEBIT_CARD_NUMBER", "CREDIT_DEBIT_CARD_CVV",
    "INTERNATIONAL_BANK_ACCOUNT_NUMBER", "IP_ADDRESS", "PASSWORD", "PIN", "AWS_ACCESS_KEY", "AWS_SECRET_KEY",
    "US_SOCIAL_SECURITY_NUMBER", "US_PASSPORT_NUMBER", "US_BANK_ACCOUNT_NUMBER", "DRIVER_ID",
)  # fmt: skip
"""Kinds of sensitive information that are asked for."""
_UNITS = {
    "contentFilter": "guardrail_content",
    "promptAttack": "guardrail_content",
    "sensitiveInformation": "guardrail_pii",
}


class GuardrailChecks:
    """Checks, and from which severity or confidence they count.

    Args:
        content: whether content filters run.
        prompt_attack: whether prompt attacks are looked for in input.
        sensitive: whether sensitive information is looked for.
        severity: 0 to 1.
    """

    def __init__(self, *, content: bool, prompt_attack: bool, sensitive: bool, severity: float) -> None:
        self._content = content
        self._attack = prompt_attack
        self._sensitive = sensitive
        self._severity = severity

    def encode(self, request: GuardRequest) -> Wire:
        """One message with each text as a piece of content."""
        role = "user" if request.direction == "input" else "assistant"
        body = {
            "messages": [{"role": role, "content": [{"text": text} for text in request.texts]}],
            "checks": self._checks(request),
        }
        headers = {"content-type": "application/json", "accept": "application/json"}
        return Wire("/guardrail-checks/invoke", headers, msgspec.json.encode(body))

    def decode(self, body: bytes, request: GuardRequest) -> Verdict:
        """Blocked by the first check that is severe enough; else the texts without what is sensitive."""
        answer = parsed(body)
        results = answer.get("results")
        if not isinstance(results, dict):
            raise Failure("upstream", "The guardrail's answer holds no results.")
        severe = [
            f"{check} {entry.get('category')}"[:60]
            for check in ("contentFilter", "promptAttack")
            for entry in _entries(results, check)
            if _number(entry.get("severityScore")) >= self._severity > 0
            or _number(entry.get("severityScore")) > self._severity
        ]
        spans: list[tuple[int, int, int, str]] = []
        for entry in _entries(results, "sensitiveInformation"):
            if _number(entry.get("confidenceScore")) >= self._severity:
                place, begin, end = entry.get("contentIndex"), entry.get("beginOffset"), entry.get("endOffset")
                if type(place) is not int or type(begin) is not int or type(end) is not int:
                    raise Failure("upstream", "The guardrail's answer does not say where it found something.")
                spans.append((place, begin, end, str(entry.get("type"))[:40]))
        cut = results.get("sensitiveInformation")
        if isinstance(cut, dict) and cut.get("truncated") is True:
            severe.append("sensitiveInformation truncated")  # there is more than it lists
        texts = _without(request.texts, spans)
        usage = answer.get("usage")
        counted: dict[str, int] = {}
        for check, unit in _UNITS.items():
            part = usage.get(check) if isinstance(usage, dict) else None
            if isinstance(part, dict) and type(part.get("textUnits")) is int:
                counted[unit] = counted.get(unit, 0) + part["textUnits"]
        return Verdict(
            texts=texts,
            blocked=", ".join(severe),
            found=tuple(dict.fromkeys([*severe, *(f"sensitiveInformation {kind}" for _, _, _, kind in spans)])),
            tokens=Tokens(units=tuple(counted.items())) if counted else self.estimated(request),
            reported=bool(counted),
        )

    def estimated(self, request: GuardRequest) -> Tokens:
        """A text unit of each check for every 1,000 characters."""
        counted: dict[str, int] = {}
        for check in self._checks(request):
            unit = _UNITS[check]
            counted[unit] = counted.get(unit, 0) + units(request.texts)
        return Tokens(units=tuple(counted.items()))

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """As the runtime's errors."""
        return errors.decode(status, headers, body)

    def _checks(self, request: GuardRequest) -> dict[str, Any]:
        checks: dict[str, Any] = {}
        if self._content:
            checks["contentFilter"] = {"categories": [{"category": each} for each in _CONTENT]}
        if self._attack and request.direction == "input":
            checks["promptAttack"] = {"categories": [{"category": each} for each in _ATTACKS]}
        if self._sensitive:
            checks["sensitiveInformation"] = {"entities": [{"type": each} for each in ENTITIES]}
        return checks


def _entries(results: dict[str, Any], check: str) -> list[dict[str, Any]]:
    part = results.get(check)
    entries = part.get("results") if isinstance(part, dict) else None
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _number(value: Any) -> float:
    return finite(value) or 0.0


def _without(texts: tuple[str, ...], spans: list[tuple[int, int, int, str]]) -> tuple[str, ...]:
    """Texts with `{TYPE}` in place of each span, as Bedrock writes it."""
    out = list(texts)
    last: dict[int, int] = {}
    for place, begin, end, kind in sorted(spans, key=lambda each: (each[0], -each[2], each[1])):
        if not 0 <= place < len(out) or not 0 <= begin < end <= len(texts[place]):
            raise Failure("upstream", "The guardrail's answer points outside of what was asked.")
        end = min(end, last.get(place, end))
        if begin < end:
            out[place] = out[place][:begin] + f"{{{kind}}}" + out[place][end:]
            last[place] = begin
    return tuple(out)
