"""The orchestrator: a customer's message in, pieces of the answer out, and what they cost and saved.

message -> recognised? -> tool result, answered by template (route `scripted`)
        -> else sized passages -> route `chat`: caches, tier, model -> tools, at most three rounds -> answer

The gateway is embedded: the orchestrator asks it as a library. Money, caches, tiers, guardrails, quotas and books are
the gateway's; what the shop knows, and which questions need no model, is the application's.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from hapenny import (
    Collector,
    Context,
    Exchange,
    Failure,
    Gateway,
    Message,
    Parameters,
    Request,
    Text,
    TextDelta,
    Tool,
    ToolResult,
    ToolUse,
)
from mangaassist.context import sized
from mangaassist.denied import DECLINED
from mangaassist.prompt import HANDED_OVER, SYSTEM, TOOLS, UNAVAILABLE
from mangaassist.recognise import Asked, Recogniser, language_of
from mangaassist.shop import Desk, Looked, Shop, look_up, run, too_young

_ROUNDS = 3
"""Tool calls that are answered before the orchestrator gives up."""
_SESSIONS = 20_000
_TICKET_S = 3_600.0
"""For so long a conversation has one ticket."""
_TURNS = 12
"""Turns of a session that go into the prompt."""
MAX_TOKENS = 600
SCRIPTED, CHAT = "scripted", "chat"
"""Routes of the gateway."""


class Settings(Struct, frozen=True, kw_only=True):
    """What of the application's own savings is on. `scripted`: recognised questions are answered by template; `sized`:
    passages are sized to the question; `model`: what is asked for."""

    scripted: bool = True
    sized: bool = True
    model: str = "auto"


class Turn(Struct, frozen=True, kw_only=True):
    """A message of a customer, and what its channel brings with it."""

    session: str
    text: str
    user: str = ""
    language: str = ""
    """As the session's page says; the message's own signs go first."""
    age: int = 0
    """Of the reader, where the shop knows it; 0: it does not."""
    passages: Sequence[str] | None = None
    """What retrieval found; None: the shop is asked."""
    system: str | None = None
    tools: Sequence[Tool] | None = None


class Delta(Struct, frozen=True, tag="delta"):
    """A piece of the answer."""

    text: str


class Told(Struct, frozen=True, tag="tool"):
    """A tool's result, for cards and the order's state."""

    tool: str
    result: dict[str, Any]


class Reply(Struct, frozen=True, kw_only=True, tag="done"):
    """The end of an answer. Nano-dollars, seconds; money is None where a price is unknown."""

    text: str
    language: str
    intent: str = ""
    """What was recognised; "": the model's business."""
    failure: str = ""
    """Kind of the failure, "" for none; the customer got a kind sentence instead."""
    passages: tuple[str, ...] = ()
    """What the model was given, in the order of the citations."""
    actual: int | None = 0
    saved: int | None = 0
    savings: dict[str, int] = {}
    requests: int = 0
    calls: int = 0
    models: tuple[str, ...] = ()
    """Who answered each request; "" where no model was asked."""
    ids: tuple[str, ...] = ()
    first_s: float | None = None
    whole_s: float | None = None
    holdout: bool = False
    degraded: bool = False
    declined: bool = False
    """Whether a guardrail answered, because of what was asked or of what a model was about to say."""


class _Session(Struct):
    """What is remembered of a conversation."""

    turns: list[tuple[str, str]] = field(default_factory=list)
    asked: list[Any] | None = None
    """What the last message asked, if it was recognised."""
    titles: tuple[str, ...] = ()
    language: str = "en"
    ticket: tuple[int, float] | None = None
    """The last one, and when it was opened, epoch seconds."""


class _Asking(NamedTuple):
    """A message made into a request."""

    request: Request
    route: str
    passages: tuple[str, ...]
    told: Told | None


class Orchestrator:
    """Answers messages of all sessions.

    Args:
        gateway: started; has the routes `scripted` and `chat` (`gateway_config`).
        shop: whose assistant it is.
        settings: what of the application's own savings is on.
        desk: keeps sessions and takes over; None: sessions live in memory, and nobody takes over.
    """

    def __init__(
        self, gateway: Gateway, shop: Shop, settings: Settings | None = None, desk: Desk | None = None
    ) -> None:
        self._gateway, self._shop, self._desk = gateway, shop, desk
        self._settings = settings or Settings()
        self._recogniser = Recogniser(shop.titles)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    async def answer(self, turn: Turn, shop: Shop | None = None) -> AsyncGenerator[Delta | Told | Reply, None]:
        """The pieces of an answer as they come; the last one is the `Reply`. `shop`: as it stands at this moment, where
        that is another one."""
        shop = shop if shop is not None else self._shop
        session = await self._session(turn.session)
        language = language_of(turn.text, turn.language or session.language)
        before = Asked(*session.asked) if session.asked is not None else None
        asked = self._recogniser.recognise(turn.text, language, before) if self._settings.scripted else None
        if asked is None and self._settings.scripted and language == "en" and "vi" in (turn.language, session.language):
            asked = self._recogniser.recognise(turn.text, "vi", before)  # Vietnamese, typed without its marks
            language = "vi" if asked is not None else language
        asking = await self._asking(turn, session, language, asked, shop)
        self._remember(session, turn, language, asked if asking.route == SCRIPTED else None, shop)
        if asking.told is not None:
            yield asking.told
        context = Context(
            user=turn.user or None, session=turn.session, locale=language, route=asking.route,
            feature=asked.intent if asked is not None else None,
        )  # fmt: skip
        clock = self._gateway.clock
        began, first = clock.now(), None
        exchanges: list[Exchange] = []
        request, failure, text, said, declined = asking.request, "", "", "", False
        for _ in range(_ROUNDS):
            exchange: Exchange | None = None
            collector = Collector()
            try:
                exchange = self._gateway.open(request, context, route=asking.route)
                exchanges.append(exchange)
                async with aclosing(await self._gateway.answer(exchange)) as events:
                    async for event in events:
                        collector.feed(event)
                        if isinstance(event, TextDelta):
                            first = clock.now() - began if first is None else first
                            said += event.text
                            yield Delta(event.text)
                completion = collector.finish()
            except Failure as error:
                failure = error.kind
                break
            finally:
                if exchange is not None:
                    self._gateway.close(exchange)
            if completion.reason == "guardrail":
                declined, text = True, f"{said}\n{DECLINED[language]}".strip()
                yield Delta(text.removeprefix(said))
                break
            text, call = completion.text, completion.tool_use
            if call is None:
                break
            arguments = call.decoded()
            if call.name == "hand_over":
                result = await self._hand_over(turn, session, str(arguments.get("summary", "")))
            else:
                result = await run(call.name, arguments, shop, turn.user, turn.age)
            yield Told(call.name, result)
            request = _answered(request, call, result)
        if failure and not said:
            yield Told("hand_over", await self._hand_over(turn, session, turn.text))
            yield Delta(UNAVAILABLE[language])
        if not declined:  # it would stand in every prompt of the session, and be declined each time
            session.turns.append((turn.text, text or "(no answer)"))
            del session.turns[:-_TURNS]
        if self._desk is not None:
            await self._desk.save(turn.session, msgspec.msgpack.encode(session), clock.wall())
        recognised = asked if asking.route == SCRIPTED else None
        reply = self._reply(exchanges, recognised, asking, language, text, failure, first, clock.now() - began)
        yield replace(reply, declined=True, passages=()) if declined else reply

    # -- the request ---------------------------------------------------------------------------------------------

    async def _asking(
        self, turn: Turn, session: _Session, language: str, asked: Asked | None, shop: Shop
    ) -> _Asking:  # fmt: skip
        looked: Looked | None = None
        if asked is not None and asked.intent == "human":
            recent = "\n".join(question for question, _ in session.turns[-3:])
            ticket = await self._hand_over(turn, session, recent)
            looked = Looked("shop_says", {"about": "colleague"}, {"sentence": HANDED_OVER[language], **ticket})
        elif asked is not None:
            looked = await look_up(asked, shop, turn.user, turn.age)
        if looked is not None:
            call = ToolUse("lookup", looked.tool, json.dumps(looked.arguments, ensure_ascii=False))
            request = self._request(turn, session, (), SCRIPTED)
            return _Asking(_answered(request, call, looked.result), SCRIPTED, (), Told(looked.tool, looked.result))
        passages = turn.passages
        if passages is None:
            passages = await shop.passages(turn.text, language, age=turn.age)
        if self._settings.sized:
            passages = sized(passages, turn.text, shop.titles, session.titles)
        if turn.age:
            passages = [passage for passage in passages if await self._suits(passage, turn.age, shop)]
        return _Asking(self._request(turn, session, passages, CHAT), CHAT, tuple(passages), None)

    def _request(self, turn: Turn, session: _Session, passages: Sequence[str], route: str) -> Request:
        messages: list[Message] = []
        for question, answer in session.turns:
            messages.append(Message("user", (Text(question),)))
            messages.append(Message("assistant", (Text(answer),)))
        content = "".join(f"<document>\n{passage}\n</document>\n" for passage in passages)
        messages.append(Message("user", (Text(f"{content}\n{turn.text}" if content else turn.text),)))
        return Request(
            protocol="openai",
            model=self._settings.model,
            system=(Text(SYSTEM if turn.system is None else turn.system),),
            messages=tuple(messages),
            tools=tuple(TOOLS if turn.tools is None else turn.tools),
            parameters=Parameters(max_tokens=MAX_TOKENS, temperature=0.0),
            stream=True,
        )

    # -- sessions ------------------------------------------------------------------------------------------------

    async def _suits(self, passage: str, age: int, shop: Shop) -> bool:
        """Whether a passage may stand before a reader of this age: what the model does not see it cannot praise."""
        id = shop.titles.in_head(passage.partition("\n")[0])
        series = await shop.series(id) if id else None
        return series is None or not too_young(series, age)

    async def _hand_over(self, turn: Turn, session: _Session, summary: str) -> dict[str, Any]:
        """Hands the conversation to a colleague; who asks again soon has that ticket already."""
        if self._desk is None:
            return {"handed_over": False}
        now = self._gateway.clock.wall()
        if session.ticket is None or now - session.ticket[1] > _TICKET_S:
            number = await self._desk.hand_over(turn.session, summary or turn.text, now)
            session.ticket = (number, now)
        number = session.ticket[0]
        return {"handed_over": True, "ticket": number, "usual_wait": "10 minutes"}

    async def _session(self, id: str) -> _Session:
        session = self._sessions.pop(id, None)
        if session is None and self._desk is not None:
            kept = await self._desk.load(id)
            session = msgspec.msgpack.decode(kept, type=_Session) if kept is not None else None
        session = session if session is not None else _Session()
        self._sessions[id] = session
        if len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def _remember(self, session: _Session, turn: Turn, language: str, asked: Asked | None, shop: Shop) -> None:
        session.language, session.asked = language, list(asked) if asked is not None else None
        named = shop.titles.named(turn.text).series
        if named:
            session.titles = named
        elif asked is not None and asked.series:
            session.titles = (asked.series,)

    async def history(self, id: str) -> list[tuple[str, str]]:
        """Questions and answers of a session so far, for a page that is loaded again."""
        return list((await self._session(id)).turns)

    def forget(self, id: str) -> None:
        """Ends a session."""
        self._sessions.pop(id, None)

    # -- the end -------------------------------------------------------------------------------------------------

    def _reply(
        self, exchanges: Sequence[Exchange], asked: Asked | None, asking: _Asking, language: str, text: str,
        failure: str, first: float | None, whole: float,
    ) -> Reply:  # fmt: skip
        totals = self._gateway.spent(exchanges)
        return Reply(
            text=text, language=language, intent=asked.intent if asked is not None else "", failure=failure,
            passages=asking.passages, actual=totals.actual, saved=totals.saved, savings=totals.savings,
            requests=len(exchanges), calls=sum(len(exchange.calls) for exchange in exchanges),
            models=tuple(exchange.calls[-1].target.model if exchange.calls else "" for exchange in exchanges),
            ids=tuple(exchange.id for exchange in exchanges), first_s=first, whole_s=None if failure else whole,
            holdout=any(exchange.holdout for exchange in exchanges),
            degraded=any(exchange.answer.degraded for exchange in exchanges),
        )  # fmt: skip


def _answered(before: Request, call: ToolUse, result: Mapping[str, Any]) -> Request:
    """The request that goes on after a tool call, with the tool's answer."""
    asked = Message("assistant", (call,))
    outcome = Message("tool", (ToolResult(call.id, (Text(json.dumps(result, ensure_ascii=False)),)),))
    return replace(before, messages=(*before.messages, asked, outcome))
