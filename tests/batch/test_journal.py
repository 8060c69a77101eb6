"""A journal survives crashes, full disks and damaged bytes, and is of one process."""

import pytest

from hapenny.batch.journal import Journal
from tests.batch.disk import damage, full
from tests.log_lines import log_lines


def begun(folder):
    journal = Journal(folder)
    journal.append("batch", id="batch_1", model="m", created=0.0, deadline=1.0)
    return journal


def kinds(folder):
    journal = Journal(folder, look=True)
    return [entry["kind"] for entry in journal.entries]


def test_a_torn_last_line_is_cut_off(tmp_path):
    begun(tmp_path).close()
    with open(tmp_path / "journal.jsonl", "ab") as file:
        file.write(b'["1",17,"5a5')
    journal = Journal(tmp_path)
    assert [entry["kind"] for entry in journal.entries] == ["batch"]
    journal.append("done", batch="batch_1")
    journal.close()
    assert kinds(tmp_path) == ["batch", "done"]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path):
    journal = begun(tmp_path)
    before = (tmp_path / "journal.jsonl").read_bytes()
    with full(tmp_path / "journal.jsonl"):
        with pytest.raises(OSError, match="too large"):
            journal.append("cancelled", batch="batch_1")
        assert (tmp_path / "journal.jsonl").read_bytes() == before
        with pytest.raises(OSError, match="too large"):
            journal.write("batch_1/input.jsonl", b"x" * 10_000)
        assert [path.name for path in (tmp_path / "batch_1").iterdir()] == ["entries.jsonl"]
    journal.append("done", batch="batch_1")
    journal.close()
    assert kinds(tmp_path) == ["batch", "done"]


def test_a_growing_file_is_whole_again_after_a_full_disk(tmp_path):
    journal = begun(tmp_path)
    log = journal.log("batch_1/local.jsonl")
    log.append("r1", {"id": "r1"})
    with full(tmp_path / "batch_1" / "local.jsonl"), pytest.raises(OSError, match="too large"):
        log.append("r2", {"id": "r2"})
    log.append("r3", {"id": "r3"})
    log.close()
    assert [line.name for line in journal.lines("batch_1/local.jsonl")] == ["r1", "r3"]
    journal.close()


@pytest.mark.parametrize("needle", [b'"kind":"intent"', b'["1"', b'"1",'])
def test_a_damaged_entry_is_taken_from_its_copy(tmp_path, needle):
    journal = begun(tmp_path)
    journal.append("intent", batch="batch_1", part=0, provider="p", token="t")
    journal.append("done", batch="batch_1")
    journal.close()
    whole = Journal(tmp_path, look=True).entries
    damage(tmp_path / "journal.jsonl", needle, 2)
    assert Journal(tmp_path, look=True).entries == whole
    journal = Journal(tmp_path)
    assert journal.append("pace", batch="batch_1", per_s=1.0)["n"] == 3
    journal.close()


def test_damage_is_said(tmp_path):
    journal = begun(tmp_path)
    journal.close()
    damage(tmp_path / "journal.jsonl", b'"model"')
    with log_lines() as logs:
        Journal(tmp_path, look=True)
    assert [(log["event"], log["path"], log["count"]) for log in logs] == [
        ("lines of a file of the batch journal are damaged", "journal.jsonl", 1)
    ]


def test_a_journal_that_is_gone_is_made_of_the_copies(tmp_path):
    begun(tmp_path).close()
    (tmp_path / "journal.jsonl").unlink()
    assert kinds(tmp_path) == ["batch"]


def test_a_journal_of_version_0_1_goes_on(tmp_path):
    (tmp_path / "journal.jsonl").write_bytes(
        b'{"kind":"batch","id":"batch_1","model":"m","created":0.0,"deadline":1.0,"count":1,"key":"","metadata":{}}\n'
        b'{"kind":"cancelled","batch":"batch_1"}\n'
    )
    journal = Journal(tmp_path)
    journal.append("done", batch="batch_1")
    journal.close()
    assert kinds(tmp_path) == ["batch", "cancelled", "done"]


def test_one_process_at_a_time(tmp_path):
    journal = Journal(tmp_path)
    with pytest.raises(RuntimeError, match="in use"):
        Journal(tmp_path)
    journal.close()
