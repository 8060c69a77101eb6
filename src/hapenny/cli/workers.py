"""Several workers on one port: a process that watches over them, and what a worker learns from it.

Theory of operation. `hapenny serve --workers N` becomes the *watching process*. It takes the port, without listening,
opens a Unix socket in a folder of its own, and starts N processes of itself, which listen on the port together
(SO_REUSEPORT: the kernel spreads connections). Over the socket a worker learns its number, the port and the
deployment's secret, shares answers, calls under way and quotas with the others, and hands out its metrics. A worker
that dies is started again, ever later where it keeps dying. SIGTERM and SIGHUP are passed on to all of them. Where the
watching process is killed its workers drain and end: nobody would be left to keep them together.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hapenny.caching.options import EXACT_STAGE
from hapenny.cli.printable import say
from hapenny.config import Config
from hapenny.core.clock import RealClock
from hapenny.core.log import get_logger
from hapenny.stores.host import HostServer, HostState
from hapenny.stores.host_frames import FrameProtocol

VARIABLE = "HAPENNY_WORKER"
"""The environment variable in which a worker finds the socket."""
READY_S = 60.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
CALM_S = 5.0
"""A worker that lived so long is started again at once."""
LATE_S = 15.0
"""How long after `drain_s` a worker has to be gone."""
SCRAPE_S = 1.0

_log = get_logger("hapenny.workers")


class Hello(msgspec.Struct):
    """What a worker learns."""

    number: int
    workers: int
    host: str
    port: int
    secret: str
    address: str


def adapted(config: Config, hello: Hello) -> Config:
    """The configuration of one worker: what is shared, what it has of its own, and what only the first one does."""
    changes: dict[str, Any] = {}
    if not config.shared:
        changes["shared"] = hello.address
    if not config.fingerprint_key:
        changes["fingerprint_key"] = hello.secret
    if hello.number:
        state = config.state_path()
        if state is not None:
            changes["state"] = str(state.with_suffix(f".{hello.number}{state.suffix}"))
        changes["precompute"] = msgspec.structs.replace(config.precompute, routes=type(config.precompute.routes)())
    return msgspec.structs.replace(config, **changes)


class _Worker:
    """One of them, as the watching process knows it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.link: FrameProtocol | None = None
        self.ready = False
        self.began = 0.0
        self.pause = FIRST_PAUSE_S


class Supervisor:
    """The watching process.

    Args:
        config: what its workers serve; for the port and the bounds.
        workers: how many.
        host, port: instead of the configuration's.
        check: reads the configuration anew before a reload is passed on; says what is wrong with it.
        more: lines to say when all are there.
    """

    def __init__(
        self,
        config: Config,
        workers: int,
        host: str | None,
        port: int | None,
        check: Callable[[], list[str]],
        more: Sequence[str] = (),
    ) -> None:
        self._config = config
        self._host = host if host is not None else config.server.host
        self._wanted = config.server.port if port is None else port
        self._check = check
        self._more = more
        self._clock = RealClock()
        self._workers = [_Worker(number) for number in range(workers)]
        self._secret = secrets.token_hex(32)
        self._folder = ""
        self._port = 0
        self._socket: socket.socket | None = None
        self._ending = False
        self._news = asyncio.Event()
        self.restarts = 0

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT. Raises `OSError` where the port is taken, `RuntimeError` where no worker
        comes up."""
        self._reserve()
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        with tempfile.TemporaryDirectory(prefix="hapenny-workers-") as self._folder:
            state = HostState(self._clock, int(self._config.stages[EXACT_STAGE].max_mb * 1_000_000))
            server = HostServer(state, self._path, self._answer, self._left)
            await server.start()
            keepers = [loop.create_task(self._keep(worker)) for worker in self._workers]
            try:
                await self._all_ready(stop)
                if not stop.is_set():
                    say(f"hapenny listens on http://{self._host}:{self._port}")
                    for line in (f"{len(self._workers)} workers share the port.", *self._more):
                        say(line)
                    sys.stdout.flush()
                expiring = loop.create_task(self._expire(state))
                await stop.wait()
                expiring.cancel()
            finally:
                self._ending = True
                await self._end(keepers)
                await server.aclose()
                if self._socket is not None:
                    self._socket.close()

    # -- workers ---------------------------------------------------------------------------------------------------

    @property
    def _path(self) -> str:
        return str(Path(self._folder) / "socket")

    def _reserve(self) -> None:
        """Takes the port: bound and not listened on, so that it gets no connections."""
        family, _, _, _, place = socket.getaddrinfo(
            self._host, self._wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        probe = socket.socket(family, socket.SOCK_STREAM)
        try:
            if self._wanted:
                probe.bind(place)  # without sharing: whoever listens there already is noticed
                probe.close()
                probe = socket.socket(family, socket.SOCK_STREAM)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            probe.bind(place)
        except OSError:
            probe.close()
            raise
        self._socket, self._port = probe, int(probe.getsockname()[1])

    async def _keep(self, worker: _Worker) -> None:
        """Starts a worker, and again whenever it has ended."""
        while not self._ending:
            worker.began = self._clock.now()
            worker.ready = False
            environment = {**os.environ, VARIABLE: f"{self._path}:{worker.number}"}
            worker.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hapenny", *sys.argv[1:], env=environment
            )
            code = await worker.process.wait()
            self._news.set()
            if self._over():
                return
            if code == 2 and not worker.ready and not self.restarts:
                return  # it has said what is wrong with the configuration
            self.restarts += 1
            calm = self._clock.now() - worker.began >= CALM_S
            pause = 0.0 if calm else worker.pause
            worker.pause = FIRST_PAUSE_S if calm else min(LONGEST_PAUSE_S, 2 * worker.pause)
            _log.error("a worker has ended and is started again", worker=worker.number, code=code, again_in_s=pause)
            await self._clock.sleep(pause)

    def _over(self) -> bool:
        return self._ending

    async def _all_ready(self, stop: asyncio.Event) -> None:
        end = self._clock.now() + READY_S
        while not all(worker.ready for worker in self._workers) and not stop.is_set():
            ended = [w for w in self._workers if w.process is not None and w.process.returncode == 2 and not w.ready]
            if ended or self._clock.now() > end:
                raise RuntimeError("the workers do not come up")
            self._news.clear()
            try:
                async with asyncio.timeout(0.2):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _end(self, keepers: list[asyncio.Task[None]]) -> None:
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._config.server.drain_s + LATE_S):
                await asyncio.gather(*keepers, return_exceptions=True)
        except TimeoutError:
            self._signal(signal.SIGKILL)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    def _signal(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.returncode is None:
                worker.process.send_signal(number)

    def _reload(self) -> None:
        problems = self._check()
        for problem in problems:
            say(f"reload refused: {problem}", err=True)
        if not problems:
            self._signal(signal.SIGHUP)

    async def _expire(self, state: HostState) -> None:
        while True:
            await self._clock.sleep(30.0)
            await state.counters.expire()

    # -- what workers say ------------------------------------------------------------------------------------------

    def _answer(self, link: FrameProtocol, name: str, arguments: list[Any]) -> Any:
        if name == "hello":
            worker = self._workers[int(arguments[0])]
            worker.link = link
            address = f"host:{self._path}"
            return Hello(worker.number, len(self._workers), self._host, self._port, self._secret, address)
        if name == "ready":
            self._workers[int(arguments[0])].ready = True
            self._news.set()
            return None
        if name == "metrics":
            return self._metrics(int(arguments[0]))
        if name == "standing":
            return self._standing()
        raise KeyError(name)

    def _left(self, link: FrameProtocol) -> None:
        for worker in self._workers:
            if worker.link is link:
                worker.link = None

    async def _metrics(self, asker: int) -> dict[str, Any]:
        """The metrics of all workers but the asker; one that does not answer in time is left out, and counted."""
        others = [worker for worker in self._workers if worker.number != asker and worker.link is not None]

        async def scraped(worker: _Worker) -> bytes | None:
            assert worker.link is not None
            try:
                async with asyncio.timeout(SCRAPE_S):
                    return bytes(await worker.link.ask("metrics"))
            except (TimeoutError, ConnectionError):
                return None

        pages = await asyncio.gather(*(scraped(worker) for worker in others))
        return {
            "pages": [(worker.number, page) for worker, page in zip(others, pages, strict=True) if page is not None],
            **self._standing(),
        }

    def _standing(self) -> dict[str, int]:
        alive = sum(worker.ready and worker.link is not None for worker in self._workers)
        return {"alive": alive, "workers": len(self._workers), "restarts": self.restarts}


class WorkerLink:
    """A worker's line to the watching process."""

    def __init__(self, place: str) -> None:
        self._path, _, number = place.rpartition(":")
        self.number = int(number)
        self.hello: Hello | None = None
        self._connection: FrameProtocol | None = None
        self.page: Callable[[], bytes] = lambda: b""
        """This worker's own metrics."""
        self.orphaned: Callable[[], None] = lambda: None
        """Is called when the watching process is gone."""

    async def open(self) -> Hello:
        """Says hello. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_unix_connection(
            lambda: FrameProtocol(self._answer, lambda _: self.orphaned()), self._path
        )
        self.hello = msgspec.convert(await self._connection.ask("hello", self.number), Hello)
        return self.hello

    def ready(self) -> None:
        """It listens."""
        if self._connection is not None:
            self._connection.post("ready", self.number)

    async def pages(self) -> dict[str, Any]:
        """The metrics of the other workers (`pages`), and how they stand. Raises `ConnectionError`, `TimeoutError`."""
        return await self._asked("metrics", self.number)

    async def standing(self) -> dict[str, Any]:
        """How many workers are `alive`, of how many, and how often one was started again. Raises as above."""
        return await self._asked("standing")

    async def _asked(self, name: str, *arguments: Any) -> dict[str, Any]:
        if self._connection is None:
            raise ConnectionError("the watching process is gone")
        async with asyncio.timeout(2 * SCRAPE_S):
            known: dict[str, Any] = await self._connection.ask(name, *arguments)
        return known

    def _answer(self, connection: FrameProtocol, name: str, arguments: list[Any]) -> Any:
        if name == "metrics":
            return self.page()
        raise KeyError(name)
