"""Dialects of guardrails, near the provider only: Bedrock's ApplyGuardrail and InvokeGuardrailChecks.

Source: botocore's model of bedrock-runtime (1.44). The price of a text unit is that of the policy, as
`hapenny.catalog.fees` lists it; what InvokeGuardrailChecks costs is taken to be the same, policy by policy, a prompt
attack being one of the content filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.guardrails import GuardRequest, Verdict
from hapenny.protocols.codec import Wire
from hapenny.protocols.guardrails.apply import ApplyGuardrail
from hapenny.protocols.guardrails.checks import GuardrailChecks


class GuardCodec(Protocol):
    """Requests out, answers in. No I/O."""

    def encode(self, request: GuardRequest) -> Wire:
        """The call; its path is relative to the provider's base URL."""

    def decode(self, body: bytes, request: GuardRequest) -> Verdict:
        """The answer to `request`. Raises `Failure("upstream")` for one that is not an answer to it."""

    def estimated(self, request: GuardRequest) -> Tokens:
        """What may have been billed where no usage is reported."""

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """The failure behind an error answer (header names in lower case)."""


__all__ = ["ApplyGuardrail", "GuardCodec", "GuardrailChecks"]
