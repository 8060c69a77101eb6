"""What comes again: stored answers in every client's dialect, and nothing left behind by those that are over."""

import gc
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import aiohttp
from msgspec.structs import asdict

from hapenny.core.exchange import Exchange
from tests.server.house import Scripted, serving

CHAT = {"model": "strong", "temperature": 0, "messages": [{"role": "user", "content": "What is the toll?"}]}
MESSAGE = {**CHAT, "max_tokens": 64}
CONVERSE = {
    "messages": [{"role": "user", "content": [{"text": "What is the toll?"}]}],
    "inferenceConfig": {"temperature": 0, "maxTokens": 64},
}
ASKED = {
    "/v1/chat/completions": {**CHAT, "max_tokens": 64},
    "/v1/messages": MESSAGE,
    "/model/strong/converse": CONVERSE,
}


async def test_a_stored_answer_is_the_same_in_every_dialect_and_its_headers_are_its_own(tmp_path):
    backend = Scripted()
    async with serving(tmp_path, backend) as (url, _), aiohttp.ClientSession() as session:
        told = {}
        for turn in range(3):
            for path, body in ASKED.items():
                async with session.post(url + path, json=body) as answer:
                    assert answer.status == 200
                    said = await answer.json()
                    hit = "hit" in answer.headers["Cache-Status"]
                    ids = told.setdefault(path, set())
                    assert answer.headers["x-request-id"] not in ids
                    ids.add(answer.headers["x-request-id"])
                assert hit or not turn
                if "converse" in path:
                    assert said["output"]["message"]["content"] == [{"text": "Half a penny."}]
                    assert said["metrics"]["latencyMs"] >= 1
                elif "messages" in path:
                    assert said["content"][0]["text"] == "Half a penny."
                    assert said["usage"]["output_tokens"] == 5
                else:
                    assert said["choices"][0]["message"]["content"] == "Half a penny."
                    assert said["usage"]["completion_tokens"] == 5
        assert len(backend.asked) == 1
        assert all(len(ids) == 3 for ids in told.values())


EACH_TIME_ANOTHER = ("id", "wall", "ttft", "e2e", "cache_age", "decide")


async def test_books_of_an_answer_that_comes_again_are_those_of_the_first_time_it_came_again(tmp_path):
    """What is remembered of a stored answer and of its price is what reading and counting it anew gives."""
    chance = random.Random(7)
    words = ["toll", "bridge", "penny", "橋", "cầu", "ß", "¢", "half", "<b>", "a:", "b"]
    async with serving(tmp_path, Scripted()) as (url, app), aiohttp.ClientSession() as session:
        ledger = app.gateway.recorder.ledger
        for number in range(12):
            texts = [" ".join(chance.choices(words, k=chance.randint(1, 200))) for _ in range(3)]
            turns = [f"{text} {number}{turn}" for turn, text in enumerate(texts)]
            messages = [{"role": "system", "content": turns[0]}] if chance.random() < 0.5 else []
            if chance.random() < 0.5:
                messages += [{"role": "user", "content": turns[1]}, {"role": "assistant", "content": "Half a penny."}]
            body = {"model": "strong", "temperature": 0, "messages": [*messages, {"role": "user", "content": turns[2]}]}
            rows = []
            for _ in range(4):
                async with session.post(url + "/v1/chat/completions", json=body) as answer:
                    assert answer.status == 200
                    saved = answer.headers["x-hapenny-saved"]
                    row = await ledger.get(answer.headers["x-request-id"])
                    await answer.read()
                while row is None:
                    row = await ledger.get(answer.headers["x-request-id"])
                assert f"{row.saved / 1e9:.9f}" == saved
                rows.append(asdict(row))
            assert [row["cache_hit"] for row in rows] == [False, True, True, True]
            first, *later = [{k: v for k, v in row.items() if k not in EACH_TIME_ANOTHER} for row in rows[1:]]
            assert first["baseline"] > 0 and first["savings"] == {"exact": first["baseline"]}
            assert first["output_tokens"] > 0 and first["stopped"] == "end_turn" and first["outcome"] == "delivered"
            assert all(row == first for row in later)


def apart(measure, folder):
    """The number that a coroutine function of this module gives of a folder, in a process of its own."""
    code = (
        f"import asyncio, pathlib, sys; from tests.server.test_again import {measure.__name__} as measure;"
        "print(asyncio.run(measure(pathlib.Path(sys.argv[1]))))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, folder], check=True, capture_output=True, text=True, cwd=root)
    return int(done.stdout)


async def left_behind(folder):
    """How many of twelve finished requests are still held, without a collection."""
    async with serving(folder, Scripted()) as (url, app), aiohttp.ClientSession() as session:
        gc.disable()
        for number in range(6):
            for stream in (False, True):
                messages = [{"role": "user", "content": f"What is the toll of bridge {number}?"}]
                body = {"model": "strong", "temperature": 0, "stream": stream, "messages": messages}
                async with session.post(url + "/v1/chat/completions", json=body) as answer:
                    await answer.read()
        await app.gateway.recorder.ledger.flush()
        return sum(isinstance(each, Exchange) for each in gc.get_objects())


def test_a_finished_request_is_freed_at_once_without_a_collection(tmp_path):
    assert apart(left_behind, tmp_path) <= 1  # the last one may still be on its way out


async def kept_of_large_fields(folder):
    """Bytes that 100 finished requests left behind, of 10 MB that stood beside their short questions."""
    backend = Scripted()
    async with serving(folder, backend) as (url, app), aiohttp.ClientSession() as session:

        async def ask(number, size):
            large = f"{number}" + "x" * size
            beside = [{"user": large}, {"metadata": {"a": large}}, {"stop": [large]}, {"unknown": large}, {large: 1}]
            messages = [{"role": "user", "content": f"What is the toll of bridge {number}?"}]
            body = {"model": "strong", "messages": messages, **beside[number % len(beside)]}
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                await answer.read()
            backend.asked.clear()

        for number in range(20):
            await ask(number, 10)
        tracemalloc.start()
        for number in range(100):
            await ask(100 + number, 100_000)
        await app.gateway.recorder.ledger.flush()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]


def test_large_fields_beside_a_question_are_not_kept(tmp_path):
    assert apart(kept_of_large_fields, tmp_path) < 3_000_000


def test_a_gateway_that_embeds_nothing_loads_no_embedder():
    code = (
        "import sys; from hapenny import Gateway; Gateway();"
        "print(sorted({'onnxruntime', 'tokenizers'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
