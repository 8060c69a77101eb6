import json

import pytest

from hapenny.batch.api import BatchApi
from hapenny.batch.engine import BatchEngine
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.options import BatchOptions
from hapenny.core.errors import Failure
from hapenny.simulation import loop


def house(clock, folder):
    async def invoke(record):
        await clock.sleep(1)
        if record.body.get("bad"):
            raise Failure("invalid_request", "no")
        return {"model": record.model, "choices": [{"message": {"content": "hi"}}]}

    engine = BatchEngine(Journal(folder), {}, Local(invoke, clock), clock, BatchOptions(poll_s=1))
    return engine, BatchApi(engine)


def file(count, **changes):
    rows = [
        {"custom_id": f"c{n}", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}
        for n in range(count)
    ]
    for row in rows:
        row.update(changes)
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


WANTED = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


def test_from_file_to_results(tmp_path):
    async def main(clock):
        engine, api = house(clock, tmp_path)
        data = (
            file(3)
            + json.dumps(
                {"custom_id": "x", "url": "/v1/chat/completions", "body": {"model": "m", "bad": True}}
            ).encode()
        )
        source = api.upload("t", "in.jsonl", "batch", data)
        assert api.content("t", source["id"]) == data
        batch = api.create("t", {**WANTED, "input_file_id": source["id"]})
        assert batch["status"] == "in_progress"
        assert batch["output_file_id"] is None
        await engine.run()
        batch = api.retrieve("t", batch["id"])
        assert batch["status"] == "completed"
        assert batch["request_counts"] == {"total": 4, "completed": 3, "failed": 1}
        rows = [json.loads(line) for line in api.content("t", batch["output_file_id"]).splitlines()]
        assert [row["custom_id"] for row in rows] == ["c0", "c1", "c2"]
        assert rows[0]["response"]["body"]["model"] == "m"
        (error,) = [json.loads(line) for line in api.content("t", batch["error_file_id"]).splitlines()]
        assert error["custom_id"] == "x"

    loop.run(main)


def test_others_objects_do_not_exist(tmp_path):
    async def main(clock):
        _, api = house(clock, tmp_path)
        source = api.upload("a", "in.jsonl", "batch", file(2))
        batch = api.create("a", {**WANTED, "input_file_id": source["id"]})
        for attempt in (
            lambda: api.file("b", source["id"]),
            lambda: api.content("b", source["id"]),
            lambda: api.retrieve("b", batch["id"]),
            lambda: api.content("b", batch["id"] + "-output"),
            lambda: api.create("b", {**WANTED, "input_file_id": source["id"]}),
            lambda: api.file("a", "../journal"),
        ):
            with pytest.raises(Failure) as raised:
                attempt()
            assert raised.value.status == 404
        assert api.list("b")["data"] == []
        assert [b["id"] for b in api.list("a")["data"]] == [batch["id"]]

    loop.run(main)


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (b"not json\n", {}),
        (b'{"custom_id":"a"}\n', {}),
        (file(2, custom_id="same"), {}),
        (file(1, url="/v1/embeddings"), {}),
        (b"", {}),
        (file(1), {"completion_window": "soon"}),
        (file(1), {"input_file_id": None}),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(tmp_path, data, changes):
    async def main(clock):
        engine, api = house(clock, tmp_path)
        source = api.upload("t", "in.jsonl", "batch", data)
        with pytest.raises(Failure) as raised:
            api.create("t", {**WANTED, "input_file_id": source["id"], **changes})
        assert raised.value.status == 400
        assert raised.value.fix
        assert engine.batches == {}

    loop.run(main)


def test_a_byte_order_mark_is_taken_and_ids_given_twice_are_named_with_both_lines(tmp_path):
    async def main(clock):
        _, api = house(clock, tmp_path)
        marked = api.upload("t", "in.jsonl", "batch", b"\xef\xbb\xbf" + file(2))
        assert api.create("t", {**WANTED, "input_file_id": marked["id"]})["request_counts"]["total"] == 2
        twice = api.upload("t", "in.jsonl", "batch", file(3) + b"\n" + file(1))
        with pytest.raises(Failure, match="'c0' is line 1's") as raised:
            api.create("t", {**WANTED, "input_file_id": twice["id"]})
        assert raised.value.field == "input_file_id line 5"

    loop.run(main)


def test_the_same_idempotency_key_is_the_same_batch(tmp_path):
    async def main(clock):
        _, api = house(clock, tmp_path)
        source = api.upload("t", "in.jsonl", "batch", file(1))
        one = api.create("t", {**WANTED, "input_file_id": source["id"]}, key="k")
        assert api.create("t", {**WANTED, "input_file_id": source["id"]}, key="k")["id"] == one["id"]
        assert api.create("t", {**WANTED, "input_file_id": source["id"]})["id"] != one["id"]

    loop.run(main)


def test_the_same_request_twice_at_once_is_one_batch(tmp_path):
    async def main(clock):
        _, api = house(clock, tmp_path)
        source = api.upload("t", "in.jsonl", "batch", file(1))
        both = [api.prepare("t", {**WANTED, "input_file_id": source["id"]}) for _ in range(2)]
        one, two = (api.enter(each, key="k") for each in both)
        assert one["id"] == two["id"]
        assert [each["id"] for each in api.list("t")["data"]] == [one["id"]]

    loop.run(main)
