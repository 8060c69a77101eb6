"""Many documents through a model: chunk, send doubles of a shard once, a stage for chunks, one for whole documents.

Documents go in shards; a shard's second stage runs while the next shard's first stage still does. Each shard and stage
is a batch under a key of its own, so a run that was killed goes on where it was, and what was paid stays paid.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from hapenny.catalog.card import Card
from hapenny.throughput.batch.engine import BatchEngine
from hapenny.throughput.batch.records import Record

Task = Literal["summarise", "extract", "classify", "embed"]
CHARS_PER_TOKEN = 4.0

PROMPTS: dict[str, str] = {
    "summarise": "Summarise the following text in at most five sentences. Keep names, numbers and dates.\n\n{text}",
    "extract": "Extract the facts of the following text as a JSON object of names and values.\n\n{text}",
    "classify": "Name the one category that fits the following text best. Answer with the category alone.\n\n{text}",
}
JOINTS: dict[str, str] = {
    "summarise": "These are summaries of the parts of one document. Write one summary of the whole.\n\n{text}",
    "extract": "These are JSON objects from the parts of one document. Merge them into one JSON object.\n\n{text}",
    "classify": "These are categories of the parts of one document. Answer with the one that fits the whole.\n\n{text}",
}
OUTPUT_TOKENS = {"summarise": 250, "extract": 300, "classify": 8, "embed": 0}


class DocumentOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A run as configured. `model` for chunks, `join_model` for whole documents (the same when empty), `chunk_tokens`
    by characters, `shard`: documents of one batch, `within_s`: deadline of each stage of a shard."""

    task: Task
    model: str
    join_model: str = ""
    chunk_tokens: int = 2_000
    shard: int = 200
    within_s: float = 86_400.0


class Estimate(msgspec.Struct, frozen=True):
    """What a run will cost: records, tokens, nano-dollars by batch and on demand (None where a price is unknown)."""

    documents: int
    chunks: int
    duplicates: int
    input_tokens: int
    output_tokens: int
    batch_nano: int | None
    on_demand_nano: int | None


class Done(msgspec.Struct, frozen=True):
    """A document's outcome: `answer` is text, or for `embed` one vector a chunk; `error` if any part failed."""

    name: str
    answer: Any = None
    error: str = ""


def chunks(text: str, tokens: int) -> list[str]:
    """`text` in pieces of at most `tokens` tokens (by characters), cut between paragraphs, sentences or words."""
    most = int(tokens * CHARS_PER_TOKEN)
    found, rest = [], text.strip()
    while len(rest) > most:
        cut = -1
        for mark in ("\n\n", "\n", ". ", " "):
            cut = rest.rfind(mark, most // 2, most)
            if cut > 0:
                cut += len(mark)
                break
        cut = cut if cut > 0 else most
        found.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return [*found, rest] if rest else found


class Documents:
    """One run over an engine. `run` names it: the same name goes on where it stopped."""

    def __init__(self, engine: BatchEngine, options: DocumentOptions, run: str) -> None:
        self._engine = engine
        self._options = options
        self._run = run

    def estimate(self, texts: Iterable[tuple[str, str]], card: Card | None) -> Estimate:
        """The cost ahead, before anything is sent."""
        options = self._options
        documents = count = joins = unique = characters = 0
        seen: set[str] = set()
        for _, text in texts:
            if documents % options.shard == 0:
                seen.clear()
            documents += 1
            parts = chunks(text, options.chunk_tokens)
            count += len(parts)
            joins += len(parts) > 1 and options.task != "embed"
            for part in parts:
                if (key := _hash(part)) not in seen:
                    seen.add(key)
                    unique += 1
                    characters += len(part)
        out = OUTPUT_TOKENS[options.task] * (unique + joins)
        given = int(characters / CHARS_PER_TOKEN) + (40 + OUTPUT_TOKENS[options.task]) * (unique + joins)
        return Estimate(
            documents,
            count,
            count - unique,
            given,
            out,
            _cost(card, "batch", given, out),
            _cost(card, "standard", given, out),
        )

    async def process(
        self, texts: Sequence[tuple[str, str]], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> list[Done]:
        """Takes all documents (name, text) through; results in their order. `progress` gets documents done, of all."""
        size = self._options.shard
        shards = [texts[at : at + size] for at in range(0, len(texts), size)]
        results: list[list[Done]] = [[] for _ in shards]
        finished = 0

        async def one(number: int) -> None:
            nonlocal finished
            results[number] = await self._shard(number, shards[number])
            finished += len(shards[number])
            progress(finished, len(texts))

        ids = [self._submit_first(number, shard) for number, shard in enumerate(shards)]
        driver = asyncio.get_running_loop().create_task(self._drive())
        shard_tasks = [asyncio.get_running_loop().create_task(one(number)) for number in range(len(ids))]
        try:
            left = set(shard_tasks)
            while left:
                done, left = await asyncio.wait([*left, driver], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # the engine's own failure ends the run too
                left.discard(driver)
        finally:
            for task in (driver, *shard_tasks):
                task.cancel()
            await asyncio.gather(driver, *shard_tasks, return_exceptions=True)
        return [done for shard in results for done in shard]

    async def _drive(self) -> None:
        while True:
            await self._engine.run()
            await self._engine.clock.sleep(self._engine.options.poll_s)  # for stages that are yet to come

    def _submit_first(self, number: int, shard: Sequence[tuple[str, str]]) -> str:
        options = self._options
        unique = {_hash(part): part for _, text in shard for part in chunks(text, options.chunk_tokens)}
        records = [Record(key, self._body(PROMPTS.get(options.task, "{text}"), part)) for key, part in unique.items()]
        if not records:
            return ""
        return self._engine.submit(records, options.model, options.within_s, key=f"{self._run}/{number}/parts")

    async def _shard(self, number: int, shard: Sequence[tuple[str, str]]) -> list[Done]:
        options = self._options
        first = self._submit_first(number, shard)
        answers = await self._outputs(first) if first else {}
        joins, found = [], {}
        for place, (name, text) in enumerate(shard):
            keys = [_hash(part) for part in chunks(text, options.chunk_tokens)]
            errors = [answers[key][1] for key in keys if answers[key][0] is None]
            if errors:
                found[place] = Done(name, error=errors[0] or "no answer")
            elif options.task == "embed" or len(keys) <= 1:
                values = [answers[key][0] for key in keys]
                found[place] = Done(name, values if options.task == "embed" else (values[0] if values else ""))
            else:
                text = "\n\n".join(str(answers[key][0]) for key in keys)
                joins.append(Record(f"d{place}", self._body(JOINTS[options.task], text)))
        if joins:
            model = options.join_model or options.model
            second = self._engine.submit(joins, model, options.within_s, key=f"{self._run}/{number}/joints")
            for id, (value, error) in (await self._outputs(second)).items():
                place = int(id[1:])
                found[place] = Done(shard[place][0], value, error if value is None else "")
        return [found[place] for place in range(len(shard))]

    async def _outputs(self, id: str) -> dict[str, tuple[Any, str]]:
        while not self._engine.batches[id].done:
            await self._engine.clock.sleep(self._engine.options.poll_s)
        batch = self._engine.batches[id]
        got = {result.id: (output_of(result.output), result.error) for result in self._engine.results(id)}
        return {key: got.get(key, (None, "no answer")) for key in batch.records}

    def _body(self, prompt: str, text: str) -> dict[str, Any]:
        if self._options.task == "embed":
            return {"inputText": text}
        return {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 4 * OUTPUT_TOKENS[self._options.task],
            "messages": [{"role": "user", "content": prompt.format(text=text)}],
        }


def output_of(output: dict[str, Any] | None) -> Any:
    """The answer in a model's native output: text of Anthropic and OpenAI bodies, the vector of an embedding."""
    if output is None:
        return None
    if "embedding" in output:
        return output["embedding"]
    if isinstance(output.get("content"), list):
        return "".join(block.get("text", "") for block in output["content"])
    if output.get("choices"):
        return output["choices"][0].get("message", {}).get("content") or ""
    return output


def _hash(text: str) -> str:
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=12).hexdigest()


def _cost(card: Card | None, tier: str, given: int, out: int) -> int | None:
    rates = card.rates(tier) if card is not None else None
    if rates is None or rates.input is None or (out and rates.output is None):
        return None
    return (given * rates.input + out * (rates.output or 0)) // 1000
