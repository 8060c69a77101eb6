"""The front door: a page, a WebSocket and a stream of server-sent events, before the orchestrator.

`GET /ws`: JSON texts both ways, `{"type": "message", "text", "language", "age"}` in; `delta`, `tool`, `cards` and
`done` out. `POST /chat` with the same body answers with the same pieces as events. A session is a cookie of this site.
One turn at a time in a session; messages are bounded; requests from other sites' pages are refused.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import WSMsgType, web

from hapenny import Gateway
from mangaassist.catalogue import Volume
from mangaassist.data_files import QUESTIONS
from mangaassist.orchestrator import Orchestrator, Reply, Told, Turn
from mangaassist.recognise import LANGUAGES
from mangaassist.sqlite_shop import SqliteShop

PAGE = Path(__file__).with_name("page")
_MOST = 8_192
"""Bytes of a message."""
_CHARACTERS = 1_000
_TRIED = ("product_info", "shipping", "store")
_SESSION = re.compile(r"[A-Za-z0-9_-]{16,64}")
_COOKIE = "mangaassist"
_IDLE_S = 600.0
_BUSY = "one message at a time, please"
_POLICY = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; frame-ancestors 'none'"


class Asks(msgspec.Struct):
    """A message of the page."""

    text: str
    type: str = "message"
    language: str = ""
    age: int = 0


class Cards(msgspec.Struct, frozen=True, tag="cards"):
    """Volumes that the answer speaks of, and where its words come from."""

    products: list[dict[str, Any]]
    citations: list[dict[str, Any]]


class FrontDoor:
    """The HTTP application.

    Args:
        gateway: the embedded gateway, for its clock and its books.
        shop: whose assistant it is.
        assistant: answers.
        simulated: whether models are simulated, which the page says.
    """

    def __init__(self, gateway: Gateway, shop: SqliteShop, assistant: Orchestrator, *, simulated: bool) -> None:
        self._gateway, self._shop, self._assistant, self._simulated = gateway, shop, assistant, simulated
        self._busy: set[str] = set()
        self._paid: dict[str, tuple[int, int, int]] = {}
        self.app = web.Application(client_max_size=_MOST, middlewares=[_guarded])
        self.app.add_routes([
            web.get("/", self._page),
            web.get("/ws", self._ws),
            web.post("/chat", self._chat),
            web.get("/api/shop", self._about),
            web.get("/health", self._health),
            web.static("/static", PAGE),
        ])  # fmt: skip

    # -- pages ---------------------------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.StreamResponse:
        answer = web.Response(
            text=(PAGE / "index.html").read_text(encoding="utf-8"), content_type="text/html",
            headers={"cache-control": "no-store"},
        )  # fmt: skip
        if not _SESSION.fullmatch(request.cookies.get(_COOKIE, "")):
            answer.set_cookie(
                _COOKIE, self._gateway.clock.new_id("s_"), httponly=True, samesite="Strict", max_age=86_400
            )
        return answer

    async def _about(self, request: web.Request) -> web.Response:
        """What the page needs to begin: who is simulated, questions to try, and the conversation so far."""
        session = _cookie(request)
        return web.json_response({
            "simulated": self._simulated,
            "suggestions": await suggestions(self._shop, _user(session)),
            "history": await self._assistant.history(session),
            "session": _spent(*self._paid.get(session, (0, 0, 0))),
        })  # fmt: skip

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "titles": await self._shop.count()})

    # -- conversations -------------------------------------------------------------------------------------------

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        session = _cookie(request)
        socket = web.WebSocketResponse(max_msg_size=_MOST, heartbeat=20.0, receive_timeout=_IDLE_S)
        await socket.prepare(request)
        answering: asyncio.Task[None] | None = None
        try:
            # It goes on listening while it answers: who leaves in the middle lets go of the model at once.
            async for message in socket:
                if message.type != WSMsgType.TEXT:
                    break
                if answering is not None and not answering.done():
                    await socket.send_str(_error(_BUSY).decode())
                    continue
                answering = asyncio.create_task(self._answer(socket, session, message.data.encode()))
        except (TimeoutError, ConnectionError):
            pass
        finally:
            if answering is not None:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, session: str, body: bytes) -> None:
        async with aclosing(self._pieces(session, body)) as pieces:
            async for piece in pieces:
                await socket.send_str(piece.decode())

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        session, body = _cookie(request), await request.read()
        answer = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-store"})
        await answer.prepare(request)
        async with aclosing(self._pieces(session, body)) as pieces:
            async for piece in pieces:
                await answer.write(b"data: " + piece + b"\n\n")
        await answer.write_eof()
        return answer

    async def _pieces(self, session: str, body: bytes) -> AsyncGenerator[bytes, None]:
        """One message's answer, piece by piece, as JSON."""
        try:
            asks = msgspec.json.decode(body, type=Asks)
        except msgspec.DecodeError as error:
            yield _error(f"not understood: {error}")
            return
        text = asks.text.strip()
        if asks.type == "ping":
            yield b'{"type":"pong"}'
            return
        if not text or len(text) > _CHARACTERS:
            yield _error(f"a message has 1 to {_CHARACTERS} characters")
            return
        if session in self._busy:
            yield _error(_BUSY)
            return
        self._busy.add(session)
        try:
            turn = Turn(
                session=session, user=_user(session), text=text, age=max(0, min(asks.age, 120)),
                language=asks.language if asks.language in LANGUAGES else "",
            )  # fmt: skip
            told: list[Told] = []
            async with aclosing(self._assistant.answer(turn)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Told):
                        told.append(piece)
                    if isinstance(piece, Reply):
                        yield msgspec.json.encode(await self._cards(piece, told))
                        yield msgspec.json.encode(self._totals(session, piece))
                    else:
                        yield msgspec.json.encode(piece)
        finally:
            self._busy.discard(session)

    async def _cards(self, reply: Reply, told: list[Told]) -> Cards:
        """Products of tool results and of the passages whose title the answer names; passages as citations."""
        named = set(self._shop.titles.named(reply.text).series) if reply.text else set()
        skus = [str(each.result["sku"]) for each in told if "sku" in each.result]
        for each in told:
            skus += [str(volume["sku"]) for volume in each.result.get("volumes", [])]
        citations, shown = [], set[str]()
        for passage in reply.passages:
            head = passage.partition("\n")[0]
            series = self._shop.titles.in_head(head)
            if series in named:
                named.discard(series)  # one card of a series will do
                skus += _SKU.findall(head)[:1]
                shown.add(series)
            citations.append({"head": head, "text": passage, "used": series in shown or _shares(passage, reply.text)})
        volumes = [await self._shop.of_sku(sku) for sku in dict.fromkeys(skus)]
        products = [_product(volume, reply.language) for volume in volumes if volume is not None][:4]
        return Cards(products, citations)

    def _totals(self, session: str, reply: Reply) -> dict[str, Any]:
        """The end of an answer: what it cost and saved, and the session so far."""
        paid, saved, turns = self._paid.pop(session, (0, 0, 0))
        now = (paid + (reply.actual or 0), saved + (reply.saved or 0), turns + 1)
        self._paid[session] = now
        while len(self._paid) > 20_000:
            self._paid.pop(next(iter(self._paid)))
        whole: dict[str, Any] = msgspec.to_builtins(reply)
        whole.pop("passages")
        return {**whole, "session": _spent(*now)}


_SKU = re.compile(r"KB-\d+")
_LONG = re.compile(r"[^\W\d_]{6,}|\d+[.:]\d\d")


def _shares(passage: str, text: str) -> bool:
    """Whether an answer takes more than two long words or a figure from a page."""
    own = set(_LONG.findall(text))
    return len(own & set(_LONG.findall(passage))) > 2


def _spent(actual: int, saved: int, turns: int) -> dict[str, int]:
    """What a session paid and saved so far, nano-dollars, over its turns."""
    return {"actual": actual, "saved": saved, "turns": turns}


def _product(volume: Volume, language: str) -> dict[str, Any]:
    series = volume.series
    return {
        "sku": volume.sku, "title": series.titles[language], "volume": volume.number, "author": series.author,
        "genre": series.genres[language], "age": series.age, "price": volume.price, "stock": volume.stock,
        "released": volume.released.isoformat(), "about": series.about,
    }  # fmt: skip


def _cookie(request: web.Request) -> str:
    session = request.cookies.get(_COOKIE, "")
    if not _SESSION.fullmatch(session):
        raise web.HTTPForbidden(text="no session. Fix: open the page first")
    return session


def _user(session: str) -> str:
    """The shop's customer behind a session: a demonstration has no log-in, so each session plays one of them."""
    return f"reader-{1 + sum(session.encode()) % 40}"


def _error(text: str) -> bytes:
    return msgspec.json.encode({"type": "error", "message": text})


async def suggestions(shop: SqliteShop, user: str) -> dict[str, list[str]]:
    """Questions to try, by language: what the shop's books answer, and what is a model's business."""
    orders = await shop.orders(user)
    order = orders[0] if orders else "H-482193"
    volume = await shop.volume("S004", 2)
    assert volume is not None
    titles = volume.series.titles
    model = known_questions()
    return {
        "en": [
            f"Where is my order {order}?", f"Is volume 2 of {titles['en']} in stock?",
            "What are your opening hours on Saturday?", *model["en"],
        ],
        "ja": [
            f"注文{order}はどこにありますか?", f"{titles['ja']}の2巻は在庫がありますか?", "返品は何日以内ですか?",
            *model["ja"],
        ],
        "vi": [
            f"Đơn hàng {order} của tôi đâu rồi?", f"{titles['vi']} tập 2 còn hàng không?", "Thứ bảy mở cửa mấy giờ?",
            *model["vi"],
        ],
    }  # fmt: skip


@cache
def known_questions() -> dict[str, list[str]]:
    """By language, one question of each kind that a model answers here; simulated ones know them."""
    questions: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    with QUESTIONS.open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            item = entry["item"]
            questions[item["language"]].setdefault(item["intent"], entry["question"])
    return {language: [kinds[kind] for kind in _TRIED if kind in kinds] for language, kinds in questions.items()}


@web.middleware
async def _guarded(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refuses other sites' pages, and sets headers that keep ours alone in its frame."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="requests of other sites' pages are refused")
    answer: web.StreamResponse = await handler(request)
    if not answer.prepared:
        answer.headers["content-security-policy"] = _POLICY
        answer.headers["x-content-type-options"] = "nosniff"
        answer.headers["referrer-policy"] = "no-referrer"
    return answer


async def serve(door: FrontDoor, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Starts serving; the runner to clean up, and the port."""
    runner = web.AppRunner(door.app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    return runner, int(runner.addresses[0][1])
