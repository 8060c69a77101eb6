"""The conversation window under prompt-cache prices.

A provider's prefix cache makes what is already sent cost a tenth, and what is changed cost a quarter more than new: a
rolling window of 16 messages keeps 85 % of the tokens at twice the price. So the window only appends: a tool result is
written in its smallest lossless form when it first comes (and keeps those bytes), a result equal to an earlier one
becomes a reference to it. Old tool results are cleared only in one batch, when by the prices that pays for itself from
what is already saved, or when the model's context would overflow; then whole turns go, pairs of tool calls and results
together, and what is needed is recalled by relevance with the session's facts kept verbatim.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from hapenny.core.messages import Block, Data, Message, Text, Thinking, Tool, ToolResult, ToolUse
from hapenny.core.patterns import pattern
from hapenny.core.stage_spec import INSIDE
from hapenny.tokens.exact import exact_calls, quotes
from hapenny.tokens.lossless import Shrinker, are_records, minify

Count = Callable[[str], float]
Results = Literal["records", "json"]


class CachePrices(msgspec.Struct, frozen=True, kw_only=True):
    """Prices of the prefix cache relative to plain input, and the shortest prefix that is cached, in tokens."""

    read: float = 0.1
    write: float = 1.25
    minimum: int = 1024


class WindowOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a long conversation is kept within its tokens."""

    limit: Annotated[int, Meta(description="Tokens the conversation may take; 0: no limit but the model's.")] = 0
    recent: Annotated[int, Meta(description="The last messages, which are never touched.")] = 8
    results: Annotated[
        Results,
        Meta(
            description="Which tool results may be written shorter: `records` (arrays of records that are no "
            "file's text) or `json` (all JSON).",
        ),
    ] = "records"
    duplicate_tokens: Annotated[
        int,
        Meta(description="From which size an equal result becomes a reference.", extra=INSIDE),
    ] = 24
    expected_calls: Annotated[
        float,
        Meta(description="Calls still expected when nothing is known about the session.", extra=INSIDE),
    ] = 4.0
    facts: Annotated[
        int,
        Meta(
            description="Characters of facts kept of each cleared result; of all dropped turns twice that at most.",
            extra=INSIDE,
        ),
    ] = 600
    summarise: Annotated[
        bool,
        Meta(description="Whether the fast tier writes a summary each time turns are dropped."),
    ] = False
    summary_seconds: Annotated[float, Meta(description="How long that may take.", extra=INSIDE)] = 5.0

    def __post_init__(self) -> None:
        if self.limit < 0 or self.recent < 2 or self.expected_calls < 0 or self.summary_seconds <= 0:
            raise ValueError(
                "limit must be at least 0, recent at least 2, expected_calls at least 0, summary_seconds above 0"
            )


class Packed(msgspec.Struct, kw_only=True):
    """The conversation as it will be sent, and how many results were shortened, referred to or cleared, turns
    dropped and recalled."""

    messages: tuple[Message, ...]
    over: bool = False
    """Whether the whole conversation takes, or took once, more than there is room for."""
    shortened: int = 0
    references: int = 0
    cleared: int = 0
    dropped: int = 0
    recalled: int = 0
    lost: tuple[str, ...] = ()
    """Texts of the turns that are gone and have no summary yet."""
    facts: str = ""
    """What stands for the turns that are gone, verbatim."""


def texts_of(message: Message) -> list[str]:
    """Every text of a message that the model reads."""
    texts: list[str] = []
    for block in message.content:
        texts += block_texts(block)
    return texts


def block_texts(block: Block) -> list[str]:
    """Every text of a block that the model reads."""
    if isinstance(block, Text | Thinking):
        return [block.text]
    if isinstance(block, ToolUse):
        return [block.name, block.arguments]
    if isinstance(block, ToolResult):
        return [text for inner in block.content for text in block_texts(inner)]
    if isinstance(block, Data):
        return [minify(block.value)]
    return []


def append_only(
    messages: Sequence[Message],
    shrink: Shrinker,
    count: Count,
    options: WindowOptions,
    untouched: frozenset[str] = frozenset(),
    *,
    tools: Sequence[Tool] = (),
    results: Results | None = None,
) -> tuple[list[Message], int, int]:
    """Lossless forms and references, decided by each message and those before it alone: the prefix never changes.

    Args:
        messages: the conversation.
        shrink: finds the smaller forms.
        count: tokens of a text.
        options: of the window.
        untouched: ids of calls whose results stay as they are.
        tools: those on offer; where one asks for exact text, every result stays.
        results: which results may be rewritten, instead of what the options say.

    Returns:
        the messages, how many results were shortened and how many became references.
    """
    anything = (results or options.results) == "json"
    if not anything:
        if quotes(tools):
            return list(messages), 0, 0
        untouched |= exact_calls(messages)
    seen: dict[str, str] = {}
    shortened = references = 0
    packed: list[Message] = []
    for message in messages:
        content: list[Block] = []
        for block in message.content:
            if not isinstance(block, ToolResult) or len(block.content) != 1 or block.error or block.id in untouched:
                content.append(block)
                continue
            inner = block.content[0]
            if isinstance(inner, Data) and (anything or are_records(inner.value)):
                inner = Text(minify(inner.value), inner.checkpoint)
            if not isinstance(inner, Text) or inner.citations:
                content.append(block)
                continue
            shorter = shrink(inner.text, count)
            if not anything and not shorter.records:
                content.append(block)
                continue
            earlier = seen.setdefault(inner.text, block.id)
            if earlier != block.id and count(inner.text) >= options.duplicate_tokens:
                references += 1
                same = replace(inner, text=f"(the same as the result of {earlier})")
                content.append(replace(block, content=(same,)))
                continue
            if shorter.form == "same":
                content.append(block)
            else:
                shortened += 1
                content.append(replace(block, content=(replace(inner, text=shorter.text),)))
        changed = any(a is not b for a, b in zip(content, message.content, strict=True))
        packed.append(replace(message, content=tuple(content)) if changed else message)
    return packed, shortened, references


def turns_of(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """Whole turns as (start, end): each begins with a human message; tool calls and results stay together."""
    starts = [place for place, message in enumerate(messages) if is_human(message)]
    if not starts or starts[0] != 0:
        starts.insert(0, 0)
    return list(zip(starts, [*starts[1:], len(messages)], strict=True))


def is_human(message: Message) -> bool:
    """A user message that is more than tool results."""
    return message.role == "user" and any(not isinstance(block, ToolResult) for block in message.content)


def orphans(messages: Sequence[Message]) -> int:
    """Tool results without their call before them, and calls without a result although the conversation went on."""
    called: set[str] = set()
    answered: set[str] = set()
    wrong = 0
    for message in messages:
        for block in message.content:
            if isinstance(block, ToolUse):
                called.add(block.id)
            elif isinstance(block, ToolResult):
                wrong += block.id not in called
                answered.add(block.id)
    last = {block.id for block in messages[-1].content if isinstance(block, ToolUse)} if messages else set()
    return wrong + len(called - answered - last)


def call_cost(tokens: float, cached: float, prices: CachePrices) -> float:
    """The input price of one call, in plain input tokens: `cached` of its first tokens are in the cache already."""
    if tokens < prices.minimum:
        return tokens
    known = cached if cached >= prices.minimum else 0.0
    return prices.read * known + prices.write * (tokens - known)


def clearing_pays(removed: float, behind: float, saved: float, expected_calls: float, prices: CachePrices) -> bool:
    """Whether taking `removed` tokens out pays: `behind` tokens after the first change are written again.

    What it costs now must be covered by what the session already saved, so that no session ever costs more than
    plain appending, and what is expected back must be twice that.
    """
    price = behind * (prices.write - prices.read)
    return price <= saved and removed * prices.read * expected_calls > 2 * price


_FACT = pattern(
    r"[\w.+-]{1,64}@[\w-]{1,64}\.[\w.]+|\b(?=[\w-]{0,64}\d)[A-Za-z0-9][\w:.-]{2,}\b|\b[A-Z][a-zà-ỹ]+(?: [A-ZĐ][\w'-]+)+|https?://\S+"
)


def facts_of(texts: Sequence[str], room: int, said: str = "") -> str:
    """Identifiers, numbers, dates, names and addresses, verbatim, each once, in order, within `room` characters; those
    that stand in `said` are left out."""
    facts: dict[str, None] = {}
    left = room
    for text in texts:
        for match in _FACT.findall(text):
            if match not in facts and match not in said:
                left -= len(match) + 2
                if left < 0:
                    return ", ".join(facts)
                facts[match] = None
    return ", ".join(facts)


class Sessions:
    """Which conversations were compacted where, so that the same bytes are sent again; bounded, and no text is kept
    but a summary where one was asked for."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._plans: OrderedDict[int, WindowPlan] = OrderedDict()
        self._capacity = capacity

    def get(self, key: int) -> WindowPlan:
        """The plan of a conversation; a new one if it was never seen."""
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = WindowPlan()
            if len(self._plans) > self._capacity:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return plan

    def renew(self, key: int) -> WindowPlan:
        """A new plan in place of what was decided."""
        self._plans[key] = WindowPlan()
        return self._plans[key]


class WindowPlan(msgspec.Struct, kw_only=True):
    """What was decided for a conversation: tool results of messages before `cleared` are replaced by their facts,
    messages from the second turn to `dropped` are gone but for `recalled`, `summary` stands for them; `saved` in plain
    input tokens. `mark` is the hash of the messages that was decided on, `facts`
    how many letters of facts stand for what is dropped."""

    cleared: int = 0
    dropped: int = 0
    recalled: tuple[int, ...] = ()
    summary: str = ""
    saved: float = 0.0
    calls: int = 0
    mark: int = 0
    facts: int = 0
