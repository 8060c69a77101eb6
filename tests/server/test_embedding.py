"""Questions that arrive together are embedded together; one alone goes at once."""

import asyncio

from hapenny.core.clock import RealClock
from hapenny.throughput.embedding import GatheredEmbedder
from hapenny.vectors.hashed import HashedEmbedder
from tests.server.house import SONNET, Scripted, serving
from tests.server.test_clients import aio
from tests.settling import eventually


class Held:
    """Hashed vectors that wait for the test to let them go."""

    name, dim = "held", HashedEmbedder().dim

    def __init__(self):
        self.inner = HashedEmbedder()
        self.calls = []
        self.gate = asyncio.Event()

    async def embed(self, texts):
        self.calls.append(list(texts))
        await self.gate.wait()
        return await self.inner.embed(texts)


async def test_requests_under_way_share_embedding_calls(tmp_path):
    async with serving(tmp_path, Scripted(), preset="balanced") as (url, app):
        held = app.gateway.shared.embedder._inner = Held()  # noqa: SLF001 - nothing in a configuration names a slow embedder
        api = aio(url)
        questions = [f"What is the toll of bridge {i}?" for i in range(12)]
        asked = [
            asyncio.create_task(
                api.chat.completions.create(model=SONNET, messages=[{"role": "user", "content": text}], temperature=0)
            )
            for text in questions
        ]
        await eventually(lambda: app.gateway.shared.gathered.batcher.waiting >= 10, 10)
        held.gate.set()
        answers = await asyncio.gather(*asked)
        assert all(answer.choices[0].message.content == "Half a penny." for answer in answers)
        assert sorted(text for call in held.calls for text in call) == sorted(questions)
        assert [len(call) for call in held.calls] == [1, 1, 10]


async def test_each_call_gets_its_own_vectors():
    held = Held()
    gathered = GatheredEmbedder(held, RealClock())
    calls = [["one"], ["two", "three"], ["four"], [], ["five", "six", "seven"]]
    tasks = [asyncio.create_task(gathered.embed(texts)) for texts in calls]
    await asyncio.sleep(0)
    held.gate.set()
    for texts, task in zip(calls, tasks, strict=True):
        assert (await task).tolist() == (await held.inner.embed(texts)).tolist()
    assert len(held.calls) == 3
