"""What can go wrong, in words every protocol can map to its own.

A codec turns a `Failure` into its wire form by `kind`; nothing else decides about status or type.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "invalid_request",  # the request is wrong: field and fix are named
    "context_overflow",  # the prompt is longer than the model's window
    "authentication",
    "permission",
    "budget",  # a budget of the tenant is spent: clients must not retry
    "not_found",
    "conflict",
    "too_large",
    "rate_limited",
    "timeout",
    "model_error",  # the model failed on this request
    "truncated",  # the upstream's answer ended before its closing event
    "overloaded",
    "unavailable",
    "provider_account",  # a provider refuses the gateway's own account: credit, key, access or quota of the operator
    "upstream",  # the upstream answered what no protocol explains
    "internal",
]

STATUS: dict[Kind, int] = {
    "invalid_request": 400,
    "context_overflow": 400,
    "authentication": 401,
    "permission": 403,
    "budget": 402,
    "not_found": 404,
    "conflict": 409,
    "too_large": 413,
    "rate_limited": 429,
    "timeout": 504,
    "model_error": 424,
    "truncated": 502,
    "overloaded": 503,
    "unavailable": 503,
    "provider_account": 503,
    "upstream": 502,
    "internal": 500,
}

RETRYABLE: frozenset[Kind] = frozenset(
    {"rate_limited", "timeout", "overloaded", "unavailable", "provider_account", "upstream", "truncated"}
)
"""Kinds after which the same call may succeed at another time or place: the one place where this is decided."""


class Failure(Exception):
    """An error a client may see.

    Args:
        kind: what sort of failure; decides status, type and whether another try may help.
        message: a sentence for people. Never holds prompt text or keys.
        field: the path of the request field at fault, if any.
        fix: what to change.
        retry_after: seconds after which a retry makes sense.
        upstream_status: the provider's own status, when it came from one.
        upstream_type: the provider's own error type.
        retryable: overrides what `kind` says.
        operator: what the operator of the gateway has to do, for the log alone. No client sees it.
        filtered: the provider's content filter refused the request; another provider's may not.
    """

    personal = False
    """Whether it is about who asked, and says nothing of others who ask the same."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        field: str | None = None,
        fix: str | None = None,
        retry_after: float | None = None,
        upstream_status: int | None = None,
        upstream_type: str | None = None,
        retryable: bool | None = None,
        operator: str | None = None,
        filtered: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.field = field
        self.fix = fix
        self.retry_after = retry_after
        self.upstream_status = upstream_status
        self.upstream_type = upstream_type
        self.operator = operator
        self.filtered = filtered
        self._retryable = retryable

    @property
    def status(self) -> int:
        """The HTTP status a client sees where its protocol has no other opinion."""
        return STATUS[self.kind]

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed at another time or place."""
        return self.kind in RETRYABLE if self._retryable is None else self._retryable

    def sentence(self) -> str:
        """Message, field and fix in one line."""
        parts = [self.message]
        if self.field:
            parts.append(f"(field: {self.field})")
        if self.fix:
            parts.append(f"Fix: {self.fix}")
        return " ".join(parts)


class Unavailable(Failure):
    """No endpoint of this model can serve now; routing may call onward for another model."""

    def __init__(self, message: str, *, retry_after: float | None = None, cause: Failure | None = None) -> None:
        super().__init__(
            cause.kind if cause is not None else "unavailable",
            message,
            retry_after=retry_after if retry_after is not None or cause is None else cause.retry_after,
            upstream_status=cause.upstream_status if cause is not None else None,
            upstream_type=cause.upstream_type if cause is not None else None,
            operator=cause.operator if cause is not None else None,
        )


def invalid(message: str, field: str, fix: str) -> Failure:
    """The error for a request field that is wrong."""
    return Failure("invalid_request", message, field=field, fix=fix)


ACCOUNT_REFUSED = "The gateway's account at the provider cannot serve this request now."


def account_refused(
    fix: str, words: str = "", *, upstream_status: int | None = None, upstream_type: str | None = None
) -> Failure:
    """The error for what only the gateway's operator can mend: clients learn that it is not theirs, the log the fix.

    Args:
        fix: what to do.
        words: the provider's own, or what else helps to find the cause. Never holds prompt text.
        upstream_status: the provider's own status.
        upstream_type: the provider's own error type.
    """
    return Failure(
        "provider_account",
        ACCOUNT_REFUSED,
        upstream_status=upstream_status,
        upstream_type=upstream_type,
        operator=f"{fix} (it says: {words})" if words else fix,
    )
