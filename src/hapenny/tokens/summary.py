"""A summary of the turns a window leaves out, by a cheap model: a help, never a condition."""

from __future__ import annotations

import asyncio

from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Message, Parameters, Request, Text
from hapenny.core.stage import Ask

_ASKED = (
    "Summarise this earlier part of a conversation in at most six sentences, for the assistant who goes on with it. "
    "Keep what was asked for, decided and done, and what is still open. Answer with the summary alone.\n\n"
    "<conversation>\n{text}\n</conversation>"
)


class Summariser:
    """Asks `target` for summaries; what that costs is booked to the window.

    Args:
        target: the cheap model.
        seconds: a summary may take at most; after that the window goes without one.
        most: characters of the turns it reads; of more, the last ones.
        tokens: a summary may have at most.
    """

    def __init__(self, target: Target, *, seconds: float = 5.0, most: int = 24_000, tokens: int = 300) -> None:
        self._target = target
        self._seconds = seconds
        self._most = most
        self._tokens = tokens

    async def __call__(self, exchange: Exchange, ask: Ask, text: str) -> str:
        """The summary; "" if the model failed, was late or was cut."""
        request = Request(
            protocol=exchange.request.protocol,
            model=self._target.model,
            messages=(Message("user", (Text(_ASKED.format(text=text[-self._most :])),)),),
            parameters=Parameters(max_tokens=self._tokens),
        )
        try:
            async with asyncio.timeout(self._seconds):
                answer = await ask.model(exchange, request, self._target, purpose="summary", technique="window")
                done = await answer.collect()
        except (Failure, TimeoutError):
            return ""
        return done.text.strip() if done.reason == "end_turn" else ""
