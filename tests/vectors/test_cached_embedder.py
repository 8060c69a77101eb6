import numpy as np
from benchmarks.cached_embedder import CachedEmbedder

from hapenny.vectors import HashedEmbedder


async def test_each_text_is_embedded_once_over_processes(tmp_path):
    first = CachedEmbedder(HashedEmbedder(32), tmp_path)
    rows = await first.embed(["a", "b", "a"])
    assert first.computed == 2
    second = CachedEmbedder(HashedEmbedder(32), tmp_path)
    again = await second.embed(["b", "c", "a"])
    assert second.computed == 1
    assert np.array_equal(again[0], rows[1])
    assert np.array_equal(again, HashedEmbedder(32).encode(["b", "c", "a"]))


async def test_embedders_never_share_vectors(tmp_path):
    await CachedEmbedder(HashedEmbedder(32), tmp_path).embed(["a"])
    other = CachedEmbedder(HashedEmbedder(64), tmp_path)
    assert (await other.embed(["a"])).shape == (1, 64)
    assert other.computed == 1


async def test_no_texts(tmp_path):
    assert (await CachedEmbedder(HashedEmbedder(32), tmp_path).embed([])).shape == (0, 32)
