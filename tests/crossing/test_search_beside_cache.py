"""A search beside the semantic cache's look-up: the same passages, sooner, from one embedding."""

import asyncio
import json

import numpy as np
import pytest

from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import load
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.retrieval.documents import Document
from hapenny.retrieval.folder import Folder
from hapenny.retrieval.ingest import Ingest
from hapenny.simulation import loop
from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.provider import SimulatedProvider
from hapenny.vectors.hashed import HashedEmbedder

LOOK_S = 0.3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ahead") / "films"
    made = Folder(path, HashedEmbedder())
    texts = ["Iron robots fall in love.", "Space is cold.", "A winter in the harbour town."]
    documents = [Document(id=str(number), text=text) for number, text in enumerate(texts)]
    asyncio.run(Ingest(made.store, made.embedder, made.manifest()).run(documents))
    return path


class Slow(HashedEmbedder):
    """Takes its time, and remembers what it was asked."""

    def __init__(self, clock):
        super().__init__()
        self.clock, self.asked = clock, []

    async def embed(self, texts):
        self.asked.append(tuple(texts))
        await self.clock.sleep(LOOK_S)
        return np.asarray(await super().embed(texts))


def played(folder, beside, questions):
    options = {
        "routes": {"default": {"holdout": 0, "unproven": "open", "stages": {"semantic": "on", "retrieval": "on"}}},
        "collections": {"films": {"path": str(folder)}},
        "stages": {
            "semantic": {"embedder": "hashed", "similarity": 0.95},
            "retrieval": {"collection": "films", "beside_cache": beside},
        },
        "ledger": None,
    }

    async def main(clock):
        backend = SimulatedBackend("simulated", SimulatedProvider(clock, MANGA_2024))
        async with Gateway(load(text=json.dumps(options)), clock=clock, backends={"simulated": backend}) as gateway:
            slow = Slow(clock)
            gateway.parts.services._embedder = lambda: slow  # noqa: SLF001
            exchanges = []
            for question in questions:
                request = Request(
                    protocol="openai", model="strong", messages=(Message("user", (Text(question),)),),
                    parameters=Parameters(max_tokens=300, temperature=0.0),
                )  # fmt: skip
                exchanges.append((await gateway.complete(request, Context()))[1])
                await gateway.settled()
            return exchanges, slow.asked

    return loop.run(main)


def first_call(exchange):
    return exchange.calls[0].started - exchange.arrived


def test_the_search_waits_for_no_look_up_and_finds_the_same(folder):
    question = "Hello there! Do robots love space? Thank you."  # is looked up as it stands, searched without manners
    [behind], asked = played(folder, False, [question])
    assert len(asked) == 2
    [beside], _ = played(folder, True, [question])
    assert beside.answer.citations == behind.answer.citations != ()
    assert first_call(behind) == pytest.approx(2 * LOOK_S)
    assert first_call(beside) == pytest.approx(LOOK_S)


def test_cache_and_search_share_one_embedding(folder):
    for beside in (False, True):
        [exchange], asked = played(folder, beside, ["robots love space"])
        assert asked == [("robots love space",)]
        assert first_call(exchange) == pytest.approx(LOOK_S)


def test_what_the_cache_answers_is_not_searched_to_the_end(folder):
    (_, again), _ = played(folder, True, ["Do robots love space?", "do robots love space"])
    assert again.cache.layer == "semantic"
    assert again.answer.citations == ()
    assert again.calls == []
