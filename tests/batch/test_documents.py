import zlib

import pytest

from hapenny.batch.documents import DocumentOptions, Documents, chunks
from hapenny.batch.engine import BatchEngine
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.options import BatchOptions
from hapenny.catalog import default
from hapenny.core.errors import Failure
from hapenny.simulation import loop


class House:
    def __init__(self, clock, folder):
        self.clock, self.sent = clock, []
        self.journal = Journal(folder)
        self.engine = BatchEngine(self.journal, {}, Local(self.invoke, clock), clock, BatchOptions(poll_s=1))

    async def invoke(self, record):
        await self.clock.sleep(1)
        self.sent.append(record.model)
        if "inputText" in record.body:
            return {"embedding": [float(len(record.body["inputText"]))]}
        text = record.body["messages"][0]["content"][0]["text"]
        if "poison" in text:
            raise Failure("invalid_request", "refused")
        return {"content": [{"type": "text", "text": f"<{record.model}:{zlib.crc32(text.encode())}>"}]}


def unknown(model, tier):
    return None


LONG = "\n\n".join(f"Paragraph {n} about manga. " + "word " * 60 for n in range(40))


def test_chunks_hold_everything_and_keep_their_bound():
    parts = chunks(LONG, 200)
    assert len(parts) > 5
    assert all(len(part) <= 800 for part in parts)
    assert " ".join(parts).split() == LONG.split()
    assert chunks("", 100) == []
    assert "".join(chunks("x" * 5000, 100)) == "x" * 5000


def test_long_documents_are_joined_by_the_second_model_and_doubles_are_sent_once(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        options = DocumentOptions(task="summarise", model="small", join_model="large", chunk_tokens=200, shard=10)
        texts = [("a", "One."), ("b", LONG), ("c", "One."), ("d", "Other."), ("e", "")]
        seen = []
        done = await Documents(house.engine, options, "run").process(texts, lambda one, of: seen.append((one, of)))
        assert [d.name for d in done] == ["a", "b", "c", "d", "e"]
        assert done[0].answer == done[2].answer
        assert "large" in done[1].answer
        assert done[4].answer == ""
        assert house.sent.count("small") == 2 + len(chunks(LONG, 200))
        assert house.sent.count("large") == 1
        assert seen == [(5, 5)]

    loop.run(main)


def test_stages_of_different_shards_overlap(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        options = DocumentOptions(task="classify", model="small", join_model="large", chunk_tokens=500, shard=2)
        texts = [(f"d{n}", LONG.replace("manga", f"title {n}")) for n in range(8)]
        await Documents(house.engine, options, "run").process(texts)
        first_large = house.sent.index("large")
        return len(house.sent) - 1 - house.sent[::-1].index("small") > first_large

    assert loop.run(main)


def test_a_killed_run_goes_on_and_pays_nothing_again(tmp_path):
    async def main(clock):
        options = DocumentOptions(task="summarise", model="m", chunk_tokens=200, shard=2)
        texts = [(f"d{n}", LONG.replace("manga", f"title {n}")) for n in range(4)]
        first = House(clock, tmp_path)
        with pytest.raises(TimeoutError):
            import asyncio

            async with asyncio.timeout(4.5):
                await Documents(first.engine, options, "run").process(texts)
        first.journal.close()
        second = House(clock, tmp_path)
        done = await Documents(second.engine, options, "run").process(texts)
        assert all(d.answer and not d.error for d in done)
        return len(first.sent), len(second.sent), 4 * len(chunks(texts[0][1], 200)) + 4

    first, second, whole = loop.run(main)
    assert first > 0
    assert first + second == whole


def test_a_repeated_run_asks_only_for_what_is_new_or_changed(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        options = DocumentOptions(task="summarise", model="m", chunk_tokens=200, shard=2)
        texts = [("a", "One."), ("b", "Two."), ("c", LONG)]
        before = await Documents(house.engine, options, "run").process(texts)
        sent = len(house.sent)
        again = Documents(house.engine, options, "run")
        assert again.estimate(texts, unknown).input_tokens == 0
        assert await again.process(texts) == before
        assert len(house.sent) == sent
        changed = [("a", "One."), ("b", "Two, changed."), ("d", "Four."), ("c", LONG)]
        after = await Documents(house.engine, options, "run").process(changed)
        assert len(house.sent) == sent + 2
        assert (after[0].answer, after[3].answer) == (before[0].answer, before[2].answer)

    loop.run(main)


def test_doubles_in_different_shards_are_sent_once(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        options = DocumentOptions(task="classify", model="m", shard=1)
        done = await Documents(house.engine, options, "run").process([(f"d{n}", "The same.") for n in range(5)])
        assert len({d.answer for d in done}) == 1
        assert house.sent == ["m"]

    loop.run(main)


def test_what_failed_is_asked_again_by_the_next_run(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        options = DocumentOptions(task="extract", model="m")
        await Documents(house.engine, options, "run").process([("good", "fine"), ("bad", "poison")])
        sent = len(house.sent)
        await Documents(house.engine, options, "run").process([("good", "fine"), ("bad", "poison")])
        return sent, len(house.sent)

    sent, then = loop.run(main)
    assert then == sent + 1  # the good one was not asked again


def test_the_cost_after_is_what_the_answers_report(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)

        async def invoke(record):
            return {
                "output": {"message": {"content": [{"text": "Shipping."}]}},
                "usage": {"inputTokens": 100, "outputTokens": 10},
            }

        house.engine.local = Local(invoke, clock)
        card = default().resolve("anthropic.claude-sonnet-4-5-20250929-v1:0")
        work = Documents(house.engine, DocumentOptions(task="classify", model=card.id), "run")
        await work.process([("a", "One."), ("b", "Two.")])
        spent = work.spent(lambda model, tier: card.rates(tier))
        assert (spent.alone, spent.batched, spent.input_tokens, spent.output_tokens) == (2, 0, 200, 20)
        rates = card.rates("standard")
        assert spent.nano == spent.on_demand_nano == 2 * ((100 * rates.input + 10 * rates.output) // 1000)

    loop.run(main)


def test_a_document_with_a_failed_part_says_so_and_others_are_fine(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        options = DocumentOptions(task="extract", model="m")
        done = await Documents(house.engine, options, "run").process([("good", "fine"), ("bad", "poison")])
        assert (done[0].error, done[1].error) == ("", "refused")

    loop.run(main)


def test_embeddings_are_one_vector_a_chunk(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        options = DocumentOptions(task="embed", model="e", chunk_tokens=200)
        (done,) = await Documents(house.engine, options, "run").process([("a", LONG)])
        assert done.answer == [[float(len(part))] for part in chunks(LONG, 200)]

    loop.run(main)


def test_the_cost_ahead_is_half_in_batch(tmp_path):
    async def main(clock):
        house = House(clock, tmp_path)
        card = default().resolve("anthropic.claude-sonnet-4-5-20250929-v1:0")
        options = DocumentOptions(task="summarise", model=card.id)
        texts = [("a", LONG), ("b", LONG), ("c", "short")]
        estimate = Documents(house.engine, options, "run").estimate(texts, lambda model, tier: card.rates(tier))
        assert estimate.documents == 3
        assert estimate.duplicates > 0
        assert estimate.batch_nano == pytest.approx(estimate.on_demand_nano / 2, rel=1e-6)
        assert Documents(house.engine, options, "run").estimate(texts, unknown).batch_nano is None

    loop.run(main)
