import pytest

from hapenny.batch.bedrock import BedrockBatch
from hapenny.batch.engine import BatchEngine
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.options import BatchOptions
from hapenny.batch.records import Record
from hapenny.core.errors import Failure
from hapenny.simulation import loop
from hapenny.simulation.fleet_jobs import FolderJobs
from hapenny.simulation.folder_bucket import FolderBucket


def answer(body):
    return {"echo": body["n"]}


class House:
    """An engine over a simulated Bedrock and an on-demand model that counts its calls."""

    def __init__(self, clock, folder, *, turnaround=600.0, fails=lambda r, t: False, stuck=lambda t: False, broken=()):
        self.clock, self.sent, self.broken = clock, [], set(broken)
        bucket = FolderBucket(folder / "bucket")
        self.jobs = FolderJobs(
            bucket, clock, lambda job, body: answer(body), records_per_s=1.0, delay_s=60, fails=fails, stuck=stuck
        )
        provider = BedrockBatch(
            self.jobs, bucket, clock, role="arn:aws:iam::000000000000:role/batch", most=300, turnaround_s=turnaround
        )
        self.journal = Journal(folder / "journal")
        options = BatchOptions(margin_s=30, poll_s=10)
        local = Local(self.invoke, clock, per_s=10)
        self.engine = BatchEngine(self.journal, {"bedrock": provider}, local, clock, options)

    async def invoke(self, record):
        self.sent.append(record.id)
        await self.clock.sleep(1.0)
        if record.id in self.broken:
            raise Failure("invalid_request", "bad record")
        return answer(record.body)


def records(count):
    return [Record(f"r{n}", {"n": n}) for n in range(count)]


def check(engine, id, count):
    results = {result.id: result.output for result in engine.results(id)}
    assert results == {f"r{n}": {"echo": n} for n in range(count)}


def test_what_can_wait_goes_to_the_provider_and_saves_half(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        id = house.engine.submit(records(450), "model", 3600)
        await house.engine.run(id)
        check(house.engine, id, 450)
        status = house.engine.status(id)
        assert (status.state, status.batched, status.saved_share) == ("completed", 450, 0.5)
        assert house.sent == []
        assert len(house.jobs.list_model_invocation_jobs()["invocationJobSummaries"]) == 2

    loop.run(main)


@pytest.mark.parametrize(("count", "within"), [(50, 3600), (450, 300)], ids=["too few", "too urgent"])
def test_too_few_or_too_urgent_records_are_sent_one_by_one(tmp_path, count, within):
    async def main(clock):
        house = House(clock, tmp_path)
        id = house.engine.submit(records(count), "model", within)
        await house.engine.run(id)
        check(house.engine, id, count)
        assert sorted(house.sent) == sorted(f"r{n}" for n in range(count))
        assert clock.now() < within

    loop.run(main)


def test_failed_records_alone_are_sent_again(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path, fails=lambda record, token: record in {"r3", "r77"})
        id = house.engine.submit(records(200), "model", 3600)
        await house.engine.run(id)
        check(house.engine, id, 200)
        assert sorted(house.sent) == ["r3", "r77"]

    loop.run(main)


def test_a_stuck_job_is_left_in_time_and_its_part_is_kept(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path, stuck=lambda token: True)
        id = house.engine.submit(records(200), "model", 1800)
        await house.engine.run(id)
        check(house.engine, id, 200)
        assert clock.now() < 1800
        assert len(house.sent) == 150  # a quarter had been processed, and is not paid twice
        assert house.engine.status(id).batched == 50

    loop.run(main)


def test_a_record_that_cannot_succeed_ends_as_an_error(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path, broken=["r1"])
        id = house.engine.submit(records(5), "model", 3600)
        await house.engine.run(id)
        assert house.sent.count("r1") == 1
        assert [r.error for r in house.engine.results(id) if r.output is None] == ["bad record"]
        assert house.engine.status(id).failed == 1

    loop.run(main)


def test_cancel_keeps_what_there_is(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        id = house.engine.submit(records(200), "model", 3600)
        await house.engine.step(house.engine.batches[id])
        await clock.sleep(160)
        await house.engine.cancel(id)
        await house.engine.run(id)
        status = house.engine.status(id)
        assert status.state == "cancelled"
        assert 90 <= status.succeeded <= 110
        assert house.sent == []

    loop.run(main)


def test_ids_must_differ(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        with pytest.raises(ValueError, match="same id"):
            house.engine.submit([Record("a", {}), Record("a", {})], "model", 60)

    loop.run(main)


def test_a_full_batch_of_a_day_goes_to_the_provider(tmp_path):
    """What is kept back for sending everything one by one leaves time for jobs."""

    async def main(clock):
        house = House(clock, tmp_path, turnaround=14_400.0)
        house.engine.local = Local(house.invoke, clock)
        id = house.engine.submit(records(300), "model", 86_400)
        batch = house.engine.batches[id]
        assert house.engine.choose(batch, "model", 300, 50_000) is not None

    loop.run(main)


def test_how_fast_records_go_alone_is_remembered(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        id = house.engine.submit(records(60), "model", 300)
        await house.engine.run(id)
        learnt = house.engine.local.per_s
        house.journal.close()
        again = House(clock, tmp_path)
        assert learnt != 10
        assert again.engine.local.per_s == learnt

    loop.run(main)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", range(1, 24))
def test_a_crash_at_any_write_loses_nothing_and_pays_nothing_twice(tmp_path, step, monkeypatch):
    """The process dies right after its n-th write to disk; another one takes over."""
    import hapenny.batch.journal as module

    async def main(clock):
        house = House(clock, tmp_path, fails=lambda record, token: record in {"r5"})
        written = 0
        for owner, name in ((module.Journal, "append"), (module.Journal, "write"), (FolderBucket, "put")):
            original = getattr(owner, name)

            def counted(self, *args, _original=original, **kwargs):
                nonlocal written
                result = _original(self, *args, **kwargs)
                written += 1
                if written == step:
                    raise Killed
                return result

            monkeypatch.setattr(owner, name, counted)
        try:
            id = house.engine.submit(records(450), "model", 3600)
            await house.engine.run(id)
        except Killed:
            pass
        finally:
            house.journal.close()
            monkeypatch.undo()
        again = House(clock, tmp_path, fails=lambda record, token: record in {"r5"})
        if not again.engine.batches:
            assert step <= 1  # not even accepted yet
            return
        (id,) = again.engine.batches
        await again.engine.run()
        check(again.engine, id, 450)
        assert set(again.jobs.bill().values()) == {1}
        assert set(house.sent) | set(again.sent) == {"r5"}
        known = {part.job.split(" ")[1] for part in again.engine.batches[id].parts.values()}
        jobs = {job["jobArn"] for job in again.jobs.list_model_invocation_jobs()["invocationJobSummaries"]}
        assert jobs == known
        again.journal.close()

    loop.run(main)


def test_what_was_not_asked_until_long_after_the_deadline_ends_as_an_error(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        id = house.engine.submit(records(5), "model", 60)
        await clock.sleep(2 * 3600)
        await house.engine.run(id)
        assert house.sent == []
        status = house.engine.status(id)
        assert (status.state, status.failed) == ("completed", 5)

    loop.run(main)
