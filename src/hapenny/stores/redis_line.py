"""A line to one Redis or Valkey: scripts go in batches and in order, and a lost server is known at once.

Theory of operation. Everybody puts scripts into one queue; a task sends what has gathered as one pipeline over one
connection and hands the replies out, so that a burst needs no more connections than an idle gateway, and what was
queued first runs first. A batch has `DEADLINE_S`. If it is missed, or the connection fails, or the server refuses to
write (out of memory, read-only, cannot save), the server counts as lost: who waits gets a `ConnectionError`, as does
everybody who asks from then on, without waiting; posted scripts stay queued. The task then tries, ever more rarely,
whether something can be written, and goes on when it can. Loss and return are one log line each.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from hapenny.core.clock import Clock, within
from hapenny.core.guard import Guard
from hapenny.core.log import get_logger
from hapenny.stores.redis_wire import RedisWire, Refusal, place_of

DEADLINE_S = 1.0
"""Seconds that a batch may take."""
CLOSE_S = 1.0
"""Seconds that what is queued gets when the line is closed."""
TOGETHER = 256
"""Scripts in a batch."""
MOST_QUEUED = 100_000
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 1.0
MARK_S = 86_400
"""How long a server is marked as one that was used; later it counts as one that lost its data, to be sure."""
TRIES = 3
"""Times that a script which fails by itself is sent."""

_log = get_logger("hapenny.stores")


class Command(NamedTuple):
    """A script with its keys and arguments."""

    script: str
    keys: tuple[str, ...]
    arguments: tuple[Any, ...]


class _Queued:
    __slots__ = ("command", "reply", "then", "tries", "undo")

    def __init__(
        self,
        command: Command,
        reply: asyncio.Future[Any] | None = None,
        undo: Command | None = None,
        then: Callable[[Any], None] | None = None,
    ) -> None:
        self.command = command
        self.reply = reply
        self.undo = undo
        self.then = then
        self.tries = 0


class RedisLine:
    """See the module.

    Args:
        url: redis:// or rediss://.
        clock: the deployment's.
        what: is kept there, for the log.
        probe: a key that is written to see whether the server takes writes.
    """

    def __init__(self, url: str, clock: Clock, what: str, probe: str) -> None:
        self._place = place_of(url)
        self._wire: RedisWire | None = None
        self._clock = clock
        self._what = what
        self._probe = probe
        self._queue: deque[_Queued] = deque()
        self._digests: dict[str, str] = {}
        self._loaded: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._lost_at: float | None = None
        self.guard = Guard(f"line to the {what}", clock)
        self.dropped = 0
        """Posted scripts that were given up."""
        self.emptied: Callable[[], None] = lambda: None
        """Is called when a server came back without what it held before."""
        self._marked = False

    @property
    def lost(self) -> bool:
        """Whether the server cannot be used now."""
        return self._lost_at is not None

    def post(self, command: Command, then: Callable[[Any], None] | None = None) -> None:
        """Queues a script whose reply nobody waits for; `then` is told it, where it comes."""
        if len(self._queue) >= MOST_QUEUED:
            self.dropped += 1
            return
        self._put(_Queued(command, then=then))

    async def ask(self, command: Command, undo: Command | None = None) -> Any:
        """The reply to a script. `undo`: is run instead where the asker left, or the server was lost, before the reply
        came: the script may have run.

        Raises:
            ConnectionError: the server is lost.
        """
        if self.lost:
            raise ConnectionError(f"the {self._what} is lost")
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._put(_Queued(command, reply, undo))
        try:
            return await reply
        except asyncio.CancelledError:
            # The reply may have come in the very turn in which the asker left.
            if undo is not None and reply.done() and not reply.cancelled() and reply.exception() is None:
                self.post(undo)
            raise

    async def aclose(self) -> None:
        """Sends what is queued, within a limit, and closes the connection. Idempotent."""
        task = self._task
        if task is not None:
            await asyncio.wait([task], timeout=CLOSE_S)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        left = [queued for queued in self._queue if queued.reply is None]
        self._fail(ConnectionError(f"the {self._what} was closed"))
        self._queue.clear()
        if left:
            self.dropped += len(left)
            _log.warning("a shared store never got what it was to be told", source=self._what, count=len(left))
        self._hang_up()

    def _put(self, queued: _Queued) -> None:
        self._queue.append(queued)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self.guard.keep(self._send))

    async def _send(self) -> None:
        """Sends until nothing is queued."""
        if self.lost:
            await self._back()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(TOGETHER, len(self._queue)))]
            batch = [each for each in batch if each.reply is None or not each.reply.done()]
            if not batch:
                continue
            replies: list[Any] | None = None
            try:
                with within(DEADLINE_S):
                    replies = await self._execute([each.command for each in batch])
                refusal = self._hand_out(batch, replies)
            except Exception as error:  # of the connection, or of the deadline
                refusal = error
            finally:
                if replies is None:  # nobody knows which of them ran
                    self._requeue(batch)
            if refusal is not None:
                self._lose(refusal)
                await self._back()

    async def _execute(self, commands: list[Command]) -> list[Any]:
        if not self._marked:
            await self._one("SET", self._probe + ":held", b"1", "EX", MARK_S)
            self._marked = True
        # Before anything runs: what is missing would run behind what came after it.
        for script in {command.script for command in commands} - self._loaded:
            await self._one("SCRIPT", "LOAD", script)
            self._loaded.add(script)
        replies = await self._pipeline(commands)
        unknown = [
            index for index, reply in enumerate(replies) if isinstance(reply, Refusal) and reply.code == "NOSCRIPT"
        ]
        if unknown:  # somebody flushed them
            for script in {commands[index].script for index in unknown}:
                await self._one("SCRIPT", "LOAD", script)
            again = await self._pipeline([commands[index] for index in unknown])
            for index, reply in zip(unknown, again, strict=True):
                replies[index] = reply
        return replies

    async def _pipeline(self, commands: list[Command]) -> list[Any]:
        wire = await self._connected()
        return await wire.ask(
            [("EVALSHA", self._digest(each.script), len(each.keys), *each.keys, *each.arguments) for each in commands]
        )

    async def _one(self, *command: Any) -> Any:
        """The reply to one command. Raises `Refusal`."""
        (reply,) = await (await self._connected()).ask([command])
        if isinstance(reply, Refusal):
            raise reply
        return reply

    async def _connected(self) -> RedisWire:
        if self._wire is None or not self._wire.alive:
            self._wire = await RedisWire.open(self._place)
        return self._wire

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _digest(self, script: str) -> str:
        digest = self._digests.get(script)
        if digest is None:
            digest = self._digests[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        return digest

    def _hand_out(self, batch: list[_Queued], replies: list[Any]) -> Exception | None:
        """Gives each its reply; the server's refusal, if it refused any."""
        refusal: Exception | None = None
        again: list[_Queued] = []
        for queued, reply in zip(batch, replies, strict=True):
            if isinstance(reply, Exception):
                refusal = reply
                queued.tries += 1
                if queued.reply is not None:
                    if not queued.reply.done():
                        queued.reply.set_exception(ConnectionError(f"the {self._what} refuses: {_words(reply)}"))
                elif queued.tries < TRIES:
                    again.append(queued)
                else:
                    self.dropped += 1
            elif queued.reply is None:
                if queued.then is not None:
                    queued.then(reply)
            elif not queued.reply.done():
                queued.reply.set_result(reply)
            elif queued.undo is not None:
                self._queue.append(_Queued(queued.undo))
        self._queue.extendleft(reversed(again))
        return refusal

    def _requeue(self, batch: list[_Queued]) -> None:
        for queued in reversed(batch):
            if queued.reply is None:
                self._queue.appendleft(queued)
            else:
                if queued.undo is not None:
                    self._queue.append(_Queued(queued.undo))
                if not queued.reply.done():
                    queued.reply.set_exception(ConnectionError(f"the {self._what} does not answer"))

    def _fail(self, error: ConnectionError) -> None:
        """Ends everybody's wait; what was posted stays."""
        waiting, self._queue = self._queue, deque()
        for queued in waiting:
            if queued.reply is None:
                self._queue.append(queued)
            elif not queued.reply.done():
                queued.reply.set_exception(error)

    def _lose(self, error: Exception) -> None:
        self._loaded.clear()  # it may come back as another one
        self._fail(ConnectionError(f"the {self._what} is lost"))
        if self._lost_at is None:
            self._lost_at = self._clock.now()
            _log.warning(
                "a shared store is lost: each process goes on alone until it is back",
                source=self._what,
                reason=_words(error),
            )

    async def _back(self) -> None:
        """Waits until the server takes writes."""
        pause = FIRST_PAUSE_S
        while True:
            # Replies that nobody read must not be taken for later ones'.
            self._hang_up()
            await self._clock.sleep(pause * self._clock.random.uniform(1.0, 1.25))
            pause = min(LONGEST_PAUSE_S, 2 * pause)
            try:
                with within(DEADLINE_S):
                    await self._one("SET", self._probe, b"1", "PX", 1_000)
            except Exception:
                continue
            break
        await self._look_whether_emptied()
        lost, self._lost_at = self._lost_at, None
        away = self._clock.now() - lost if lost is not None else 0.0
        _log.info("a shared store is back", source=self._what, seconds=round(away, 1), waiting=len(self._queue))

    async def _look_whether_emptied(self) -> None:
        """Tells of a server that has lost its data: the mark of who used it is gone."""
        if not self._marked:
            return
        try:
            with within(DEADLINE_S):
                emptied = await self._one("SET", self._probe + ":held", b"1", "NX", "EX", MARK_S) is not None
        except Exception:  # it is gone again: the next return looks again
            return
        if emptied:
            _log.warning("a shared store came back empty", source=self._what)
            self.emptied()


def _words(error: Exception) -> str:
    """What a server or its client says, in short; replies hold neither texts nor keys of ours."""
    return f"{type(error).__name__}: {error}"[:120]
