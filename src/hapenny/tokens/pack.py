"""Packing a conversation: append-only first, then what was decided for the session, then a new decision if it pays."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hapenny.core.messages import Block, Message, Text, Tool, ToolResult
from hapenny.tokens.lossless import Shrinker
from hapenny.tokens.passages import analyse
from hapenny.tokens.relevance import probabilities
from hapenny.tokens.window import (
    CachePrices,
    Count,
    Packed,
    Sessions,
    WindowOptions,
    WindowPlan,
    append_only,
    call_cost,
    clearing_pays,
    facts_of,
    texts_of,
    turns_of,
)

_KNOWN_BY = 3
"""Messages a conversation is known by, beside its session."""
_FACT_LETTERS = 2.5
"""Letters of identifiers, dates and names to a token."""
_OVERHEAD = 4  # tokens a message carries beside its texts
_FILL, _RECALL = 0.6, 0.75
"""Shares of the room that the last turns, and recalled turns after them, may fill when turns are dropped."""
_FILL_CACHED, _RECALL_CACHED = 0.3, 0.4
"""The same where a prefix cache makes each drop dear: what stays is written anew, so drops must be few and deep."""


class Window:
    """Packs conversations; remembers what it decided for each session."""

    def __init__(self, options: WindowOptions | None = None, sessions: Sessions | None = None) -> None:
        self.options = options or WindowOptions()
        self.sessions = sessions or Sessions()
        self.shrink = Shrinker()

    def pack(
        self,
        session: str | None,
        messages: Sequence[Message],
        count: Count,
        *,
        prices: CachePrices | None = None,
        lead: float = 0.0,
        limit: int = 0,
        question: str = "",
        plain: Sequence[Message] | None = None,
        tools: Sequence[Tool] = (),
    ) -> Packed:
        """The messages to send.

        Args:
            session: whose conversation; None: known by its first message.
            count: tokens of a text, by the model's estimator.
            prices: the model's cache prices; None: no prefix cache.
            lead: tokens of system prompt and tools before the messages.
            limit: tokens the model's context has room for (0: unknown); the smaller of it and the option holds.
            plain: the messages as they came, if a stage before this one already shortened them.
            question: what recall is judged by; default: the last human text.
            tools: those on offer; where one asks for exact text, no result is rewritten.
        """
        options = self.options
        if not messages:
            return Packed(messages=())
        packed, shortened, references = append_only(messages, self.shrink, count, options, tools=tools)
        plan = self._plan(session, messages)
        before = [self._tokens(message, count) for message in (plain if plain is not None else messages)]
        after = [self._tokens(message, count) for message in packed]
        self._book(plan, before, after, lead, prices)
        room = min((bound for bound in (options.limit, limit) if bound), default=0)
        sent = self._apply(plan, packed, shortened, references)
        changed = False
        # What was dropped before stays dropped: only what is still sent counts against the room.
        if room and lead + sum(self._tokens(message, count) for message in sent.messages) > room:
            self._drop(plan, packed, after, room - lead, count, question, cached=prices is not None)
            changed = True
        elif prices is not None:
            cleared = plan.cleared
            self._clear(plan, packed, after, count, prices)
            changed = plan.cleared != cleared
        if changed:
            plan.mark = _mark(messages, max(plan.cleared, plan.dropped))
            sent = self._apply(plan, packed, shortened, references)
        # Turns that went for want of room stay away, also where later estimates are lower: the prefix is cached.
        return replace(sent, over=sent.dropped > 0 or (bool(room) and lead + sum(after) > room))

    def summarised(self, session: str | None, messages: Sequence[Message], packed: Packed, summary: str) -> Packed:
        """The packed conversation with a summary of what is gone; it stands there in every later request too."""
        plan = self._plan(session, messages)
        plan.summary = summary
        first = packed.messages[0]
        note = Text(_about(summary, packed.facts))
        content = first.content[:-1] if _is_note(first.content[-1]) else first.content
        first = replace(first, content=(*content, note))
        return replace(packed, messages=(first, *packed.messages[1:]), lost=())

    def _plan(self, session: str | None, messages: Sequence[Message]) -> WindowPlan:
        key = hash((session, *(tuple(texts_of(message)) for message in messages[:_KNOWN_BY])))
        plan = self.sessions.get(key)
        end = max(plan.cleared, plan.dropped)
        if end and plan.mark != _mark(messages, end):
            # Another conversation that begins with the same words, or one whose past was edited.
            plan = self.sessions.renew(key)
        return plan

    @staticmethod
    def _tokens(message: Message, count: Count) -> float:
        return sum(count(text) for text in texts_of(message) if text) + _OVERHEAD

    def _book(
        self, plan: WindowPlan, before: list[float], after: list[float], lead: float, prices: CachePrices | None
    ) -> None:
        """What appending the smaller forms saved with this call."""
        if prices is None:
            return
        plan.calls += 1
        last = max(0, len(before) - 2)
        plain = call_cost(lead + sum(before), lead + sum(before[:last]), prices)
        ours = call_cost(lead + sum(after), lead + sum(after[:last]), prices)
        plan.saved += max(0.0, plain - ours)

    def _clear(
        self, plan: WindowPlan, packed: Sequence[Message], sizes: list[float], count: Count, prices: CachePrices
    ) -> None:
        """Clear old tool results in one batch if that pays."""
        end = len(packed) - self.options.recent
        if end <= plan.cleared:
            return
        removed = 0.0
        first = None
        for place in range(plan.cleared, end):
            gone = sum(
                count(text) - count(facts_of([text], self.options.facts))
                for block in packed[place].content
                if isinstance(block, ToolResult) and not block.error
                for inner in block.content
                if isinstance(inner, Text)
                for text in (inner.text,)
            )
            if gone > 0:
                removed += gone
                first = place if first is None else first
        if first is None:
            return
        behind = sum(sizes[first:]) - removed
        # As many calls are to come as were made (Lindy's law), unless told otherwise.
        expected = max(self.options.expected_calls, float(plan.calls))
        if clearing_pays(removed, behind, plan.saved, expected, prices):
            plan.saved -= behind * (prices.write - prices.read)
            plan.cleared = end

    def _drop(
        self, plan: WindowPlan, packed: Sequence[Message], sizes: list[float], room: float, count: Count, question: str,
        *, cached: bool,
    ) -> None:  # fmt: skip
        """Drop the oldest whole turns, recall the most relevant of them, never the first turn nor the last ones."""
        fill, recall = (_FILL_CACHED, _RECALL_CACHED) if cached else (_FILL, _RECALL)
        turns = turns_of(packed)
        if len(turns) < 3:
            plan.cleared = max(plan.cleared, len(packed) - self.options.recent)
            return
        weights = [sum(sizes[start:end]) for start, end in turns]
        # The note on what is gone takes room too: a summary an eighth of it, the facts as much, or what is left.
        left = 0.9 * room - (room / 8 if self.options.summarise else 0.0)
        fill, recall = min(fill * room, left - room / 8), min(recall * room, left - room / 8)
        keep = weights[0] + weights[-1]
        first_kept = len(turns) - 1
        # Much of the room stays free, so that the next turns only append.
        while first_kept > 1 and keep + weights[first_kept - 1] <= fill:
            first_kept -= 1
            keep += weights[first_kept]
        gone = turns[1:first_kept]
        if not gone:
            return
        asked = question or next((m.text for m in reversed(packed) if m.role == "user" and m.text), "")
        passages = [analyse("", "\n".join(text for m in packed[a:b] for text in texts_of(m)), count) for a, b in gone]
        recalled: list[int] = []
        if asked:
            chances = probabilities(asked, passages)
            owner = [place for place, passage in enumerate(passages) for _ in passage.units]
            best = [0.0] * len(gone)
            for chance, place in zip(chances, owner, strict=True):
                best[place] = max(best[place], chance)
            for place in sorted(range(len(gone)), key=lambda place: -best[place]):
                if keep + weights[1 + place] <= recall:
                    keep += weights[1 + place]
                    recalled.append(1 + place)
        decided = (gone[-1][1], tuple(sorted(recalled)))
        if decided != (plan.dropped, plan.recalled):
            plan.dropped, plan.recalled = decided
            plan.summary = ""
            plan.facts = min(2 * self.options.facts, int(max(0.0, left - keep) * _FACT_LETTERS))

    def _apply(self, plan: WindowPlan, packed: Sequence[Message], shortened: int, references: int) -> Packed:
        messages = list(packed)
        cleared = 0
        for place in range(min(plan.cleared, len(messages))):
            smaller = self._cleared(messages[place])
            cleared += smaller is not messages[place]
            messages[place] = smaller
        dropped = 0
        facts = ""
        lost: list[str] = []
        if plan.dropped and plan.dropped < len(messages):
            turns = turns_of(messages)
            kept = list(messages[: turns[0][1]])
            for number, (start, end) in enumerate(turns[1:], 1):
                if end <= plan.dropped and number not in plan.recalled:
                    dropped += 1
                    lost += [text for message in messages[start:end] for text in texts_of(message)]
                else:
                    kept += messages[start:end]
            # What stands elsewhere for good need not be said again; newer turns may go, so they do not count.
            stays = [text for message in messages[: turns[0][1]] for text in texts_of(message)]
            for number in plan.recalled:
                start, end = turns[number]
                stays += [text for message in messages[start:end] for text in texts_of(message)]
            facts = facts_of(lost, plan.facts, "\n".join(stays))
            if facts or plan.summary:
                kept[0] = replace(kept[0], content=(*kept[0].content, Text(_about(plan.summary, facts))))
            messages = kept
        return Packed(
            messages=tuple(messages),
            shortened=shortened,
            references=references,
            cleared=cleared,
            dropped=dropped,
            recalled=len(plan.recalled),
            lost=() if plan.summary else tuple(lost),
            facts=facts,
        )

    def _cleared(self, message: Message) -> Message:
        content: list[Block] = []
        for block in message.content:
            if isinstance(block, ToolResult) and not block.error:
                texts = [inner.text for inner in block.content if isinstance(inner, Text)]
                facts = facts_of(texts, self.options.facts)
                short = f"(cleared; it held: {facts})" if facts else "(cleared)"
                if len(short) < sum(map(len, texts)):
                    content.append(replace(block, content=(Text(short),)))
                    continue
            content.append(block)
        return (
            replace(message, content=tuple(content))
            if any(a is not b for a, b in zip(content, message.content, strict=True))
            else message
        )


def _mark(messages: Sequence[Message], end: int) -> int:
    return hash(tuple(tuple(texts_of(message)) for message in messages[:end])) if end <= len(messages) else 0


_NOTE = "(Earlier turns were left out."


def _about(summary: str, facts: str) -> str:
    told = f" In short: {summary.strip()}" if summary else ""
    return f"{_NOTE}{told}{f' Facts from them: {facts}' if facts else ''})"


def _is_note(block: Block) -> bool:
    return isinstance(block, Text) and block.text.startswith(_NOTE)
