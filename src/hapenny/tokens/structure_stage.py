"""The structure stage: tool results that are data in their smallest lossless form, equal ones said once; on request
also other JSON, and tool definitions without layout.

Cannot change an answer's facts: results read back to exactly what came, schemas mean what they meant. Text that
somebody may have to quote (`tokens.exact`) stays as it is; what was rewritten is said in the answer's headers.
"""

from __future__ import annotations

from msgspec.structs import replace

from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Message, Request, Tool, ToolResult, ToolUse
from hapenny.core.notes import Note
from hapenny.core.shape import TOOL_TURNS, TOOLS
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.definitions import Definitions, text_of
from hapenny.tokens.lossless import Shrinker
from hapenny.tokens.money import counter, worth
from hapenny.tokens.options import STRUCTURE_STAGE, StructureOptions
from hapenny.tokens.window import Count, WindowOptions, append_only, texts_of


class Structured(Decision):
    """How many tool results were written shorter, how many refer to an equal one, how many tool definitions lost
    layout, and the tokens that saves."""

    shortened: int = 0
    references: int = 0
    definitions: int = 0
    tokens: int = 0


_SHORTER: Note[Request] = Note("structure.shorter")


class StructureStage(Stage, spec=STRUCTURE_STAGE):
    """Rewrites each tool result once and for all: the same result has the same bytes in every later request."""

    needs = TOOLS | TOOL_TURNS

    def __init__(
        self, prices: Prices, options: StructureOptions, window: WindowOptions, shrink: Shrinker | None = None
    ) -> None:
        self._prices = prices
        self._options = options
        self._window = window
        self._shrink = shrink or Shrinker(compact_forms=options.compact)
        self._define = Definitions()

    async def decide(self, exchange: Exchange, ask: Ask) -> Structured | None:
        """None when nothing gets shorter."""
        request = exchange.request
        if not _rewritable(request, self._options):
            return None
        tools = defined(request.tools, self._define, self._options)
        count = counter(self._prices, exchange)
        untouched = _calls_of(request.messages, self._options.tools_untouched)
        messages, shortened, references = append_only(
            request.messages,
            self._shrink,
            count,
            self._window,
            untouched,
            tools=request.tools,
            results=self._options.results,
        )
        if not shortened and not references and tools is request.tools:
            return None
        exchange.stage_notes[_SHORTER] = replace(request, messages=tuple(messages), tools=tools)
        saved = definitions = 0.0
        for old, new in zip(request.messages, messages, strict=True):
            if old is not new:
                saved += _tokens(old, count) - _tokens(new, count)
        for was, now in zip(request.tools, tools, strict=True):
            if was is not now:
                saved += count(text_of(was)) - count(text_of(now))
                definitions += 1
        return Structured(
            shortened=shortened,
            references=references,
            definitions=round(definitions),
            tokens=round(saved),
            would_save=worth(self._prices, exchange, saved),
            reason=_told(shortened, references, round(definitions)),
        )

    async def apply(self, decision: Structured, exchange: Exchange, onward: Onward) -> Answer:
        """Sends the shorter messages and tools, and says so."""
        exchange.note(f"structure={decision.reason}")
        exchange.request = exchange.stage_notes.pop(_SHORTER)
        return await onward(exchange)


def _rewritable(request: Request, options: StructureOptions) -> bool:
    """Whether the request has anything that the stage might write shorter."""
    if request.tools and options.definitions:
        return True
    for message in request.messages:
        for block in message.content:
            if type(block) is ToolResult:
                return True
    return False


def structured(
    request: Request, count: Count, options: StructureOptions, window: WindowOptions
) -> tuple[list[Message], int, int]:
    """What the stage would send for the request's messages, how many results it shortened and how many it referred."""
    messages = request.messages
    return append_only(
        messages,
        Shrinker(compact_forms=options.compact),
        count,
        window,
        _calls_of(messages, options.tools_untouched),
        tools=request.tools,
        results=options.results,
    )


def defined(tools: tuple[Tool, ...], define: Definitions, options: StructureOptions) -> tuple[Tool, ...]:
    """The tool definitions as the stage would send them."""
    if not tools or not options.definitions:
        return tools
    shorter = define(tools)
    if shorter is tools or not options.tools_untouched:
        return shorter
    return tuple(was if was.name in options.tools_untouched else now for was, now in zip(tools, shorter, strict=True))


def _told(shortened: int, references: int, definitions: int) -> str:
    parts = [
        (shortened, "tool results written shorter"),
        (references, "equal tool results referred to"),
        (definitions, "tool definitions without layout"),
    ]
    return ", ".join(f"{number} {what}" for number, what in parts if number)


def _tokens(message: Message, count: Count) -> float:
    return sum(count(text) for text in texts_of(message) if text)


def _calls_of(messages: tuple[Message, ...], names: tuple[str, ...]) -> frozenset[str]:
    if not names:
        return frozenset()
    return frozenset(
        block.id
        for message in messages
        for block in message.content
        if isinstance(block, ToolUse) and block.name in names
    )
