"""Records spread over workers: every answer once, whoever dies, over every store there is."""

import asyncio

import pytest

from hapenny.batch import shards as module
from hapenny.batch.local import Local
from hapenny.batch.records import Record, Result
from hapenny.batch.shards import Shards
from hapenny.batch.spread import SpreadLocal, Worker
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.stores.memory import MemoryKeyValue
from hapenny.stores.open_kv import open_kv

FOREVER = 4_000_000_000.0
RECORDS = [Record(f"r{number}", {"text": f"question {number}"}, "m") for number in range(60)]


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("postgres", marks=pytest.mark.postgres),
        "s3",
    ]
)
def store(request, tmp_path, monkeypatch):
    """Makes a client of one store."""
    kind = request.param
    if kind == "memory":
        kept = MemoryKeyValue(RealClock())
        yield lambda: kept
        return
    if kind == "s3":
        from moto import mock_aws

        with mock_aws():
            import boto3

            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                monkeypatch.setenv(name, "testing")
            monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            boto3.client("s3").create_bucket(Bucket="batches")
            yield lambda: open_kv("s3://batches/shards", RealClock())
        return
    url = {
        "sqlite": lambda: str(tmp_path / "shards.db"),
        "redis": lambda: request.getfixturevalue("redis_url"),
        "postgres": lambda: request.getfixturevalue("postgres_dsn"),
    }[kind]()
    yield lambda: open_kv(url, RealClock())


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr("hapenny.batch.spread.POLL_S", 0.02)
    monkeypatch.setattr("hapenny.batch.spread.AGAIN_S", 0.02)


class Model:
    """Answers, and counts what is paid."""

    def __init__(self, slow=0.0):
        self.paid = {}
        self.slow = slow

    async def invoke(self, record):
        if self.slow:
            await asyncio.sleep(self.slow)
        self.paid[record.id] = self.paid.get(record.id, 0) + 1
        return {"said": record.body["text"]}

    def local(self, form):
        return Local(self.invoke, RealClock())


class Kept:
    """The journal's side."""

    def __init__(self):
        self.results = {}
        self.double = 0

    def __call__(self, result):
        self.double += result.id in self.results
        self.results[result.id] = result
        return True


def worker(store, model):
    return Worker(Shards(store(), RealClock()), model.local, ["openai"], RealClock())


async def test_workers_answer_every_record_once(store):
    model, kept = Model(), Kept()
    workers = [asyncio.create_task(worker(store, model).run()) for _ in range(2)]
    local = SpreadLocal(Shards(store(), RealClock()), "openai", RealClock(), shard=7)
    await local.run(RECORDS, kept, FOREVER)
    assert {id: result.output for id, result in kept.results.items()} == {
        record.id: {"said": record.body["text"]} for record in RECORDS
    }
    assert set(model.paid.values()) == {1}
    assert kept.double == 0
    for each in workers:
        each.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


async def test_a_journal_that_died_finds_what_was_answered_since(store):
    model = Model()
    local = SpreadLocal(Shards(store(), RealClock()), "openai", RealClock(), shard=7)
    dying = asyncio.create_task(local.run(RECORDS, Kept(), FOREVER))
    shards = Shards(store(), RealClock())
    while (shard := await shards.lease("w", ["openai"])) is None:
        await asyncio.sleep(0.01)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    for record in shard.records:
        await shards.keep(record, Result(record.id, output=await model.invoke(record)))
    await shards.retract(shard.id)
    kept = Kept()
    work = asyncio.create_task(worker(store, model).run())
    await SpreadLocal(Shards(store(), RealClock()), "openai", RealClock(), shard=7).run(RECORDS, kept, FOREVER)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert len(kept.results) == len(RECORDS)
    assert set(model.paid.values()) == {1}


async def test_a_journal_that_died_goes_on_with_the_shards_it_had_put_there(store):
    model = Model(slow=0.05)
    local = SpreadLocal(Shards(store(), RealClock()), "openai", RealClock(), shard=30)
    dying = asyncio.create_task(local.run(RECORDS, Kept(), FOREVER))
    workers = [asyncio.create_task(worker(store, model).run()) for _ in range(2)]
    while len(model.paid) < 8:
        await asyncio.sleep(0.01)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    kept = Kept()
    # It shards otherwise, and what workers have under way is answered once all the same.
    await SpreadLocal(Shards(store(), RealClock()), "openai", RealClock(), shard=7).run(RECORDS, kept, FOREVER)
    for each in workers:
        each.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert len(kept.results) == len(RECORDS)
    assert set(model.paid.values()) == {1}


async def test_a_worker_that_dies_is_made_up_for_and_what_it_answered_stays(store, monkeypatch):
    monkeypatch.setattr(module, "LEASE_S", 1.5)
    model, kept = Model(slow=0.05), Kept()
    dead = asyncio.create_task(worker(store, model).run())
    local = SpreadLocal(Shards(store(), RealClock()), "openai", RealClock(), shard=30)
    journal = asyncio.create_task(local.run(RECORDS, kept, FOREVER))
    while len(model.paid) < 10:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.02)
    dead.cancel()  # in flight: at most what its engine had under way
    await asyncio.gather(dead, return_exceptions=True)
    alive = asyncio.create_task(worker(store, model).run())
    async with asyncio.timeout(30):
        await journal
    alive.cancel()
    await asyncio.gather(alive, return_exceptions=True)
    assert len(kept.results) == len(RECORDS)
    assert set(model.paid.values()) == {1}, "what was begun was waited for or never paid"


async def test_failures_come_back_as_such(store):
    class Bad(Model):
        async def invoke(self, record):
            if record.id == "r1":
                raise Failure("invalid_request", "no such thing", retryable=False)
            return await super().invoke(record)

    kept = Kept()
    work = asyncio.create_task(worker(store, Bad()).run())
    await SpreadLocal(Shards(store(), RealClock()), "openai", RealClock()).run(RECORDS[:3], kept, FOREVER)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert kept.results["r1"].error == "no such thing"
    assert not kept.results["r1"].retryable
    assert kept.results["r2"].output


async def test_one_shard_is_one_workers(store):
    mine, others = Shards(store(), RealClock()), Shards(store(), RealClock())
    await mine.put(RECORDS[:5], "openai")
    assert await mine.lease("a", ["converse"]) is None, "a dialect that it cannot"
    leases = await asyncio.gather(mine.lease("a", ["openai"]), others.lease("b", ["openai"]))
    assert sum(lease is not None for lease in leases) == 1
    shard = next(lease for lease in leases if lease is not None)
    assert [record.id for record in shard.records] == [record.id for record in RECORDS[:5]]
    holder = "a" if leases[0] is not None else "b"
    assert await mine.renew(shard, holder) is not None
    assert await mine.keep(RECORDS[0], Result("r0", output={"a": 1}))
    assert not await others.keep(RECORDS[0], Result("r0", output={"a": 2})), "the first answer stays"
    assert (await others.answer(RECORDS[0])).output == {"a": 1}
