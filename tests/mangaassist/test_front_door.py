"""Page, WebSocket and stream of events, as a browser uses them."""

import asyncio
import json

import aiohttp
import pytest

from hapenny import Gateway
from hapenny.backends.simulated import SimulatedBackend
from hapenny.core.clock import RealClock
from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.provider import SimulatedProvider
from mangaassist.cli import demo_config
from mangaassist.front_door import FrontDoor, serve
from mangaassist.orchestrator import Orchestrator
from mangaassist.sqlite_shop import SqliteShop
from tests.mangaassist.test_orchestrator import TODAY


@pytest.fixture
async def url():
    shop = SqliteShop(":memory:", TODAY)
    async with Gateway(demo_config()) as gateway:
        door = FrontDoor(gateway, shop, Orchestrator(gateway, shop, desk=shop), simulated=True)
        runner, port = await serve(door, "127.0.0.1", 0)
        yield f"http://127.0.0.1:{port}/"
        await runner.cleanup()
    await shop.aclose()


@pytest.fixture
async def client():
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def listen(socket):
    pieces = []
    while not pieces or pieces[-1]["type"] not in ("done", "error"):
        pieces.append(await socket.receive_json(timeout=20))
    return pieces


async def test_a_page_asks_and_is_told_what_it_cost(url, client):
    page = await client.get(url)
    assert "MangaAssist" in await page.text()
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    async with client.ws_connect(url + "ws") as socket:
        await socket.send_json({"type": "message", "text": "Is volume 2 of Silver Teahouse in stock?"})
        stock = await listen(socket)
        await socket.send_json({"type": "message", "text": "Who wrote Quiet Pilot?"})
        written = await listen(socket)
    cards = next(piece for piece in stock if piece["type"] == "cards")
    assert cards["products"][0]["title"] == "Silver Teahouse"
    assert stock[-1]["actual"] == 0
    assert written[-1]["actual"] > 0
    assert written[-1]["session"]["turns"] == 2
    assert written[-1]["session"]["saved"] > stock[-1]["saved"] - 1
    sources = next(piece for piece in written if piece["type"] == "cards")["citations"]
    assert any("Quiet Pilot" in each["head"] for each in sources)


async def test_the_same_as_a_stream_of_events(url, client):
    await client.get(url)
    answer = await client.post(url + "chat", json={"text": "sunday opening"})
    assert answer.content_type == "text/event-stream"
    events = [json.loads(line[6:]) for line in (await answer.text()).splitlines() if line.startswith("data: ")]
    assert events[-1]["type"] == "done"
    assert "closed on Sundays" in events[-1]["text"]


async def test_what_is_no_message_is_refused_and_the_connection_stays(url, client):
    await client.get(url)
    async with client.ws_connect(url + "ws") as socket:
        for wrong in ("{", '{"type": "message"}', '{"text": ""}', json.dumps({"text": "x" * 5_000})):
            await socket.send_str(wrong)
            assert (await listen(socket))[-1]["type"] == "error"
        await socket.send_json({"type": "ping", "text": ""})
        assert (await socket.receive_json(timeout=5))["type"] == "pong"


async def test_other_sites_pages_and_visitors_without_a_session_are_refused(url, client):
    assert (await client.post(url + "chat", json={"text": "hello"})).status == 403
    await client.get(url)
    answer = await client.post(url + "chat", json={"text": "hello"}, headers={"origin": "https://elsewhere.example"})
    assert answer.status == 403


class Held(SimulatedBackend):
    """Answers when it is let go, and counts who waits."""

    def __init__(self):
        super().__init__("provider", SimulatedProvider(RealClock(), MANGA_2024))
        self.waiting = 0
        self.go, self.asked, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def call(self, request, target, limits):
        self.waiting += 1
        self.asked.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        finally:
            self.waiting -= 1
        return await super().call(request, target, limits)


@pytest.fixture
async def held():
    shop, backend = SqliteShop(":memory:", TODAY), Held()
    async with Gateway(demo_config(), backends={"provider": backend}) as gateway:
        door = FrontDoor(gateway, shop, Orchestrator(gateway, shop, desk=shop), simulated=True)
        runner, port = await serve(door, "127.0.0.1", 0)
        yield f"http://127.0.0.1:{port}/", backend
        await runner.cleanup()
    await shop.aclose()


async def test_who_reloads_in_the_middle_lets_go_of_the_model_and_may_ask_again(held, client):
    url, backend = held
    await client.get(url)
    async with client.ws_connect(url + "ws") as socket:
        await socket.send_json({"text": "Who wrote Quiet Pilot?"})
        await asyncio.wait_for(backend.asked.wait(), 10)
    await asyncio.wait_for(backend.left.wait(), 10)
    assert backend.waiting == 0
    backend.go.set()
    async with client.ws_connect(url + "ws") as socket:
        await socket.send_json({"text": "Who wrote Quiet Pilot?"})
        assert (await listen(socket))[-1]["type"] == "done"


async def test_a_second_tab_is_told_to_wait_and_the_first_one_gets_its_answer(held, client):
    url, backend = held
    await client.get(url)
    async with client.ws_connect(url + "ws") as first, client.ws_connect(url + "ws") as second:
        await first.send_json({"text": "Who wrote Quiet Pilot?"})
        await asyncio.wait_for(backend.asked.wait(), 10)
        for socket in (first, second):
            await socket.send_json({"text": "hello"})
            assert "one message at a time" in (await listen(socket))[-1]["message"]
        backend.go.set()
        assert (await listen(first))[-1]["type"] == "done"
        await second.send_json({"text": "hello"})
        assert (await listen(second))[-1]["type"] == "done"


async def test_a_page_that_is_loaded_again_shows_the_conversation(url, client):
    await client.get(url)
    assert (await (await client.get(url + "api/shop")).json())["history"] == []
    answer = await client.post(url + "chat", json={"text": "sunday opening"})
    await answer.read()
    about = await (await client.get(url + "api/shop")).json()
    ((question, said),) = about["history"]
    assert about["session"]["turns"] == 1
    assert about["session"]["saved"] > 0
    assert question == "sunday opening"
    assert "closed on Sundays" in said


async def test_shoppers_who_come_all_at_once_are_all_answered(url):
    async def shopper(number):
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as own:
            await own.get(url)
            async with own.ws_connect(url + "ws") as socket:
                await socket.send_json({"text": "Is volume 2 of Silver Teahouse in stock?" if number % 2 else "hello"})
                return (await listen(socket))[-1]["type"]

    assert await asyncio.gather(*(shopper(number) for number in range(30))) == ["done"] * 30
