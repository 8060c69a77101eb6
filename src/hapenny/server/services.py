"""What a deployment serves with, besides the gateway of the moment: batch jobs, answers ahead, and who is under way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from hapenny.config import ConfigError
from hapenny.core.log import get_logger
from hapenny.gateway.gateway import Gateway
from hapenny.gateway.object_owners import ObjectOwners
from hapenny.gateway.text_vectors import VectorMemory
from hapenny.jobs.prefetch import PrefetchJobs, wanted_jobs
from hapenny.jobs.service import BatchService
from hapenny.server.auth import unadorned

_log = get_logger("hapenny.server")


class Closes(Protocol):
    """A part that an endpoint keeps here between requests."""

    async def aclose(self) -> None:
        """Lets go of everything."""


class Siblings(Protocol):
    """The other workers that share the port. Methods raise `ConnectionError` or `TimeoutError`."""

    number: int

    async def pages(self) -> dict[str, Any]:
        """`pages`: number and metrics of each; `alive`, `workers`, `restarts`."""

    async def standing(self) -> dict[str, Any]:
        """`alive`, `workers`, `restarts`."""


class Services:
    """The gateway of the moment, and what goes on over a reload.

    Args:
        gateway: what answers first.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.owners = ObjectOwners(lambda: self.gateway.registry, gateway.clock)
        """Whose the objects at providers are."""
        self.vectors = VectorMemory()
        """Of the texts that clients had embedded, for as long as the configuration stays."""
        self.batches: BatchService | None = None
        self.message_batches: BatchService | None = None
        """Of Anthropic's clients."""
        self.prefetch_jobs: PrefetchJobs | None = None
        self.adapter: Closes | None = None
        """Of API Gateway's WebSocket API, once it was asked."""
        self.siblings: Siblings | None = None
        """The other workers that share the port, where there are any."""
        self.draining = False
        self._active: dict[Gateway, int] = {}
        self._idle = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    # -- who is under way ------------------------------------------------------------------------------------------

    def enter(self) -> Gateway:
        """The gateway of the moment, which a reload does not close before `leave`."""
        gateway, active = self.gateway, self._active
        active[gateway] = active.get(gateway, 0) + 1
        return gateway

    def leave(self, gateway: Gateway) -> None:
        """Lets go of it."""
        active = self._active
        active[gateway] -= 1
        if not active[gateway]:
            del active[gateway]
            self._idle.set()

    @contextlib.contextmanager
    def hold(self) -> Iterator[Gateway]:
        """`enter` and `leave`."""
        gateway = self.enter()
        try:
            yield gateway
        finally:
            self.leave(gateway)

    @property
    def active(self) -> int:
        """Requests under way, on whichever gateway."""
        return sum(self._active.values())

    async def drained(self, gateway: Gateway, seconds: float) -> bool:
        """Waits until nothing is under way on `gateway`; False: something still was after so long."""
        try:
            async with asyncio.timeout(seconds):
                while self._active.get(gateway):
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True

    # -- lifetime --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Opens what the configuration asks for. Raises `ConfigError` if the batch journal is taken."""
        self._begin(self.gateway)
        await self._prefetch(self.gateway)

    async def halt(self) -> None:
        """Stops taking up work: requests under way go on."""
        self.draining = True
        for jobs in (self.batches, self.message_batches):
            if jobs is not None:
                await jobs.aclose()
        if self.prefetch_jobs is not None:
            await self.prefetch_jobs.aclose()

    async def aclose(self) -> None:
        """Ends the gateways."""
        if self.adapter is not None:
            await self.adapter.aclose()
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
        await self.gateway.aclose()

    async def swap(self, gateway: Gateway) -> None:
        """New requests go to `gateway` from now on; the old one closes when its last request has ended.

        Raises:
            ConfigError: its batch journal is taken; then nothing changes.
        """
        await self._rebatch(gateway)
        await gateway.start()
        await self._prefetch(gateway)
        old, self.gateway = self.gateway, gateway
        self.vectors = VectorMemory()
        old.stop_prefetch()

        async def close() -> None:
            if not await self.drained(old, old.config.server.drain_s):
                _log.warning("reload left requests behind", active=self._active.get(old, 0))
            await old.aclose(successor=gateway)

        task = asyncio.get_running_loop().create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _begin(self, gateway: Gateway) -> None:
        """Opens the batch jobs that are configured, and goes on with them. Raises `ConfigError`."""
        options = gateway.config.batch
        if options is None:
            self.batches = self.message_batches = None
            return
        made = BatchService(options, gateway.clock, self.hold, unadorned)
        self.message_batches = BatchService(options, gateway.clock, self.hold, unadorned, "anthropic")
        self.batches = made
        for jobs in (made, self.message_batches):
            jobs.start()

    async def _rebatch(self, gateway: Gateway) -> None:
        """Batch jobs go on over a reload, unless their options changed."""
        old, wanted = self.batches, gateway.config.batch
        if (old.options if old is not None else None) == wanted:
            return
        before = [jobs for jobs in (old, self.message_batches) if jobs is not None]
        moved = old is None or wanted is None or wanted.journal != old.options.journal
        if not moved:  # the folder has to be let go of first
            for jobs in before:
                await jobs.aclose()
        self._begin(gateway)
        if moved:
            for jobs in before:
                await jobs.aclose()

    async def _prefetch(self, gateway: Gateway) -> None:
        """Begins answering ahead with the batch APIs there are. Jobs under way go on over a reload, and a restart."""
        wanted, jobs = wanted_jobs(gateway.config), self.prefetch_jobs
        if jobs is not None and jobs.options != wanted:
            await jobs.aclose()
            jobs = self.prefetch_jobs = None
        if jobs is None and wanted is not None:
            try:
                jobs = self.prefetch_jobs = PrefetchJobs(wanted, gateway.config, gateway.clock, self.hold)
            except (RuntimeError, OSError, ValueError) as error:
                problem = f"$.batch: {error}. Fix: another journal, or leave batch out of precompute.ways"
                raise ConfigError([problem]) from None
            jobs.start()
        gateway.start_prefetch(jobs)
