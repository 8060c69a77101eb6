"""The assistant over a real gateway with simulated models and its own SQLite shop."""

from datetime import date

import pytest

from hapenny import Gateway
from mangaassist.cli import demo_config
from mangaassist.gateway_config import TECHNIQUES, gateway_config
from mangaassist.orchestrator import Orchestrator, Reply, Told, Turn
from mangaassist.sqlite_shop import SqliteShop

TODAY = date(2026, 11, 30)


@pytest.fixture
async def shop():
    made = SqliteShop(":memory:", TODAY)
    yield made
    await made.aclose()


@pytest.fixture
async def gateway():
    async with Gateway(demo_config()) as running:
        yield running


async def ask(assistant: Orchestrator, text: str, **more) -> tuple[Reply, list[Told], str]:
    """The end of an answer, the tools' results, and what was streamed."""
    turn = Turn(session=more.pop("session", "one"), text=text, **more)
    pieces = [piece async for piece in assistant.answer(turn)]
    reply = pieces[-1]
    assert isinstance(reply, Reply)
    told = [piece for piece in pieces if isinstance(piece, Told)]
    return reply, told, "".join(piece.text for piece in pieces[:-1] if not isinstance(piece, Told))


async def test_an_order_is_told_without_a_model_and_nothing_is_paid(gateway, shop):
    assistant = Orchestrator(gateway, shop)
    (order, *_) = await shop.orders("reader-1")
    reply, told, streamed = await ask(assistant, f"Where is my order {order}?", user="reader-1")
    known = await shop.order(order)
    assert order in streamed
    assert known.carrier in streamed
    assert told[0].result["expected"] == known.expected.isoformat()
    assert (reply.actual, reply.models, reply.intent) == (0, ("",), "order_status")
    assert reply.saved > 0


@pytest.mark.parametrize(
    ("language", "text", "wanted"),
    [
        ("en", "What are your opening hours on Saturday?", "10:00 to 18:00"),
        ("ja", "土曜日の営業時間は?", "10:00〜18:00"),
        ("vi", "Thứ bảy mở cửa mấy giờ?", "10:00 đến 18:00"),
    ],
)
async def test_a_rule_is_told_in_the_customers_language(gateway, shop, language, text, wanted):
    reply, _, _ = await ask(Orchestrator(gateway, shop), text)
    assert reply.language == language
    assert wanted in reply.text


async def test_nobody_is_told_of_another_customers_order(gateway, shop):
    (order, *_) = await shop.orders("reader-1")
    reply, told, streamed = await ask(Orchestrator(gateway, shop), f"Where is my order {order}?", user="reader-2")
    known = await shop.order(order)
    assert known.carrier not in streamed + reply.text
    assert all(known.expected.isoformat() not in str(each.result) for each in told)


async def test_a_title_above_the_readers_age_is_neither_sold_nor_shown_to_the_model(gateway, shop):
    assistant = Orchestrator(gateway, shop)
    grown = next(volume for volume in await shop.search(_wish(), 300) if volume.series.age == 18)
    title = grown.series.titles["en"]
    refused, told, _ = await ask(assistant, f"Is volume {grown.number} of {title} in stock?", age=12)
    assert "18" in refused.text
    assert all("sku" not in each.result for each in told)
    shown, _, _ = await ask(assistant, f"Please describe the world of {title} in one sentence", age=12, session="two")
    assert not any(title in passage for passage in shown.passages)
    seen, _, _ = await ask(assistant, f"Please describe the world of {title} in one sentence", age=18, session="three")
    assert any(title in passage for passage in seen.passages)


def _wish():
    from mangaassist.shop import Wish

    return Wish()


async def test_a_follow_up_means_the_same_series(gateway, shop):
    assistant = Orchestrator(gateway, shop)
    first, _, _ = await ask(assistant, "Is volume 1 of Silver Teahouse in stock?")
    second, told, _ = await ask(assistant, "And volume 2?")
    assert first.intent == second.intent == "stock"
    assert told[0].result["volume"] == 2


async def test_a_price_that_changes_is_told_at_once(gateway, shop):
    assistant = Orchestrator(gateway, shop)
    volume = await shop.volume("S004", 2)
    question = f"How much is volume 2 of {volume.series.titles['en']}?"
    assert volume.price in (await ask(assistant, question))[0].text
    await shop.change(volume.sku, price="99.95")
    assert "99.95" in (await ask(assistant, question))[0].text


async def test_who_asks_for_a_person_gets_a_ticket(gateway, shop):
    assistant = Orchestrator(gateway, shop, desk=shop)
    reply, told, _ = await ask(assistant, "Can I talk to a human, please?")
    assert told[0].result["ticket"] == 1
    assert "colleague" in reply.text


async def test_who_asks_for_a_person_twice_has_one_ticket(gateway, shop):
    assistant = Orchestrator(gateway, shop, desk=shop)
    tickets = [(await ask(assistant, "human please"))[1][0].result["ticket"] for _ in range(3)]
    other = (await ask(assistant, "human please", session="another"))[1][0].result["ticket"]
    assert tickets == [1, 1, 1]
    assert other == 2


async def test_vietnamese_without_its_marks_is_answered_in_vietnamese(gateway, shop):
    (order, *_) = await shop.orders("reader-1")
    assistant = Orchestrator(gateway, shop)
    reply, _, _ = await ask(assistant, f"Don hang {order} dau roi?", user="reader-1", language="vi")
    assert (reply.intent, reply.language) == ("order_status", "vi")
    english, _, _ = await ask(assistant, f"Where is my order {order}?", user="reader-1", language="vi")
    assert (english.intent, english.language) == ("order_status", "en")


async def test_a_session_outlives_the_process(gateway, shop):
    await ask(Orchestrator(gateway, shop, desk=shop), "Is volume 1 of Silver Teahouse in stock?")
    reply, _, _ = await ask(Orchestrator(gateway, shop, desk=shop), "And volume 2?")
    assert reply.intent == "stock"


async def test_where_no_model_answers_a_colleague_does(shop):
    tiers = {"fast": "anthropic.claude-3-haiku-20240307-v1:0", "strong": "anthropic.claude-3-sonnet-20240229-v1:0"}
    backend = {"kind": "simulated", "quota": {"rpm": 1}}
    config = gateway_config(tiers, backend)
    for route in config.routes.values():
        route.begin_s = 0.2
    async with Gateway(config) as gateway:
        assistant = Orchestrator(gateway, shop, desk=shop)
        replies = [
            await ask(assistant, f"Please tell me a story about {number} foxes") for number in ["one", "two", "three"]
        ]
    failed = [(reply, told, said) for reply, told, said in replies if reply.failure]
    assert failed
    for _, told, said in failed:
        assert "colleague" in said
        assert told[-1].result["ticket"]


def test_techniques_that_are_off_are_off_on_every_route():
    config = gateway_config({"strong": "anthropic.claude-3-sonnet-20240229-v1:0"}, {"kind": "simulated"}, on=())
    for route in config.routes.values():
        modes = route.modes()
        assert {modes[name] for name in ("templates", "tiers", "exact", "prefix", "throughput", "prune")} == {"off"}
    assert len(TECHNIQUES) == 4
