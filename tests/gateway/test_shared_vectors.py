"""One embedding a text and request, whoever asks, also at once."""

import asyncio

import numpy as np
import pytest

from hapenny.gateway.shared_vectors import SharedVectors


class Embedder:
    """Answers when it is let."""

    def __init__(self):
        self.asked, self.gate, self.fails = [], asyncio.Event(), False

    async def __call__(self, texts):
        self.asked.append(tuple(texts))
        await self.gate.wait()
        if self.fails:
            raise ConnectionError("down")
        return np.array([[float(len(text))] for text in texts], np.float32)


async def test_whoever_asks_meanwhile_gets_the_same_vector():
    shared, embed = SharedVectors(), Embedder()
    first = asyncio.ensure_future(shared.of(["a", "bb"], embed))
    second = asyncio.ensure_future(shared.of(["bb", "ccc"], embed))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    embed.gate.set()
    assert (await first).tolist() == [[1.0], [2.0]]
    assert (await second).tolist() == [[2.0], [3.0]]
    assert embed.asked == [("a", "bb"), ("ccc",)]
    assert (await shared.of(["a", "a"], embed)).tolist() == [[1.0], [1.0]]


async def test_who_leaves_takes_nobodys_vector_along():
    shared, embed = SharedVectors(), Embedder()
    first = asyncio.ensure_future(shared.of(["a"], embed))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(shared.of(["a"], embed))
    await asyncio.sleep(0)
    first.cancel()
    embed.gate.set()
    assert (await second).tolist() == [[1.0]]
    assert embed.asked == [("a",), ("a",)]


async def test_a_failure_is_told_to_everybody_who_asks():
    shared, embed = SharedVectors(), Embedder()
    embed.fails = True
    embed.gate.set()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await shared.of(["a"], embed)
