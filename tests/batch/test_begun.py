"""What a process that was killed had sent alone is in doubt: asked again last, or held until somebody says so."""

import asyncio

import pytest

from hapenny.batch.begun import Begun, open_since
from hapenny.batch.engine import BatchEngine
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.options import BatchOptions
from hapenny.batch.records import Record
from hapenny.core.errors import Failure
from hapenny.simulation import loop
from tests.batch.test_engine import answer, check, records


class House:
    """An engine of one journal; its model never answers some records until it is told to."""

    def __init__(self, clock, folder, in_doubt, stuck=()):
        self.clock, self.sent, self.stuck = clock, [], set(stuck)
        self.journal = Journal(folder / "journal")
        options = BatchOptions(margin_s=30, poll_s=10, in_doubt=in_doubt)
        self.engine = BatchEngine(self.journal, {}, Local(self.invoke, clock, per_s=10), clock, options)

    async def invoke(self, record):
        self.sent.append(record.id)
        await self.clock.sleep(10_000.0 if record.id in self.stuck else 1.0)
        return answer(record.body)


def killed(tmp_path, in_doubt):
    """The id of a batch of forty whose process was killed while three of its records were under way."""

    async def main(clock):
        house = House(clock, tmp_path, in_doubt, stuck=("r2", "r3", "r39"))
        id = house.engine.submit(records(40), "model", 3600)
        work = asyncio.create_task(house.engine.run(id))
        await clock.sleep(60.0)
        assert house.engine.status(id).succeeded == 37
        kept = {path.name: path.read_bytes() for path in (tmp_path / "journal" / id).iterdir()}
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        house.journal.close()
        for name, data in kept.items():  # as a kill leaves it
            (tmp_path / "journal" / id / name).write_bytes(data)
        return id

    return loop.run(main)


def test_it_is_asked_again_after_all_others_and_counted(tmp_path):
    id = killed(tmp_path, "again")

    async def main(clock):
        house = House(clock, tmp_path, "again")
        await house.engine.run()
        check(house.engine, id, 40)
        status = house.engine.status(id)
        assert (status.in_doubt, status.held, status.failed) == (3, 0, 0)
        assert sorted(house.sent) == ["r2", "r3", "r39"]

    loop.run(main)


def test_what_is_in_doubt_comes_last(tmp_path):
    async def first(clock):
        house = House(clock, tmp_path, "again", stuck=("r0", "r1"))
        id = house.engine.submit(records(60), "model", 3600)
        work = asyncio.create_task(house.engine.run(id))
        await clock.sleep(1.5)  # sixteen are sent at once at first
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        house.journal.close()
        return id

    id = loop.run(first)

    async def second(clock):
        house = House(clock, tmp_path, "again")
        await house.engine.run()
        check(house.engine, id, 60)
        cut = set(house.sent[-house.engine.status(id).in_doubt :])
        assert {"r0", "r1"} <= cut
        assert len(house.sent) == len(set(house.sent))

    loop.run(second)


def test_it_is_held_until_somebody_says_so(tmp_path):
    id = killed(tmp_path, "hold")

    async def hold(clock):
        house = House(clock, tmp_path, "hold")
        await house.engine.run()
        status = house.engine.status(id)
        assert (status.state, status.succeeded, status.failed, status.held) == ("completed", 37, 3, 3)
        assert house.sent == []
        errors = [result.error for result in house.engine.results(id) if result.output is None]
        assert len(errors) == 3
        assert all("paid" in error for error in errors)
        house.journal.close()

    loop.run(hold)

    async def again(clock):
        house = House(clock, tmp_path, "hold")
        assert house.engine.again(id, 3600) == 3
        assert house.engine.again(id, 3600) == 0
        await house.engine.run()
        check(house.engine, id, 40)
        assert sorted(house.sent) == ["r2", "r3", "r39"]
        status = house.engine.status(id)
        assert (status.held, status.in_doubt, status.failed) == (0, 3, 0)
        house.journal.close()

    loop.run(again)

    async def later(clock):
        house = House(clock, tmp_path, "hold")
        await house.engine.run()
        check(house.engine, id, 40)
        assert house.sent == []

    loop.run(later)


def test_a_record_that_kills_whoever_sends_it_comes_to_an_end(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path, "again", stuck=("r1",))
        ids = [*house.engine.batches] or [house.engine.submit(records(3), "model", 100_000)]
        work = asyncio.create_task(house.engine.run(*ids))
        await clock.sleep(60.0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        house.journal.close()
        return house.engine.status(ids[0]), house.sent

    times = 0
    for _ in range(12):
        status, sent = loop.run(main)
        times += sent.count("r1")
    assert (status.state, status.succeeded, status.failed) == ("completed", 2, 1)
    assert times == 10


def test_a_call_that_was_refused_is_not_in_doubt(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path, "again")

        async def refusing(record):
            raise Failure("rate_limited", "later", retry_after=5.0)

        house.engine.local = Local(refusing, clock)
        id = house.engine.submit(records(3), "model", 3600)
        work = asyncio.create_task(house.engine.run(id))
        await clock.sleep(7.0)
        assert open_since(tmp_path / "journal" / id / "begun.jsonl") == []
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    loop.run(main)


@pytest.mark.parametrize("cut", [0, 1, 3])
async def test_a_mark_that_was_cut_off_counts_for_nothing(tmp_path, cut):
    path = tmp_path / "begun.jsonl"
    begun = Begun(path, sync=True)
    for name in ("a", "b", "c"):
        await begun.take(Record(name, {}))
    begun.over("b")
    begun.close()
    data = path.read_bytes()
    path.write_bytes(data + b'[1,"d"]\n'[:cut])
    assert open_since(path) == ["a", "c"]
    assert open_since(tmp_path / "none") == []
