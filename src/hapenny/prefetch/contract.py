"""What answers ahead are, and what answering ahead needs of a gateway and of providers' batch APIs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Context, Request


class SeenRequest(Struct):
    """A client's request as it is remembered."""

    question: str
    """What is asked, by whom and where (`Keys.question`), hex."""
    request: Request
    context: Context
    route: str
    key: bytes = b""
    """The key of its answer under today's policy; empty: not known yet."""
    uses: int = 0
    prompt: int = 0
    """The most prompt tokens a call of it has taken."""
    output: int = 0
    """The most output tokens an answer to it has had."""
    size: int = 0
    """Bytes of the request."""
    last: float = 0.0
    """When it was asked last, epoch seconds."""


class PrefetchItem(Struct, kw_only=True):
    """A request that is answered ahead, as a model would get it now, with all that its answer needs to land under the
    key the later request has. It can be written down: a job outlives the process that began it."""

    question: str
    key: bytes
    route: str
    request: Request
    """As the client sent it."""
    context: Context
    shaped: Request
    """As it is sent: with its documents, pruned, its answer's length bounded."""
    target: Target
    evidence: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    prompt: int = 0
    """As of `SeenRequest`."""
    bound: int = 0
    """Nano-dollars that are held for it while a job answers it."""


class Answering(Protocol):
    """A gateway, as answering ahead uses it."""

    def question(self, exchange: Exchange) -> str:
        """What a request asks, by whom and where, whatever decides its answer today; hex."""

    async def past(self, since: float, day: float) -> tuple[dict[int, int], int]:
        """Of the ledger: clients' requests by hour since the epoch from `since` on, and nano-dollars spent on answers
        ahead from `day` on."""

    async def key(self, seen: SeenRequest) -> bytes:
        """The key of a request's answer under today's policy; empty: it cannot be kept any more."""

    async def prepare(self, seen: SeenRequest) -> tuple[PrefetchItem | None, int]:
        """The request as a model would get it, and what that cost (nano-dollars: embeddings, say); None: it needs no
        model, or is not answered any more."""

    def bound(self, item: PrefetchItem, tier: str) -> int | None:
        """The most that an answer costs at a service tier, nano-dollars; None: not sold there, not cheaper than on
        demand, or its price is not known."""

    async def send(self, item: PrefetchItem, tier: str) -> tuple[bool, int]:
        """Has it answered and stored; whether it was, and what it cost."""


class Jobs(Protocol):
    """Providers' batch APIs, as answering ahead uses them."""

    least: int
    """Records that the smallest job takes."""
    most: int
    """Records of the largest."""

    def lead_s(self, count: int) -> float:
        """Seconds from now until so many answers are there at the latest."""

    def takes(self, target: Target, count: int) -> bool:
        """Whether some API answers so many requests to that model."""

    def submit(self, items: Sequence[PrefetchItem], deadline: float) -> None:
        """Has them answered by `deadline` (epoch seconds); the planner is told how each one ended."""


class PrefetchStats(Struct, kw_only=True):
    """What was done ahead. Money in nano-dollars."""

    known: int = 0
    rounds: int = 0
    answered: int = 0
    by_way: dict[str, int] = {}
    """Answers by the way they were asked for."""
    warmed: int = 0
    """Answers asked for again after a change of policy or epoch."""
    failed: int = 0
    refused: int = 0
    """Requests that the budget had nothing left for."""
    under_way: int = 0
    unused: int = 0
    """Answers that wait for their first request."""
    spent: int = 0
    """In all, since the start."""
    today: int = 0
    held: int = 0
    """What work under way may still cost."""
    budget: int = 0
    quiet_hours: list[int] | None = None
    """Hours (UTC) in which answers are asked for one by one; None: any."""
    stopped: bool = False
