"""AWS credentials, natively: where they are found, and when they are fetched again.

Order, as in the AWS SDKs: environment, web identity, profile files, container endpoint, instance metadata (IMDSv2).
Temporary credentials are fetched again in the background from 15 minutes before they expire, and waited for in the
last minute; while they hold, a failed refresh changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure, account_refused
from hapenny.core.log import get_logger
from hapenny.protocols.sigv4 import Credentials

REFRESH_S = 900.0
"""Fetched again in the background when less than this is left."""
MUST_REFRESH_S = 60.0
"""Waited for when less than this is left."""
RETRY_S = 30.0
"""Pause after a failed refresh."""

_log = get_logger("hapenny.backends")


class Signing(Protocol):
    """Where credentials come from."""

    async def get(self) -> Credentials:
        """Credentials that hold now."""

    async def aclose(self) -> None:
        """Lets go of what fetches them."""


async def for_call(source: Signing) -> Credentials:
    """Credentials for a model call. Where there are none, that is the operator's to mend, not the client's: the failure
    is of kind `provider_account`."""
    try:
        return await source.get()
    except Failure as failure:
        if failure.kind != "authentication":
            raise
        fix = failure.fix or "check where the backend's AWS credentials come from"
        raise account_refused(fix, failure.message, upstream_status=failure.upstream_status) from failure


class CredentialSource(Protocol):
    """One place where credentials may be."""

    name: str

    async def fetch(self) -> Credentials | None:
        """Credentials, or None when this place is not set up. Raises `Failure` when it is and does not work."""


class CredentialChain:
    """Asks places in order, keeps what the first has, and refreshes it before it expires."""

    def __init__(self, clock: Clock, places: Sequence[CredentialSource], closes: Sequence[Closes] = ()) -> None:
        self._clock = clock
        self._places = list(places)
        self._closes = list(closes)
        self._held: Credentials | None = None
        self._source: CredentialSource | None = None
        self._refresh: asyncio.Task[Credentials] | None = None
        self._not_before = float("-inf")

    async def get(self) -> Credentials:
        """Credentials that hold now. Raises `Failure('authentication')` when none can be found."""
        held = self._held
        if held is not None:
            if not held.expires:
                return held
            left = held.expires - self._clock.wall()
            if left > REFRESH_S:
                return held
            if left > MUST_REFRESH_S:
                if self._refresh is None and self._clock.now() >= self._not_before:
                    self._begin()
                return held
        # Shielded: one caller that leaves must not take the others' credentials with it.
        return await asyncio.shield(self._refresh or self._begin())

    async def aclose(self) -> None:
        """Ends a refresh under way and lets go of connections."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.gather(self._refresh, return_exceptions=True)
        for one in self._closes:
            await one.aclose()

    def _begin(self) -> asyncio.Task[Credentials]:
        task = self._refresh = asyncio.get_running_loop().create_task(self._fetch())
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Credentials]) -> None:
        self._refresh = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._not_before = self._clock.now() + RETRY_S
            _log.warning("credentials were not refreshed", error=str(error))

    async def _fetch(self) -> Credentials:
        # A source that once worked is asked alone: credentials must not silently become somebody else's.
        for place in [self._source] if self._source is not None else self._places:
            credentials = await place.fetch()
            if credentials is not None:
                if self._source is None:
                    _log.info("credentials found", name=place.name)
                self._source, self._held = place, credentials
                return credentials
        raise Failure(
            "authentication",
            "no AWS credentials found: neither environment, profile, web identity, container nor instance has any",
            fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role",
            retryable=False,
        )


class Closes(Protocol):
    """Something with connections."""

    async def aclose(self) -> None:
        """Lets go of them."""


class Environment:
    """`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`."""

    name = "environment"

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def fetch(self) -> Credentials | None:
        """The variables, if both keys are set."""
        env = self._environment
        key, secret = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
        if not key or not secret:
            return None
        return Credentials(key, secret, env.get("AWS_SESSION_TOKEN") or None)


def seconds(stamp: str) -> float:
    """An ISO 8601 time as Unix seconds. Raises ValueError."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
