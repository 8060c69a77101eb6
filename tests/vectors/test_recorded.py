import asyncio

import numpy as np

from hapenny.vectors.hashed import HashedEmbedder
from hapenny.vectors.recorded import RecordedEmbedder


class Counting(HashedEmbedder):
    texts = 0

    async def embed(self, texts):
        self.texts += len(texts)
        return await super().embed(texts)


def test_vectors_are_the_inner_embedders_and_each_text_is_computed_once():
    async def main():
        inner, vectors = Counting(), {}
        recorded = RecordedEmbedder(inner, vectors)
        first = await recorded.embed(["tea", "coffee", "tea"])
        again = await RecordedEmbedder(inner, vectors).embed(["coffee", "tea"])
        assert inner.texts == 2
        assert np.array_equal(first[[1, 0]], again)
        assert np.array_equal(first, await HashedEmbedder().embed(["tea", "coffee", "tea"]))
        assert (await recorded.embed([])).shape == (0, recorded.dim)
        assert recorded.name == inner.name

    asyncio.run(main())
