"""Documents indexed by the command line are found over HTTP and put before the question."""

import json
import subprocess
import sys

import aiohttp

from tests.server.house import Scripted, serving


def indexed(folder, notes):
    notes.mkdir()
    (notes / "ferry.md").write_text("# Ferry\n\nThe ferry to the island leaves at seven in the morning.\n")
    (notes / "toll.md").write_text("# Toll\n\nCrossing the bridge on foot costs half a penny. Horses pay double.\n")
    (notes / "lamp.md").write_text("# Lamps\n\nThe lamps are lit at dusk by the keeper.\n")
    command = [sys.executable, "-m", "hapenny", "index", "build", str(folder), str(notes), "--embedder", "hashed"]
    subprocess.run(command, check=True, capture_output=True)


async def test_a_collection_is_searched_and_cited(tmp_path):
    folder = tmp_path / "bridge"
    indexed(folder, tmp_path / "notes")
    extra = f"""
collections: {{bridge: {{path: "{folder}"}}}}
stages: {{retrieval: {{collection: bridge}}, semantic: {{embedder: hashed}}}}
"""
    backend = Scripted()
    async with serving(tmp_path, backend, extra=extra) as (url, _), aiohttp.ClientSession() as session:
        async with session.post(url + "/v1/retrieve", json={"query": "What does crossing the bridge cost?"}) as answer:
            found = await answer.json()
            assert answer.status == 200
            assert "half a penny" in found["data"][0]["text"]
        async with session.post(url + "/v1/retrieve", json={"query": ""}) as answer:
            assert answer.status == 400
            assert "query" in json.dumps(await answer.json())
    async with serving(tmp_path, backend, preset="demo, stages: {retrieval: 'on'}", extra=extra) as (url, _):
        async with aiohttp.ClientSession() as session:
            body = {"model": "strong", "messages": [{"role": "user", "content": "What does crossing the bridge cost?"}]}
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                assert answer.status == 200
        sent = backend.asked[-1][0].messages[-1].text
        assert "half a penny" in sent
        assert sent.rstrip().endswith("What does crossing the bridge cost?")
