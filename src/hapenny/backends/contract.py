"""The contract of a backend: one paid attempt at a provider, and nothing else.

No retry, no fallback, no choice of model happens here. A backend turns a request into bytes through a codec, sends
them, and hands back a `Source` of events; what it cannot express or what the provider refuses is a `Failure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from hapenny.core.answer import Source
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Request
from hapenny.protocols.http1.fields import tokens


class Raw(Struct, frozen=True):
    """A provider's answer that no codec read. Header names are lower-case; hop-by-hop headers are gone."""

    status: int
    headers: dict[str, str]
    body: RawBody


class RawBody(Protocol):
    """The bytes of a raw answer as they arrive."""

    async def read(self) -> bytes | None:
        """The next piece, never empty; None at the end. Raises `Failure` when the connection breaks."""

    def close(self) -> None:
        """Lets go of the connection at once. Idempotent."""


class Backend(Protocol):
    """A provider as the gateway sees it."""

    name: str

    async def call(self, request: Request, target: Target, limits: Limits) -> Source:
        """Sends `request` to `target`; returns when the provider has accepted it.

        A streamed request gives events as they arrive, any other all events in one batch. `limits.begin_by` holds
        until the provider accepts, `finish_by` until the end, `idle` between two reads of a stream.

        Raises:
            Failure: what the provider said, in the words of `core.errors`.
        """

    def notes(self, request: Request, target: Target) -> list[str]:
        """What `call` changes, translates or leaves out of `request` for the provider and its model (names, never
        content).

        Raises:
            Failure: `invalid_request` with field and fix, for what can neither be sent nor translated.
        """

    async def count(self, request: Request, target: Target) -> int | None:
        """Prompt tokens as the provider counts them, free of charge; None when it has no such service."""

    async def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, limits: Limits, region: str = ""
    ) -> Raw:
        """Passes a request through untouched except for credentials; `path` starts with "/" and may have a query.
        `region` says where a provider with regions is asked, its own default if empty."""

    async def aclose(self) -> None:
        """Lets go of all connections."""


PASSED_ON = frozenset(
    {
        "accept",
        "content-type",
        "anthropic-version",
        "anthropic-beta",
        "openai-beta",
        "openai-organization",
        "openai-project",
        "idempotency-key",
    }
)
"""Request headers that go through to the provider in `forward`, besides those that begin with `x-amzn-bedrock-`."""

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
    }
)
"""Headers that belong to one connection (RFC 9110 §7.6.1), and the length, which the next hop sets anew."""

_OF_THE_ORIGIN = frozenset(
    {"set-cookie", "server", "alt-svc", "strict-transport-security", "clear-site-data", "date", "location"}
)
_OURS = ("x-hapenny-", "access-control-")
"""What a provider says about its own site, or what only we may say about ours: never told to clients."""


def incoming(headers: Mapping[str, str]) -> dict[str, str]:
    """What of a provider's headers (lower-case names) may go to a client: nothing of its connection, of its site, and
    nothing that clients take for our own word."""
    named = set(tokens(headers["connection"])) if "connection" in headers else ()
    return {
        name: value
        for name, value in headers.items()
        if name not in HOP_BY_HOP and name not in _OF_THE_ORIGIN and name not in named and not name.startswith(_OURS)
    }


def outgoing(headers: Mapping[str, str]) -> dict[str, str]:
    """What of a client's headers (lower-case names) may go to the provider: never credentials or cookies."""
    return {name: value for name, value in headers.items() if name in PASSED_ON or name.startswith("x-amzn-bedrock-")}
