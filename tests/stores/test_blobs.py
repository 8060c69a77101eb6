"""The contract of blobs."""

from hashlib import sha256


async def test_a_blob_is_kept_under_its_hash(blobs):
    data = b"\x00\xff" * 300_000
    name = await blobs.put(data)
    assert name == sha256(data).hexdigest()
    assert await blobs.put(data) == name
    assert await blobs.get(name) == data
    assert await blobs.get("0" * 64) is None


async def test_an_empty_blob_is_a_blob(blobs):
    name = await blobs.put(b"")
    assert await blobs.get(name) == b""


async def test_a_deleted_blob_is_gone(blobs):
    name = await blobs.put(b"x")
    assert await blobs.delete(name) is True
    assert await blobs.delete(name) is False
    assert await blobs.get(name) is None


async def test_memory_is_bounded_in_bytes():
    from hapenny.stores.memory import MemoryBlobs

    store = MemoryBlobs(capacity=10)
    first, second = await store.put(b"aaaaaa"), await store.put(b"bbbbbb")
    assert await store.get(first) is None
    assert await store.get(second) == b"bbbbbb"
