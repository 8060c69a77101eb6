"""A client of one of AWS's services, made with its first call, for stores whose calls run off the loop.

Whatever AWS refuses is a store that cannot be used. It needs the extra `aws`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hapenny.core.clock import Clock

T = TypeVar("T")

TIMEOUT_S = 5.0


class AwsLink:
    """See the module.

    Args:
        service: as boto3 names it.
        clock: the deployment's, which runs the calls.
    """

    def __init__(self, service: str, clock: Clock) -> None:
        self._service = service
        self._clock = clock
        self._made: Any = None

    async def run(self, work: Callable[[Any], T]) -> T:
        """What `work` makes of the client. Raises `ConnectionError` where AWS cannot be reached, or refuses."""
        from botocore.exceptions import BotoCoreError, ClientError

        def blocking() -> T:
            try:
                return work(self._client())
            except (BotoCoreError, ClientError) as error:
                raise ConnectionError(f"{self._service.upper()} cannot be used: {type(error).__name__}") from error

        return await self._clock.work(self._service, 1.0, blocking)

    async def aclose(self) -> None:
        """Closes the connections. Idempotent."""
        made, self._made = self._made, None
        if made is not None:
            await self._clock.work(self._service, 1.0, made.close)

    def _client(self) -> Any:
        if self._made is None:
            import boto3
            from botocore.config import Config

            how = Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"total_max_attempts": 2})
            self._made = boto3.client(self._service, config=how)
        return self._made
