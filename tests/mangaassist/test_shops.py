"""One contract, two stores: SQLite, and DynamoDB before moto's real HTTP server."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from mangaassist import data_files
from mangaassist.dynamo_shop import DynamoShop
from mangaassist.shop import Wish, run
from mangaassist.sqlite_shop import SqliteShop
from tests.servers import aws_services

TODAY = date(2026, 11, 30)


@pytest.fixture(scope="module")
def dynamodb():
    import boto3

    with aws_services() as url:
        yield boto3.resource(
            "dynamodb", endpoint_url=url, region_name="eu-west-1", aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip


@pytest.fixture(scope="module")
def table(dynamodb):
    made = DynamoShop.create(dynamodb, "shop")
    few = [volume for volume in data_files.volumes() if volume.series.id in ("S001", "S002", "S004", "S005")]
    filling = DynamoShop(made, TODAY, now=lambda: 0.0).fill(few)
    with ThreadPoolExecutor() as pool:  # an event loop of its own: the tests' may be running
        pool.submit(asyncio.run, filling).result()
    return made


@pytest.fixture(params=["sqlite", "dynamodb"])
async def shop(request):
    if request.param == "sqlite":
        made = SqliteShop(":memory:", TODAY)
        yield made
        await made.aclose()
        return
    made = DynamoShop(request.getfixturevalue("table"), TODAY, now=lambda: 0.0)
    await made.open()
    yield made


async def test_products_are_found_by_title_in_every_language(shop):
    series = await shop.series("S004")
    for title in series.titles.values():
        assert shop.titles.find(title) == "S004"
    volume = await shop.volume("S004", 2)
    assert (volume.series.titles["en"], volume.number) == ("Silver Teahouse", 2)
    assert await shop.volume("S004", 99) is None
    assert await shop.series("S999") is None


async def test_a_wish_is_fulfilled_from_what_is_in_stock(shop):
    found = await shop.search(Wish(age=12, most=9.5), 3)
    assert found
    for volume in found:
        assert volume.stock > 0
        assert volume.series.age <= 12
        assert float(volume.price) <= 9.5
    assert len({volume.series.id for volume in found}) == len(found)
    assert not await shop.search(Wish(genre="no such genre"))


async def test_a_change_of_price_and_stock_is_seen(shop):
    before = await shop.volume("S004", 2)
    await shop.change(before.sku, price="12.34", stock=0)
    after = await shop.volume("S004", 2)
    assert (after.price, after.stock) == ("12.34", 0)


async def test_orders_belong_to_customers(shop):
    (id, *_) = await shop.orders("reader-3")
    order = await shop.order(id)
    assert order.customer == "reader-3"
    assert order.expected > TODAY
    assert (await run("order_status", {"order_id": id}, shop, "reader-3"))["carrier"] == order.carrier
    assert await run("order_status", {"order_id": id}, shop, "reader-4") == {"error": "no such order"}
    assert await shop.order("H-000000") is None


async def test_tools_answer_what_models_ask(shop):
    stock = await run("stock_check", {"title": "silver teahouse", "volume": "2"}, shop)
    assert stock["in_stock"].endswith("copies")
    assert await run("stock_check", {"title": "Silver Teahouse", "volume": "many"}, shop) == {"error": "no such volume"}
    found = await run("search_products", {"query": "", "age": 10}, shop)
    assert all(volume["age"] <= 10 for volume in found["volumes"])
    assert await run("recommend", {"title": "nothing"}, shop) == {"error": "no such series"}
    assert "error" in await run("shut_down", {}, shop)


async def test_passages_hold_the_record_that_is_asked_for(shop):
    volume = await shop.volume("S004", 2)
    passages = await shop.passages("What does volume 2 of Silver Teahouse cost by express?", "en")
    assert any(volume.sku in passage for passage in passages)
    assert any("Express delivery" in passage for passage in passages)


async def test_sessions_and_tickets_are_kept(shop):
    assert await shop.load("s1") is None
    await shop.save("s1", b"kept", 10.0)
    assert await shop.load("s1") == b"kept"
    assert [await shop.hand_over("s1", "help", 1.0), await shop.hand_over("s1", "help", 2.0)] == [1, 2]
