"""What is damaged costs what is said, is never asked again, and keeps nothing else from being read."""

import json

import pytest

from hapenny.batch.local import Local
from hapenny.batch.records import Record
from hapenny.core.errors import Failure
from hapenny.simulation import loop
from tests.batch.disk import damage, full
from tests.batch.test_api import WANTED, file, house
from tests.batch.test_engine import House, check, records


def left_behind(tmp_path, count, until, **how):
    """The folder of a batch on which `until(engine, batch)` has worked, and then the process ended."""
    made = []

    async def main(clock):
        here = House(clock, tmp_path, **how)
        id = here.engine.submit(records(count), "model", 3600)
        await until(here, here.engine.batches[id])
        made.extend([id, list(here.sent)])
        here.journal.close()

    loop.run(main)
    return made


def resumed(tmp_path, then):
    async def main(clock):
        here = House(clock, tmp_path)
        await here.engine.run()
        then(here)
        here.journal.close()

    loop.run(main)


async def whole(here, batch):
    await here.engine.run(batch.id)


async def one_step(here, batch):
    await here.engine.step(batch)


def test_a_lost_answer_is_an_error_and_is_not_paid_again(tmp_path):
    id, sent = left_behind(tmp_path, 5, whole)
    damage(tmp_path / "journal" / id / "local.jsonl", b'"echo":3', 6)

    def then(here):
        assert here.sent == []
        results = {result.id: result for result in here.engine.results(id)}
        assert [key for key, result in results.items() if result.output is None] == ["r3"]
        assert "damaged" in results["r3"].error
        assert here.engine.status(id).succeeded == 4

    resumed(tmp_path, then)
    assert sorted(sent) == [f"r{n}" for n in range(5)]


def test_a_lost_record_ends_with_an_error_and_the_others_are_answered(tmp_path):
    id, _ = left_behind(tmp_path, 5, lambda here, batch: here.clock.sleep(0))
    damage(tmp_path / "journal" / id / "input.jsonl", b'{"n":2}', 4)

    def then(here):
        assert sorted(here.sent) == ["r0", "r1", "r3", "r4"]
        results = {result.id: result for result in here.engine.results(id)}
        assert "hand it in again" in results["r2"].error
        assert here.engine.status(id).total == 5

    resumed(tmp_path, then)


@pytest.mark.parametrize("name", ["part-0.json", "entries.jsonl"])
@pytest.mark.parametrize("offset", [0, 9, 30])
def test_a_damaged_byte_beside_a_job_repeats_no_paid_work(tmp_path, name, offset):
    id, _ = left_behind(tmp_path, 200, one_step)
    path = tmp_path / "journal" / id / name
    damage(path, path.read_bytes()[offset : offset + 8])

    def then(here):
        check(here.engine, id, 200)
        assert here.sent == []
        assert set(here.jobs.bill().values()) == {1}

    resumed(tmp_path, then)


def test_a_damaged_intent_in_the_journal_repeats_no_paid_work(tmp_path):
    id, _ = left_behind(tmp_path, 200, one_step)
    damage(tmp_path / "journal" / "journal.jsonl", b'"intent"', 3)

    def then(here):
        check(here.engine, id, 200)
        assert set(here.jobs.bill().values()) == {1}
        assert len(here.jobs.list_model_invocation_jobs()["invocationJobSummaries"]) == 1

    resumed(tmp_path, then)


def test_damaged_results_of_a_job_are_fetched_again_while_the_batch_is_open(tmp_path):
    async def collected(here, batch):
        async def ends(record):
            raise RuntimeError("the process ends")

        here.engine.local = Local(ends, here.clock)
        await here.engine.step(batch)
        await here.clock.sleep(600)
        with pytest.raises(RuntimeError):
            await here.engine.step(batch)

    id, _ = left_behind(tmp_path, 200, collected, fails=lambda record, token: record == "r5")
    damage(tmp_path / "journal" / id / "results-0.jsonl", b'"echo":77', 6)

    def then(here):
        check(here.engine, id, 200)
        assert here.sent == ["r5"]

    resumed(tmp_path, then)


def test_damaged_results_of_a_finished_batch_are_errors(tmp_path):
    id, _ = left_behind(tmp_path, 200, whole)
    damage(tmp_path / "journal" / id / "results-0.jsonl", b'"echo":77', 6)

    def then(here):
        results = {result.id: result for result in here.engine.results(id)}
        assert [key for key, result in results.items() if result.output is None] == ["r77"]
        assert here.engine.status(id).succeeded == 199

    resumed(tmp_path, then)


def test_while_the_disk_is_full_nothing_new_is_begun_and_nothing_is_asked_twice(tmp_path):
    async def main(clock):
        here = House(clock, tmp_path)
        id = here.engine.submit(records(60), "model", 300)
        batch = here.engine.batches[id]
        with full(tmp_path / "journal" / id / "input.jsonl"):
            (tmp_path / "journal" / id / "local.jsonl").write_bytes(b"")
            for _ in range(5):
                try:
                    await here.engine.step(batch)
                except OSError:
                    await clock.sleep(10)
            begun = len(here.sent)
            assert 0 < begun < 60
        await here.engine.run(id)
        check(here.engine, id, 60)
        assert sorted(here.sent) == sorted(f"r{n}" for n in range(60))
        here.journal.close()

    loop.run(main)


def test_an_upload_whose_description_is_damaged_is_not_there_and_the_others_are(tmp_path):
    async def main(clock):
        _, api = house(clock, tmp_path)
        lost, kept = (api.upload("t", "in.jsonl", "batch", file(2))["id"] for _ in range(2))
        (tmp_path / "files" / f"{lost}.json").write_bytes(b"")
        assert [each["id"] for each in api.files("t")["data"]] == [kept]
        with pytest.raises(Failure) as raised:
            api.file("t", lost)
        assert raised.value.status == 404

    loop.run(main)


def test_an_upload_that_is_damaged_is_refused_instead_of_being_sent(tmp_path):
    async def main(clock):
        engine, api = house(clock, tmp_path)
        id = api.upload("t", "in.jsonl", "batch", file(2))["id"]
        damage(tmp_path / "files" / id, b'"m"', 1)
        with pytest.raises(Failure, match="damaged") as raised:
            api.create("t", {**WANTED, "input_file_id": id})
        assert raised.value.fix == "upload it again"
        assert engine.batches == {}

    loop.run(main)


def test_a_full_disk_takes_no_upload_and_no_batch_and_says_so(tmp_path):
    async def main(clock):
        engine, api = house(clock, tmp_path)
        id = api.upload("t", "in.jsonl", "batch", file(50))["id"]
        with full(tmp_path / "files" / f"{id}.json"):
            for attempt in (
                lambda: api.upload("t", "in.jsonl", "batch", file(50)),
                lambda: api.create("t", {**WANTED, "input_file_id": id}),
            ):
                with pytest.raises(Failure) as raised:
                    attempt()
                assert (raised.value.status, raised.value.retryable) == (503, True)
        assert engine.batches == {}
        assert api.create("t", {**WANTED, "input_file_id": id})["request_counts"]["total"] == 50

    loop.run(main)


def test_files_of_version_0_1_go_on(tmp_path):
    folder = tmp_path / "journal"
    (folder / "batch_1").mkdir(parents=True)
    (folder / "journal.jsonl").write_text(
        '{"kind":"batch","id":"batch_1","model":"m","created":0.0,"deadline":9e9,"count":3,"key":"","metadata":{}}\n'
        '{"kind":"intent","batch":"batch_1","part":0,"provider":"bedrock","token":"t"}\n'
        '{"kind":"refused","batch":"batch_1","part":0,"reason":"too few"}\n'
    )
    (folder / "batch_1" / "input.jsonl").write_text(
        "".join(json.dumps({"id": f"r{n}", "body": {"n": n}}) + "\n" for n in range(3))
    )
    (folder / "batch_1" / "part-0.json").write_text('["r0","r1","r2"]')
    (folder / "batch_1" / "local.jsonl").write_text('{"id":"r0","output":{"echo":0},"error":"","retryable":true}\n')

    def then(here):
        check(here.engine, "batch_1", 3)
        assert sorted(here.sent) == ["r1", "r2"]

    resumed(tmp_path, then)


def test_an_id_may_be_any_text(tmp_path):
    ids = ['a "quoted", id', "id\nwith lines", "日本", "%41", " "]

    async def main(clock):
        here = House(clock, tmp_path)
        id = here.engine.submit([Record(each, {"n": 1}) for each in ids], "model", 3600)
        await here.engine.run(id)
        assert [result.id for result in here.engine.results(id)] == ids
        here.journal.close()

    loop.run(main)
    resumed(tmp_path, lambda here: None)
