"""A gateway on a port for tests, over simulated models or over a backend that plays a script."""

from __future__ import annotations

import asyncio
import contextlib

from hapenny.backends.contract import Raw
from hapenny.config import load
from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    Tokens,
    ToolCallDelta,
    Usage,
)
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App

SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"

TEXT = [
    Started("msg_1", SONNET),
    BlockStarted(0, "text"),
    TextDelta("Half a ", 0),
    TextDelta("penny.", 0),
    BlockStopped(0),
    Stopped("end_turn"),
    Usage(Tokens(input=12, output=5)),
]
TOOLS = [
    Started("msg_2", SONNET),
    BlockStarted(0, "text"),
    TextDelta("Let me look.", 0),
    BlockStopped(0),
    BlockStarted(1, "tool_use", id="toolu_1", name="stock"),
    ToolCallDelta('{"title": "Tide ', 1),
    ToolCallDelta('of Cranes"}', 1),
    BlockStopped(1),
    BlockStarted(2, "tool_use", id="toolu_2", name="price"),
    ToolCallDelta("{}", 2),
    BlockStopped(2),
    Stopped("tool_use"),
    Usage(Tokens(input=40, output=20)),
]
THINKING = [
    Started("msg_3", SONNET),
    BlockStarted(0, "thinking"),
    ThinkingDelta("Hm.", 0),
    SignatureDelta("c2lnbmVk", 0),
    BlockStopped(0),
    BlockStarted(1, "text"),
    TextDelta("Yes.", 1),
    BlockStopped(1),
    Stopped("end_turn"),
    Usage(Tokens(input=8, output=9)),
]


class Scripted:
    """A backend that answers with given events (one batch an event), or fails; it remembers what it was asked."""

    name = "scripted"

    def __init__(self, events=TEXT, *, failure=None, pause=0.0, after=None):
        self.events = events
        self.failure = failure
        self.pause = pause
        self.after = after
        self.asked = []
        self.open = 0
        self.closed = 0

    async def call(self, request, target, limits):
        self.asked.append((request, target))
        if self.failure is not None:
            raise self.failure
        self.open += 1
        return _Slow(self)

    def notes(self, request, target):
        return []

    async def count(self, request, target):
        return None

    async def forward(self, method, path, headers, body, limits):
        return Raw(200, {"content-type": "text/plain"}, Body([f"{method} {path} ".encode(), body]))

    async def aclose(self):
        pass


class _Slow:
    def __init__(self, backend):
        self.backend = backend
        self.left = list(backend.events)
        self.done = False

    async def read(self):
        if not self.left:
            if self.backend.after is not None:
                raise self.backend.after
            return None
        if self.backend.pause:
            await asyncio.sleep(self.backend.pause)
        return [self.left.pop(0)]

    def close(self):
        if not self.done:
            self.done = True
            self.backend.open -= 1
            self.backend.closed += 1


class Body:
    def __init__(self, pieces):
        self.pieces = pieces

    async def read(self):
        return self.pieces.pop(0) if self.pieces else None

    def close(self):
        pass


CONFIG = """
backends: {simulated: {kind: simulated}}
routes: {default: {preset: %s, cache_any_temperature: true, holdout: 0}}
ledger: {path: "%s"}
%s
"""


@contextlib.asynccontextmanager
async def serving(tmp_path, backend=None, *, preset="demo", extra=""):
    """(base URL, app): a gateway over simulated models, or over `backend`, on a free port."""
    ours = CONFIG % (preset, tmp_path / "ledger.db", "")
    given = {line.partition(":")[0] for line in extra.splitlines() if line[:1].isalpha()}
    kept = [line for line in ours.splitlines() if line.partition(":")[0] not in given]
    config = load(text="\n".join([*kept, extra]))
    async with running(config, {"simulated": backend} if backend is not None else None) as pair:
        yield pair


@contextlib.asynccontextmanager
async def running(config, backends=None):
    """(base URL, app): a gateway of that configuration on a free port."""
    gateway = Gateway(config, backends=backends)
    await gateway.start()
    app = App(gateway)
    port = await app.start(port=0)
    try:
        yield f"http://127.0.0.1:{port}", app
    finally:
        app.gateway.config.server.drain_s = 2.0
        await app.stop()


def failure(kind, **rest):
    return Failure(kind, f"constructed {kind}", **rest)
