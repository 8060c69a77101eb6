"""A collection whose PostgreSQL hangs, is cut off or gone: searches fail in time, others go on, and it comes back."""

import asyncio

import pytest

from hapenny.core.clock import RealClock
from hapenny.retrieval.search.collection import Collection
from hapenny.retrieval.search.retriever import Retriever
from tests.fault_proxy import proxied
from tests.retrieval.conftest import DIM, vector_of, vectors_of

pytestmark = pytest.mark.postgres


async def embed(texts):
    import numpy as np

    return np.stack([vector_of(text) for text in texts])


@pytest.fixture
async def far(postgres_dsn, films):
    """(proxy, collection): films behind a proxy."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from hapenny.retrieval.stores.postgres import PostgresStore

    parts = conninfo_to_dict(postgres_dsn)
    host, port = str(parts["host"]), int(parts.get("port", 5432))
    socket = (f"{host}/.s.PGSQL.{port}", None) if host.startswith("/") else (host, port)
    async with proxied(*socket) as proxy:
        dsn = make_conninfo(postgres_dsn, host="127.0.0.1", port=proxy.port, sslmode="disable", gssencmode="disable")

        def filled():
            made = PostgresStore(dsn, DIM, "en")
            made.upsert(films, vectors_of(films))
            made.commit()
            return made

        clock = RealClock()
        store = await clock.work("set-up", 1, filled)
        yield proxy, Collection("films", Retriever(store), clock), clock
        proxy.go_on()
        proxy.cut()


async def shown(collection):
    return len((await collection.search("a robot in space", embed)).hits)


async def again(collection):
    async with asyncio.timeout(40):
        while True:
            try:
                return await shown(collection)
            except ConnectionError:
                await asyncio.sleep(0.1)


async def test_a_store_that_hangs_fails_searches_in_time_and_keeps_no_other_work_waiting(far, store):
    proxy, collection, clock = far
    assert await shown(collection)
    near = Collection("near", Retriever(store), clock)
    proxy.hang()
    async with asyncio.timeout(60):
        for _ in range(3):
            lost = await asyncio.gather(*(shown(collection) for _ in range(20)), return_exceptions=True)
            assert {type(each) for each in lost} == {ConnectionError}
            assert await shown(near)
            assert await clock.work("ledger", 1, lambda: "written") == "written"
    proxy.go_on()
    assert await again(collection)


@pytest.mark.parametrize("how", ["cut", "down"])
async def test_a_connection_that_broke_is_made_again(far, how):
    proxy, collection, _ = far
    assert await shown(collection)
    if how == "cut":
        proxy.cut()
    else:
        await proxy.down()
        with pytest.raises(ConnectionError):
            await shown(collection)
        await proxy.listen()
    assert await again(collection)


async def test_a_statement_that_failed_leaves_the_connection_usable(far):
    _, collection, clock = far
    store = collection.retriever.store

    def wrong():
        store.vector(vector_of("robot")[:3], 5)  # of another length: the server refuses it

    with pytest.raises(Exception, match="dimension"):
        await clock.work("test", 1, wrong)
    assert await shown(collection)
