"""Many documents through a model: chunk, send doubles once, a stage for chunks, one for whole documents.

Documents go in shards; a shard's second stage runs while the next shard's first stage still does. A record is named by
what it says, so whatever the run has asked before is found again: a run that was killed goes on where it was, a
repeated one asks only for what is new or changed, and what was paid stays paid.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from hapenny.batch.engine import BatchEngine
from hapenny.batch.records import Record
from hapenny.catalog.card import Rates

Task = Literal["summarise", "extract", "classify", "embed"]
CHARS_PER_TOKEN = 4.0
Rated = Callable[[str, str], Rates | None]
"""The rates of a model at a service tier; None: unknown."""

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
PROMPT_TOKENS = {"summarise": 40, "extract": 40, "classify": 40, "embed": 0}


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


class Spent(msgspec.Struct, frozen=True):
    """What a run cost: answers by job and one by one, their tokens, nano-dollars (None where a price is unknown) and
    what the same answers cost on demand."""

    batched: int
    alone: int
    input_tokens: int
    output_tokens: int
    nano: int | None
    on_demand_nano: int | None


class Done(msgspec.Struct, frozen=True):
    """A document's outcome: `answer` is text, or for `embed` one vector a chunk; `error` if any part failed."""

    name: str
    answer: Any = None
    error: str = ""


def chunks(text: str, tokens: int) -> list[str]:
    """`text` in pieces of at most `tokens` tokens (by characters), cut between paragraphs, sentences or words."""
    most = int(tokens * CHARS_PER_TOKEN)
    pieces, rest = [], text.strip()
    while len(rest) > most:
        cut = -1
        for mark in ("\n\n", "\n", ". ", " "):
            cut = rest.rfind(mark, most // 2, most)
            if cut > 0:
                cut += len(mark)
                break
        cut = cut if cut > 0 else most
        pieces.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return [*pieces, rest] if rest else pieces


class Documents:
    """One run over an engine. `run` names it: the same name finds again what it asked before. `metadata`: kept with its
    batches."""

    def __init__(
        self, engine: BatchEngine, options: DocumentOptions, run: str, metadata: Mapping[str, Any] | None = None
    ) -> None:
        self._engine = engine
        self._options = options
        self._run = run
        self._metadata = dict(metadata or {})
        self._used: set[str] = set()

    def estimate(self, texts: Iterable[tuple[str, str]], rates: Rated) -> Estimate:
        """The cost ahead of what has not been asked yet."""
        options = self._options
        documents = count = joins = unique = characters = 0
        seen: set[str] = set()
        known = self._owners("parts")
        for _, text in texts:
            documents += 1
            parts = chunks(text, options.chunk_tokens)
            count += len(parts)
            joins += len(parts) > 1 and options.task != "embed" and any(_hash(part) not in known for part in parts)
            for part in parts:
                if (key := _hash(part)) not in seen:
                    seen.add(key)
                    if key not in known:
                        unique += 1
                        characters += len(part)
        out = OUTPUT_TOKENS[options.task]
        given = int(characters / CHARS_PER_TOKEN) + PROMPT_TOKENS[options.task] * unique
        # A join reads the answers of the parts it joins.
        joined = joins * (PROMPT_TOKENS[options.task] + out * 3)
        costs: list[int | None] = []
        for tier in ("batch", "standard"):
            first = _cost(rates(options.model, tier), given, out * unique)
            second = _cost(rates(options.join_model or options.model, tier), joined, out * joins)
            costs.append(None if first is None or second is None else first + second)
        return Estimate(
            documents,
            count,
            count - len(seen),
            given + joined,
            out * (unique + joins),
            costs[0],
            costs[1],
        )

    def spent(self, rates: Rated) -> Spent:
        """The cost after: what this run's answers cost when they were made."""
        batched = alone = given = out = 0
        nano: int | None = 0
        whole: int | None = 0
        for batch in self._engine.batches.values():
            if batch.id not in self._used:
                continue
            for id, result in batch.results.items():
                if result.output is None:
                    continue
                tokens = tokens_of(result.output)
                given, out = given + tokens[0], out + tokens[1]
                batched, alone = batched + (id in batch.batched), alone + (id not in batch.batched)
                model = batch.model_of(id)
                paid = _cost(rates(model, "batch" if id in batch.batched else "standard"), *tokens)
                full = _cost(rates(model, "standard"), *tokens)
                nano = None if nano is None or paid is None else nano + paid
                whole = None if whole is None or full is None else whole + full
        return Spent(batched, alone, given, out, nano, whole)

    async def process(
        self, texts: Sequence[tuple[str, str]], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> list[Done]:
        """Takes all documents (name, text) through; results in their order. `progress` gets documents done, of all."""
        size = self._options.shard
        shards = [texts[at : at + size] for at in range(0, len(texts), size)]
        results: list[list[Done]] = [[] for _ in shards]
        finished = 0

        async def one(number: int, owners: dict[str, str]) -> None:
            nonlocal finished
            results[number] = await self._shard(shards[number], owners)
            finished += len(shards[number])
            progress(finished, len(texts))

        placed = [self._place_parts(shard) for shard in shards]
        driver = asyncio.get_running_loop().create_task(self._drive())
        shard_tasks = [asyncio.get_running_loop().create_task(one(n, owners)) for n, owners in enumerate(placed)]
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

    def _owners(self, stage: str) -> dict[str, str]:
        """The batch of each record this run has asked before and not failed with, by the record's name."""
        owners = {}
        for batch in self._engine.batches.values():
            if batch.metadata.get("run") == f"{self._run}/{stage}":
                for key in batch.records:
                    result = batch.results.get(key)
                    if not batch.done or (result is not None and result.output is not None):
                        owners[key] = batch.id
        return owners

    def _submit(self, stage: str, model: str, prompt: str, texts: dict[str, str]) -> dict[str, str]:
        """The batch of each text by its name; what no batch holds yet goes into a new one."""
        owners = self._owners(stage)
        new = [Record(key, self._body(prompt, text)) for key, text in texts.items() if key not in owners]
        if new:
            metadata = {**self._metadata, "run": f"{self._run}/{stage}"}
            made = self._engine.submit(new, model, self._options.within_s, metadata=metadata)
            owners.update((record.id, made) for record in new)
        mine = {key: owners[key] for key in texts}
        self._used.update(mine.values())
        return mine

    def _place_parts(self, shard: Sequence[tuple[str, str]]) -> dict[str, str]:
        options = self._options
        texts = {_hash(part): part for _, text in shard for part in chunks(text, options.chunk_tokens)}
        return self._submit("parts", options.model, PROMPTS.get(options.task, "{text}"), texts)

    async def _shard(self, shard: Sequence[tuple[str, str]], owners: dict[str, str]) -> list[Done]:
        options = self._options
        answers = await self._outputs(owners)
        done: dict[int, Done] = {}
        joins: dict[int, str] = {}
        for place, (name, text) in enumerate(shard):
            keys = [_hash(part) for part in chunks(text, options.chunk_tokens)]
            errors = [answers[key][1] for key in keys if answers[key][0] is None]
            if errors:
                done[place] = Done(name, error=errors[0] or "no answer")
            elif options.task == "embed" or len(keys) <= 1:
                values = [answers[key][0] for key in keys]
                done[place] = Done(name, values if options.task == "embed" else (values[0] if values else ""))
            else:
                joins[place] = "\n\n".join(str(answers[key][0]) for key in keys)
        if joins:
            texts = {_hash(text): text for text in joins.values()}
            made = self._submit("joints", options.join_model or options.model, JOINTS[options.task], texts)
            joined = await self._outputs(made)
            for place, text in joins.items():
                value, error = joined[_hash(text)]
                done[place] = Done(shard[place][0], value, error if value is None else "")
        return [done[place] for place in range(len(shard))]

    async def _outputs(self, owners: dict[str, str]) -> dict[str, tuple[Any, str]]:
        for id in set(owners.values()):
            while not self._engine.batches[id].done:
                await self._engine.clock.sleep(self._engine.options.poll_s)
        outputs = {}
        for key, id in owners.items():
            result = self._engine.batches[id].results.get(key)
            outputs[key] = (output_of(result.output), result.error) if result is not None else (None, "no answer")
        return outputs

    def _body(self, prompt: str, text: str) -> dict[str, Any]:
        """A Converse request, which every provider's dialect can be made of; Titan's for an embedding."""
        if self._options.task == "embed":
            return {"inputText": text}
        return {
            "messages": [{"role": "user", "content": [{"text": prompt.format(text=text)}]}],
            "inferenceConfig": {"maxTokens": 4 * OUTPUT_TOKENS[self._options.task]},
        }


def output_of(output: dict[str, Any] | None) -> Any:
    """The answer in a model's output: text of Converse, Anthropic and OpenAI bodies, the vector of an embedding."""
    if output is None:
        return None
    if "embedding" in output:
        return output["embedding"]
    if isinstance(output.get("output"), dict):
        return "".join(block.get("text", "") for block in output["output"].get("message", {}).get("content", ()))
    if isinstance(output.get("content"), list):
        return "".join(block.get("text", "") for block in output["content"])
    if output.get("choices"):
        return output["choices"][0].get("message", {}).get("content") or ""
    return output


def tokens_of(output: dict[str, Any]) -> tuple[int, int]:
    """Tokens in and out that an answer reports."""
    usage = output.get("usage") or {}
    given = usage.get("inputTokens", usage.get("input_tokens", usage.get("prompt_tokens")))
    out = usage.get("outputTokens", usage.get("output_tokens", usage.get("completion_tokens", 0)))
    return int(given if given is not None else output.get("inputTextTokenCount") or 0), int(out or 0)


def _hash(text: str) -> str:
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=12).hexdigest()


def _cost(rates: Rates | None, given: int, out: int) -> int | None:
    """Nano-dollars of so many tokens; nothing costs nothing at any price."""
    if not given and not out:
        return 0
    if rates is None or rates.input is None or (out and rates.output is None):
        return None
    return (given * rates.input + out * (rates.output or 0)) // 1000
