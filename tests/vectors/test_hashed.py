import numpy as np
import pytest

from hapenny.vectors import HashedEmbedder


async def test_near_wordings_are_near_and_vectors_are_unit():
    embedder = HashedEmbedder()
    rows = await embedder.embed(["Where is my new card?", "where is my new card", "Recipes for lentil soup", ""])
    assert rows.shape == (4, embedder.dim)
    assert rows.dtype == np.float32
    assert rows[0] @ rows[1] == pytest.approx(1.0, abs=1e-5)
    assert rows[0] @ rows[2] < 0.2
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 1, 0], abs=1e-5)


async def test_the_same_on_every_machine():
    first = HashedEmbedder(64).encode(["half a penny"])[0]
    assert np.flatnonzero(first).tolist() == PLACES
    assert HashedEmbedder(64).name == "hashed-64"


PLACES = [1, 12, 14, 16, 32, 33, 43, 44, 56, 57, 58, 60]


def test_tiny_dimensions_are_refused():
    with pytest.raises(ValueError, match="dim"):
        HashedEmbedder(4)
