"""The content store keeps only what it may, unreadable to others, and forgets when told."""

import base64
import sqlite3
import sys

import msgspec
import pytest
from cryptography.exceptions import InvalidTag

from hapenny.stores.memory import MemoryRows
from hapenny.stores.sqlite import SqliteFile, SqliteRows
from hapenny.telemetry.content import DAY, ContentOptions, ContentStore
from hapenny.telemetry.redact import redact
from tests.telemetry import made

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def clock():
    return made.Clock()


def store(clock, rows=None, **more):
    options = ContentOptions(**{"key": KEY, "sample": 1.0, "routes": ["support"], **more})
    return ContentStore(options, rows or MemoryRows(), clock)


def finished(clock, text="where is my parcel?", answer="on its way", **more):
    ex = made.exchange(clock, made.ask(text, system=made.Text("be kind")), **{"route": "support", **more})
    made.deliver(ex, answer)
    return ex


async def test_texts_come_back_whole(clock):
    kept = store(clock)
    ex = finished(clock)
    assert await kept.keep(ex)
    found = await kept.get(ex.id)
    assert found.messages == [("system", "be kind"), ("user", "where is my parcel?")]
    assert (found.answer, found.route, found.cut) == ("on its way", "support", False)
    assert [content.request for content in await kept.find(route="support")] == [ex.id]
    assert await kept.find(route="other") == []


async def test_nothing_is_kept_without_consent(clock):
    kept = store(clock)
    assert not await kept.keep(finished(clock, route="default"))
    ex = finished(clock)
    ex.context.cache_control = ("no-store",)
    assert not await kept.keep(ex)
    ex = finished(clock)
    ex.original = msgspec.structs.replace(ex.original, store=False)
    assert not await kept.keep(ex)
    ex = finished(clock)
    ex.delivered = False
    assert not await kept.keep(ex)
    assert not await store(clock, sample=0.0).keep(finished(clock))


async def test_the_sample_is_about_the_share_and_the_same_everywhere(clock):
    one, two = store(clock, sample=0.2), store(clock, sample=0.2)
    exchanges = [finished(clock) for _ in range(500)]
    drawn = [one.wanted(ex) for ex in exchanges]
    assert drawn == [two.wanted(ex) for ex in exchanges]
    assert 60 < sum(drawn) < 145


async def test_the_file_holds_neither_texts_nor_users(clock, tmp_path):
    path = tmp_path / "content.db"
    rows = SqliteRows(SqliteFile(str(path), clock))
    kept = store(clock, rows, redact=False)
    await kept.keep(finished(clock, "my secret parcel", "secret place", user="alice@example.com"))
    with sqlite3.connect(path) as reader:
        dump = "\n".join(reader.iterdump())
    assert "support" in dump
    for secret in ("secret", "parcel", "alice", base64.b64encode(b"my secret")[:10].decode()):
        assert secret not in dump
    await rows.aclose()


async def test_a_user_is_erased_and_others_are_not(clock):
    kept = store(clock)
    mine = [finished(clock, user="alice") for _ in range(3)]
    other, namesake = finished(clock, user="bob"), finished(clock, user="alice", tenant="t2")
    for ex in (*mine, other, namesake):
        await kept.keep(ex)
    assert await kept.erase_user("t1", "alice") == 3
    assert await kept.get(mine[0].id) is None
    assert await kept.get(other.id) is not None
    assert await kept.get(namesake.id) is not None


async def test_texts_leave_after_the_retention(clock):
    kept = store(clock, retention_days=7)
    old = finished(clock)
    await kept.keep(old)
    clock.t += 6 * DAY
    new = finished(clock)
    await kept.keep(new)
    clock.t += 2 * DAY
    assert await kept.expire() == 1
    assert await kept.get(old.id) is None
    assert await kept.get(new.id) is not None


async def test_a_swapped_or_changed_text_is_noticed(clock):
    rows = MemoryRows()
    kept = store(clock, rows)
    one, two = finished(clock), finished(clock)
    await kept.keep(one)
    await kept.keep(two)
    body = dict((await rows.get("content", one.id)).body)
    await rows.put("content", two.id, body, at=clock.wall())
    with pytest.raises(InvalidTag):
        await kept.get(two.id)
    other = ContentStore(
        ContentOptions(key=base64.b64encode(bytes(32)).decode(), sample=1, routes=["support"]), rows, clock
    )
    with pytest.raises(InvalidTag):
        await other.get(one.id)


async def test_a_huge_request_is_cut_and_says_so(clock):
    kept = store(clock)
    ex = finished(clock, "x" * 300_000)
    await kept.keep(ex)
    found = await kept.get(ex.id)
    assert found.cut
    assert sum(len(text) for _, text in found.messages) == 200_000


async def test_a_failing_store_never_fails_a_request(clock):
    class Broken(MemoryRows):
        async def put(self, *args, **more):
            raise OSError("disk full")

    kept = store(clock, Broken())
    assert not await kept.keep(finished(clock))
    assert kept.failures == 1


def test_it_refuses_to_start_without_encryption(clock, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ImportError, match=r"hapenny\[content\]"):
        store(clock)


@pytest.mark.parametrize("key", ["", "short", "!" * 44, base64.b64encode(bytes(16)).decode()])
def test_it_refuses_to_start_with_a_bad_key(clock, key):
    with pytest.raises(ValueError, match="32 bytes in base64"):
        store(clock, key=key)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("write to alice.o'hara+manga@mail.example.co.uk, please", "write to [email], please"),
        ("call +353 1 234 5678 or (01) 234 5678 or 555-123-4567.", "call [phone] or [phone] or [phone]."),
        ("gọi 0912 345 678 nhé, hoặc 0912345678", "gọi [phone] nhé, hoặc [phone]"),
        ("電話は03-1234-5678です、a.b@c.jpへ", "電話は[phone]です、[email]へ"),
        ("card 4111 1111 1111 1111 exp 12/29", "card [card] exp 12/29"),
        ("card 5500-0000-0000-0004", "card [card]"),
        ("order 4111 1111 1111 1112 is no card", "order 4111 1111 1111 1112 is no card"),
        ("IBAN DE89 3704 0044 0532 0130 00 bitte", "IBAN [iban] bitte"),
        ("key sk-ant-REDACTED and AKIAIOSFODNN7EXAMPLE", "key [key] and [key]"),
        ("Authorization: Bearer abc123.def456", "Authorization: Bearer [key]"),
        ("password=hunter22 and token:abcdef123", "password=[key] and token:[key]"),
        ("volume 12, page 345, $19.99, 2026-11-20, v1.2.3.4", "volume 12, page 345, $19.99, 2026-11-20, v1.2.3.4"),
        ("ISBN 978-4-08-870101-2 costs 1,200 yen", "ISBN 978-4-08-870101-2 costs 1,200 yen"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_identifies_people_is_taken_out(text, left):
    assert redact(text) == left


def test_redaction_is_linear_on_hostile_texts():
    for text in ("a" * 50_000 + "@", "1 " * 50_000, "+1" + " 11" * 30_000, "a@" + "b." * 30_000, "0" * 100_000):
        redact(text)
