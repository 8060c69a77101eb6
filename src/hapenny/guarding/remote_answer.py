"""An answer that a provider's guardrail reads on its way out, one text unit after the other.

Text is held until there is a unit of it (1,000 characters, what one unit is billed for), its block ends or the answer
does; then the guardrail is asked, and what it lets through goes on. So a stream is held back by a unit and by the
time that the guardrail takes, never by the whole answer; the end of a unit is no sentence's end, which a guardrail
that reads meaning has to live with (Bedrock's own guardrail of streams does the same).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from hapenny.core.answer import Answer
from hapenny.core.events import BlockStarted, BlockStopped, Event, Stopped, TextDelta, Tokens, Usage
from hapenny.core.exchange import Exchange
from hapenny.core.guardrails import CHARACTERS_A_UNIT
from hapenny.core.stage import Ask
from hapenny.guarding.counts import GuardCounts
from hapenny.guarding.options import GUARD_OUTPUT_STAGE
from hapenny.guarding.remote_guard import RemoteGuard


class RemoteAnswer:
    """A source that asks a provider's guardrail about the text of an answer.

    Args:
        answer: after our own rules.
        remote: the guardrail.
        exchange: whose answer it is.
        ask: pays.
        message: what is said where the guardrail blocks and says nothing itself.
        counts: of what it found.
    """

    def __init__(
        self, answer: Answer, remote: RemoteGuard, exchange: Exchange, ask: Ask, message: str, counts: GuardCounts
    ) -> None:
        self._answer = answer
        self._remote = remote
        self._exchange = exchange
        self._ask = ask
        self._message = message
        self._counts = counts
        self._text: dict[tuple[int, int], str] = {}
        self._open: dict[tuple[int, int], None] = {}
        self._stopped: set[int] = set()
        self._tokens = Tokens()
        self._over = False

    async def read(self) -> Sequence[Event] | None:
        """The next batch that was judged."""
        while not self._over:
            batch = await self._answer.read()
            out: list[Event] = []
            for event in batch or ():
                if not self._over:
                    await self._one(event, out)
            if batch is None:
                for place in list(self._text):
                    if not self._over:
                        await self._judge(place, out)
                self._over = True
            if out:
                return out
        return None

    def close(self) -> None:
        """Lets the upstream go."""
        self._over = True
        self._answer.close()

    async def _one(self, event: Event, out: list[Event]) -> None:
        if isinstance(event, TextDelta):
            place = event.choice, event.block
            self._open.setdefault(place)
            self._text[place] = self._text.get(place, "") + event.text
            while not self._over and len(self._text.get(place, "")) > CHARACTERS_A_UNIT:
                await self._judge(place, out, CHARACTERS_A_UNIT)
            return
        if isinstance(event, BlockStopped):
            await self._judge((event.choice, event.block), out)
            self._open.pop((event.choice, event.block), None)
        elif isinstance(event, Stopped):
            for place in [each for each in self._text if each[0] == event.choice]:
                if not self._over:
                    await self._judge(place, out)
            self._stopped.add(event.choice)
        elif isinstance(event, BlockStarted):
            self._open[event.choice, event.block] = None
        elif isinstance(event, Usage):
            self._tokens = event.tokens
        if not self._over:
            out.append(event)

    async def _judge(self, place: tuple[int, int], out: list[Event], most: int | None = None) -> None:
        """Asks about what is held of a block, or about as much of it as fits in `most` characters."""
        text = self._text.pop(place, "")
        if not text:
            return
        if most is not None:
            cut = text.rfind(" ", 0, most) + 1 or most
            text, self._text[place] = text[:cut], text[cut:]
        ruling = await self._remote.judge(self._exchange, self._ask, (text,), "output")
        changed = not ruling.blocked and ruling.texts[0] != text
        self._counts.take_ruling(GUARD_OUTPUT_STAGE.name, self._remote.name, ruling, changed=changed)
        choice, block = place
        if not ruling.blocked:
            if changed or ruling.found:
                self._exchange.answer.guarded = ", ".join(ruling.found) or "redacted"
            out.append(TextDelta(ruling.texts[0], block, choice))
            return
        self._exchange.answer.guarded = ruling.blocked
        if not self._exchange.committed:
            self._exchange.note(f"guard_output=blocked {ruling.blocked}")
        message = ruling.message or self._message
        if message:
            out.append(TextDelta(message, block, choice))
        out.extend(BlockStopped(number, each) for each, number in self._open)
        choices = {each for each, _ in self._open} - self._stopped
        out.extend(Stopped("guardrail", each) for each in sorted(choices | {choice}))
        out.append(Usage(structs.replace(self._tokens)))
        self._over = True
        self._answer.close()
