"""The contract of rows."""

import pytest


async def fill(rows):
    for n in range(10):
        body = {"n": n, "half": n / 2, "kind": "even" if n % 2 == 0 else "odd", "big": n > 5, "deep": {"x": [n]}}
        if n == 3:
            body["kind"] = None
        await rows.put("t", f"id{n}", body, at=100.0 + n)
    await rows.put("other", "id1", {"n": 1}, at=101.0)


def ids(records):
    return [record.id for record in records]


async def test_a_row_comes_back_as_it_was_put(rows):
    body = {
        "text": "naïve 日本 \"quoted\" 'single'",
        "n": None,
        "list": [1, 2.5, "x", None],
        "deep": {"a": {"b": True}},
    }
    await rows.put("t", "a", body, at=12.5)
    found = await rows.get("t", "a")
    assert (found.id, found.at, found.body) == ("a", 12.5, body)
    assert await rows.get("t", "b") is None
    assert await rows.get("nothing", "a") is None


async def test_putting_again_replaces_row_and_time(rows):
    await rows.put("t", "a", {"n": 1}, at=1.0)
    await rows.put("t", "a", {"n": 2}, at=5.0)
    assert await rows.find("t", until=4.0) == []
    assert [record.body for record in await rows.find("t")] == [{"n": 2}]


async def test_find_by_time_and_order(rows):
    await fill(rows)
    assert ids(await rows.find("t", since=103.0, until=106.0)) == ["id3", "id4", "id5"]
    assert ids(await rows.find("t", newest=True, limit=2)) == ["id9", "id8"]
    assert ids(await rows.find("t", limit=2)) == ["id0", "id1"]
    assert ids(await rows.find("other")) == ["id1"]


async def test_find_by_fields(rows):
    await fill(rows)
    assert ids(await rows.find("t", where={"kind": "odd"})) == ["id1", "id5", "id7", "id9"]
    assert ids(await rows.find("t", where={"kind": "odd", "big": True})) == ["id7", "id9"]
    assert ids(await rows.find("t", where={"n": 4})) == ["id4"]
    assert ids(await rows.find("t", where={"n": 4.0})) == ["id4"]
    assert ids(await rows.find("t", where={"half": 2.5})) == ["id5"]
    assert ids(await rows.find("t", where={"kind": None})) == ["id3"]
    assert len(await rows.find("t", where={"missing": None})) == 10
    assert await rows.find("t", where={"n": "4"}) == []
    assert await rows.find("t", where={"big": 1}) == []
    assert await rows.find("t", where={"n": True}) == []


async def test_equal_times_are_ordered_by_id(rows):
    for name in ("b", "C", "a", "é"):
        await rows.put("t", name, {}, at=1.0)
    assert ids(await rows.find("t")) == ["C", "a", "b", "é"]
    assert ids(await rows.find("t", newest=True)) == ["é", "b", "a", "C"]


async def test_delete(rows):
    await fill(rows)
    assert await rows.delete("t", id="id0") == 1
    assert await rows.delete("t", id="id0") == 0
    assert await rows.delete("t", where={"kind": "odd"}, until=106.0) == 2
    assert ids(await rows.find("t")) == ["id2", "id3", "id4", "id6", "id7", "id8", "id9"]
    assert await rows.delete("t") == 7
    assert ids(await rows.find("other")) == ["id1"]


@pytest.mark.parametrize("name", ['a"b', "a\\b", ""])
async def test_a_field_name_cannot_carry_sql(rows, name):
    await fill(rows)
    with pytest.raises(ValueError, match="no field name"):
        await rows.find("t", where={name: 1})


async def test_odd_names_are_only_names(rows):
    await rows.put("t'; DROP TABLE rows; --", "x' OR '1'='1", {"a'b": 1, "a.b": 2, "$": 3}, at=1.0)
    table = "t'; DROP TABLE rows; --"
    for where in ({"a'b": 1}, {"a.b": 2}, {"$": 3}):
        assert len(await rows.find(table, where=where)) == 1
    assert await rows.find("t", where={"a'b": 1}) == []
    assert await rows.delete(table, id="x") == 0


async def test_what_was_put_is_a_copy(rows):
    body = {"list": [1]}
    await rows.put("t", "a", body, at=1.0)
    body["list"].append(2)
    assert (await rows.get("t", "a")).body == {"list": [1]}


async def test_memory_is_bounded():
    from hapenny.stores.memory import MemoryRows

    store = MemoryRows(capacity=3)
    for n in range(6):
        await store.put("t", str(n), {}, at=float(n))
    assert ids(await store.find("t")) == ["3", "4", "5"]
