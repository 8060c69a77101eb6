"""Records spread over workers: every answer once, whoever dies, over every store there is."""

import asyncio
import subprocess
import sys

import pytest

from hapenny.batch.local import Local
from hapenny.batch.open_shards import open_shards
from hapenny.batch.records import Record, Result
from hapenny.batch.shards import Shards
from hapenny.batch.spread import SpreadLocal
from hapenny.batch.worker import Worker
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.stores.memory import MemoryKeyValue
from tests.settling import eventually

FOREVER = 4_000_000_000.0
RECORDS = [Record(f"r{number}", {"text": f"question {number}"}, "m") for number in range(60)]


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("postgres", marks=pytest.mark.postgres),
        "s3",
        "sqs",
    ]
)
def store(request, tmp_path):
    """Makes a client of one store of shards."""
    kind = request.param
    if kind == "memory":
        kept = MemoryKeyValue(RealClock())
        yield lambda **more: Shards(kept, RealClock(), **more)
        return
    url = {
        "sqlite": lambda: str(tmp_path / "shards.db"),
        "redis": lambda: request.getfixturevalue("redis_url"),
        "postgres": lambda: request.getfixturevalue("postgres_dsn"),
        "s3": lambda: request.getfixturevalue("aws_batches")["s3"],
        "sqs": lambda: request.getfixturevalue("aws_batches")["sqs"],
    }[kind]()
    yield lambda **more: open_shards(url, RealClock(), **more)


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    for name in ("spread.POLL_S", "spread.AGAIN_S", "worker.POLL_S", "worker.AGAIN_S"):
        monkeypatch.setattr(f"hapenny.batch.{name}", 0.02)
    monkeypatch.setattr("hapenny.batch.worker.LATER_S", 0.1)


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


def worker(store, model, **more):
    return Worker(store(**more), model.local, ["openai"], RealClock())


async def test_workers_answer_every_record_once(store):
    model, kept = Model(), Kept()
    workers = [asyncio.create_task(worker(store, model).run()) for _ in range(2)]
    local = SpreadLocal(store(), "openai", RealClock(), shard=7)
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
    local = SpreadLocal(store(), "openai", RealClock(), shard=7)
    dying = asyncio.create_task(local.run(RECORDS, Kept(), FOREVER))
    shards = store()
    while (shard := await shards.lease(["openai"])) is None:
        await asyncio.sleep(0.01)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    for record in shard.records:
        await shards.keep(record, Result(record.id, output=await model.invoke(record)))
    await shards.retract(shard.id)
    kept = Kept()
    work = asyncio.create_task(worker(store, model).run())
    await SpreadLocal(store(), "openai", RealClock(), shard=7).run(RECORDS, kept, FOREVER)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert len(kept.results) == len(RECORDS)
    assert set(model.paid.values()) == {1}


async def test_a_journal_that_died_goes_on_with_the_shards_it_had_put_there(store):
    model = Model(slow=0.05)
    local = SpreadLocal(store(), "openai", RealClock(), shard=30)
    dying = asyncio.create_task(local.run(RECORDS, Kept(), FOREVER))
    workers = [asyncio.create_task(worker(store, model).run()) for _ in range(2)]
    while len(model.paid) < 8:
        await asyncio.sleep(0.01)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    kept = Kept()
    # It shards otherwise, and what workers have under way is answered once all the same.
    await SpreadLocal(store(), "openai", RealClock(), shard=7).run(RECORDS, kept, FOREVER)
    for each in workers:
        each.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert len(kept.results) == len(RECORDS)
    assert set(model.paid.values()) == {1}


async def test_a_worker_that_ends_is_made_up_for_and_what_it_answered_stays(store):
    model, kept = Model(slow=0.05), Kept()
    dead = asyncio.create_task(worker(store, model, lease_s=1.0).run())
    local = SpreadLocal(store(), "openai", RealClock(), shard=30)
    journal = asyncio.create_task(local.run(RECORDS, kept, FOREVER))
    await eventually(lambda: len(model.paid) >= 10, 60)
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


class Stoppable(RealClock):
    """The clock of a worker whose own time can be stopped, as SIGSTOP does."""

    def __init__(self):
        super().__init__()
        self.running = asyncio.Event()
        self.running.set()

    async def sleep(self, seconds):
        await super().sleep(seconds)
        await self.running.wait()


class Gated(Model):
    """Has taken a question at once, and is paid for it; its answers come when they are let through."""

    def __init__(self):
        super().__init__()
        self.open = asyncio.Event()

    async def invoke(self, record):
        answer = await super().invoke(record)
        await self.open.wait()
        return answer


async def test_a_worker_that_was_stopped_sends_nothing_more_and_its_answers_count(store):
    gated, model, kept = Gated(), Model(), Kept()
    clock = Stoppable()
    frozen = Worker(store(lease_s=1.0), gated.local, ["openai"], clock)
    its_run = asyncio.create_task(frozen.run())
    journal = asyncio.create_task(SpreadLocal(store(), "openai", RealClock(), shard=30).run(RECORDS, kept, FOREVER))
    await eventually(lambda: len(gated.paid) == 16, 60)  # what an engine sends at once at first
    clock.running.clear()
    other = asyncio.create_task(worker(store, model).run())
    await eventually(lambda: len(gated.paid) + len(model.paid) == len(RECORDS), 60)
    assert not journal.done(), "what is under way elsewhere is waited for"
    clock.running.set()
    gated.open.set()
    async with asyncio.timeout(30):
        await journal
    for each in (its_run, other):
        each.cancel()
    await asyncio.gather(its_run, other, return_exceptions=True)
    assert len(gated.paid) == 16
    assert not set(gated.paid) & set(model.paid)
    assert {id: result.output for id, result in kept.results.items()} == {
        record.id: {"said": record.body["text"]} for record in RECORDS
    }
    assert kept.double == 0


async def test_a_worker_that_is_told_to_leave_answers_what_it_has_begun(store):
    gated, model, kept = Gated(), Model(), Kept()
    leaving = worker(store, gated)
    its_run = asyncio.create_task(leaving.run())
    journal = asyncio.create_task(SpreadLocal(store(), "openai", RealClock(), shard=60).run(RECORDS, kept, FOREVER))
    await eventually(lambda: len(gated.paid) == 16, 60)
    leaving.leave()
    gated.open.set()
    await its_run
    assert leaving.answered == 16
    other = asyncio.create_task(worker(store, model).run())
    async with asyncio.timeout(30):
        await journal
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert len(kept.results) == len(RECORDS)
    assert not set(gated.paid) & set(model.paid)


def child_of(place, *lines):
    """The command of a process that leases a shard there, and does these lines with it."""
    script = [
        "import asyncio, os, sys",
        "from hapenny.batch.open_shards import open_shards",
        "from hapenny.batch.records import Result",
        "from hapenny.batch.shards import record_key",
        "from hapenny.core.clock import RealClock",
        "async def work():",
        f"    shards = open_shards({place!r}, RealClock())",
        "    shard = await shards.lease(['openai'])",
        *(f"    {line}" for line in lines),
        "asyncio.run(work())",
    ]
    return [sys.executable, "-c", "\n".join(script)]


async def test_a_claim_of_a_process_that_has_ended_is_taken_over_at_once(tmp_path):
    place = str(tmp_path / "shards.db")
    claiming = child_of(place, "print(await shards.claim(shard.records[0]), flush=True)", "sys.stdin.read()")
    mine = open_shards(place, RealClock())
    await mine.put(RECORDS[:2], "openai")
    child = subprocess.Popen(claiming, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().strip() == "mine"
    assert await mine.lease(["openai"]) is None
    assert await mine.claim(RECORDS[0]) == "elsewhere"
    child.kill()
    child.communicate()
    assert (await mine.lease(["openai"])).records == tuple(RECORDS[:2])
    assert await mine.claim(RECORDS[0]) == "mine"


async def test_failures_come_back_as_such(store):
    class Bad(Model):
        async def invoke(self, record):
            if record.id == "r1":
                raise Failure("invalid_request", "no such thing", retryable=False)
            return await super().invoke(record)

    kept = Kept()
    work = asyncio.create_task(worker(store, Bad()).run())
    await SpreadLocal(store(), "openai", RealClock()).run(RECORDS[:3], kept, FOREVER)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert kept.results["r1"].error == "no such thing"
    assert not kept.results["r1"].retryable
    assert kept.results["r2"].output


async def test_one_shard_is_one_workers(store):
    mine, others = store(), store()
    await mine.put(RECORDS[:5], "openai")
    assert await mine.lease(["converse"]) is None, "a dialect that it cannot"
    leases = await asyncio.gather(mine.lease(["openai"]), others.lease(["openai"]))
    assert sum(lease is not None for lease in leases) == 1
    shard = next(lease for lease in leases if lease is not None)
    assert [record.id for record in shard.records] == [record.id for record in RECORDS[:5]]
    holder, other = (mine, others) if leases[0] is not None else (others, mine)
    assert await holder.renew(shard)
    assert await holder.claim(RECORDS[0]) == "mine"
    assert await other.claim(RECORDS[0]) == "elsewhere"
    assert await holder.claim(RECORDS[0]) == "mine", "again after a failure"
    await other.release(RECORDS[0])
    assert await other.claim(RECORDS[0]) == "elsewhere", "nobody lets go of another's"
    assert await mine.keep(RECORDS[0], Result("r0", output={"a": 1}))
    assert await other.claim(RECORDS[0]) == "answered"
    assert not await others.keep(RECORDS[0], Result("r0", output={"a": 2})), "the first answer stays"
    assert (await others.answer(RECORDS[0])).output == {"a": 1}


async def test_an_answer_that_a_killed_worker_had_and_the_store_had_not_is_taken_over(tmp_path):
    place = str(tmp_path / "shards.db")
    answering = child_of(
        place,
        "for record in shard.records: await shards.claim(record)",
        "shards.spool.add(record_key(shard.records[0]), Result('r0', output={'said': 'paid for'}))",
        "os.kill(os.getpid(), 9)",
    )
    mine = open_shards(place, RealClock())
    await mine.put(RECORDS[:2], "openai")
    subprocess.run(answering, check=False)
    assert await mine.claim(RECORDS[0]) == "answered"
    assert (await mine.answer(RECORDS[0])).output == {"said": "paid for"}
    assert await mine.claim(RECORDS[1]) == "mine", "it had not been sent"


async def test_what_a_killed_worker_had_sent_is_in_doubt_and_not_sent_again(tmp_path):
    place = str(tmp_path / "shards.db")
    sending = child_of(
        place,
        "for record in shard.records: await shards.claim(record)",
        "shards.spool.sent(record_key(shard.records[0]))",
        "shards.spool.sent(record_key(shard.records[1]))",
        "shards.spool.done(record_key(shard.records[1]))",
        "os.kill(os.getpid(), 9)",
    )
    mine = open_shards(place, RealClock())
    await mine.put(RECORDS[:2], "openai")
    subprocess.run(sending, check=False)
    assert await mine.claim(RECORDS[0]) == "answered"
    assert (await mine.answer(RECORDS[0])).doubt
    assert await mine.claim(RECORDS[1]) == "mine", "it was refused and not paid for"


async def test_of_a_worker_elsewhere_that_gives_no_sign_of_life_all_is_in_doubt_until_it_answers(
    store, monkeypatch, tmp_path
):
    monkeypatch.setattr("hapenny.core.processes.identity", lambda: "another boot/1 2 3")
    monkeypatch.setattr("hapenny.batch.spool.MEMORY", tmp_path / "of another machine")
    away, mine = store(), store()
    await mine.put(RECORDS[:2], "openai")
    monkeypatch.setattr("hapenny.batch.shards.ALIVE_S", 2.0)  # the clock of S3 counts whole seconds
    for record in RECORDS[:2]:
        assert await away.claim(record) == "mine"
    assert await mine.claim(RECORDS[0]) == "elsewhere"
    async with asyncio.timeout(30):
        while await mine.claim(RECORDS[0]) == "elsewhere":
            await asyncio.sleep(0.1)
    assert (await mine.answer(RECORDS[0])).doubt
    assert await away.keep(RECORDS[0], Result("r0", output={"late": True})), "it was only away for long"
    assert (await mine.answer(RECORDS[0])).output == {"late": True}
    await away.live()
    assert await mine.claim(RECORDS[1]) == "elsewhere"


def test_what_lies_in_the_store_is_not_kept_twice():
    from hapenny.batch import spool

    kept = spool.Spool("worker_x1")
    kept.sent("a")
    assert spool.left_behind("worker_x1", "a") == (None, False)
    assert spool.left_behind("worker_x1", "b").unsent
    kept.add("a", Result("a", output={"n": 1}))
    kept.add("b", Result("b", output={"n": 2}))
    kept.done("a")
    assert spool.left_behind("worker_x1", "b").result.output == {"n": 2}
    assert spool.left_behind("worker_x1", "a").unsent
    assert spool.place("worker_x1").stat().st_mode & 0o777 == 0o600
    kept.done("b")
    assert spool.place("worker_x1").stat().st_size == 0
    kept.close()
    assert not spool.place("worker_x1").exists()
    assert spool.left_behind("worker_x1", "a") == (None, False), "nobody knows"
    assert spool.left_behind("../etc/passwd", "a") == (None, False)


def test_the_calls_under_way_take_no_more_memory_however_many_there_were():
    from hapenny.batch import spool

    kept = spool.Spool("worker_x2")
    kept.sent("always under way")
    for number in range(3_000):
        kept.sent(str(number))
        kept.add(str(number), Result(str(number), output={"text": "x" * 1_000}))
        kept.done(str(number))
    assert spool.place("worker_x2").stat().st_size < 600_000
    assert spool.left_behind("worker_x2", "always under way") == (None, False)
    assert spool.left_behind("worker_x2", "17").unsent
    kept.done("always under way")
    kept.close()
