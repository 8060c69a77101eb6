"""Hints about providers on their way between the gateways that share a space."""

from __future__ import annotations

import contextlib

import msgspec

from hapenny.caching.shared import SharedAnswers
from hapenny.core.clock import Clock
from hapenny.throughput.hints import Hint, Hints

CHANNEL = "providers"
HINTS_S = 0.5
"""How often they are looked for."""


async def follow(hints: Hints, elsewhere: SharedAnswers, clock: Clock) -> None:
    """Tells and takes in as long as it is not cancelled. What is older than this gateway says nothing any more."""
    after = ""
    caught_up = False
    while True:
        with contextlib.suppress(ConnectionError):  # hints that cannot be told now are worth nothing later
            for hint in hints.news():
                await elsewhere.space.tell(elsewhere.seal(CHANNEL.encode(), msgspec.msgpack.encode(hint)), CHANNEL)
            heard = await elsewhere.space.heard(after, CHANNEL)
            for message in heard.messages:
                after = message.id
                data = elsewhere.unseal(CHANNEL.encode(), message.data)
                if not caught_up or data is None:
                    continue
                with contextlib.suppress(msgspec.MsgspecError):  # of another version
                    hints.take(msgspec.msgpack.decode(data, type=Hint))
            caught_up = caught_up or not heard.messages
        await clock.sleep(HINTS_S)
