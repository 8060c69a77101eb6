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


async def test_passages_that_retrieval_adds_are_no_cost_unless_the_route_says_so(tmp_path):
    folder = tmp_path / "bridge"
    indexed(folder, tmp_path / "notes")
    body = {
        "model": "strong", "temperature": 0,
        "messages": [{"role": "user", "content": "What does crossing the bridge cost?"}],
    }  # fmt: skip

    async def rows(sent):
        extra = f"""
collections: {{bridge: {{path: "{folder}"}}}}
stages: {{retrieval: {{collection: bridge{sent}}}, semantic: {{embedder: hashed}}}}
"""
        on = "safe, stages: {retrieval: 'on'}"
        made = []
        async with (
            serving(tmp_path, Scripted(), preset=on, extra=extra) as (url, _),
            aiohttp.ClientSession() as session,
        ):
            for _ in range(2):
                async with session.post(url + "/v1/chat/completions", json=body) as answer:
                    id = answer.headers["x-request-id"]
                    await answer.read()
                async with session.get(f"{url}/v1/requests/{id}") as answer:
                    made.append(await answer.json())
        return made

    asked, again = await rows("")
    assert asked["savings"].get("retrieval", 0) == 0
    # A stored answer spares the passages that would have been sent with the question.
    assert again["savings"]["exact"] == again["baseline"]
    assert again["baseline"] > 0.8 * asked["baseline"]
    asked, again = await rows(", baseline_passages: 0")
    assert asked["savings"]["retrieval"] < 0
    assert again["baseline"] == asked["baseline"] < asked["actual"]
    asked, _ = await rows(", baseline_passages: 3")
    assert asked["baseline"] >= asked["actual"]


def built(folder, rows):
    path = folder.parent / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "hapenny", "index", "build", str(folder), str(path), "--embedder", "hashed"]
    return subprocess.run(command, check=True, capture_output=True, text=True)


async def test_a_requests_own_filter_bounds_what_is_sent_and_is_part_of_the_cache_key(tmp_path):
    folder = tmp_path / "minutes"
    text = "The assembly approved the accounts and set the dividend."
    built(folder, [{"id": str(year), "title": "Minutes", "text": text, "year": year} for year in (2023, 2024, 2025)])
    extra = f"""
collections: {{minutes: {{path: "{folder}"}}}}
stages: {{retrieval: {{collection: minutes}}, semantic: {{embedder: hashed}}}}
"""
    backend = Scripted()

    async def ask(session, url, headers=None, **more):
        body = {
            "model": "strong",
            "temperature": 0,
            "messages": [{"role": "user", "content": "Which dividend was set?"}],
        }
        async with session.post(url + "/v1/chat/completions", json=body | more, headers=headers or {}) as answer:
            assert answer.status == 200, await answer.text()
            return answer.headers.get("Cache-Status", "")

    on = "demo, stages: {retrieval: 'on'}"
    async with serving(tmp_path, backend, preset=on, extra=extra) as (url, _), aiohttp.ClientSession() as session:
        only = {"x-hapenny-filter": '{"field": "year", "is": 2024}'}
        await ask(session, url, only)
        sent = backend.asked[-1][0].messages[-1].text
        assert "year: 2024" in sent
        assert "year: 2023" not in sent
        assert "hit" in await ask(session, url, only)
        asked = len(backend.asked)
        assert "hit" not in await ask(session, url, {"x-hapenny-filter": '{"field": "year", "is": 2025}'})
        assert len(backend.asked) == asked + 1
        assert "year: 2025" in backend.asked[-1][0].messages[-1].text
        await ask(session, url, metadata={"hapenny_filter": '{"field": "year", "is": 2023}'})
        assert "year: 2023" in backend.asked[-1][0].messages[-1].text
        body = {"model": "strong", "messages": [{"role": "user", "content": "Which dividend?"}]}
        wrong = {"x-hapenny-filter": "{year}"}
        async with session.post(url + "/v1/chat/completions", json=body, headers=wrong) as answer:
            assert answer.status == 400
            assert "x-hapenny-filter" in await answer.text()


async def test_a_question_that_the_collection_is_not_about_is_sent_without_passages(tmp_path):
    folder = tmp_path / "manga"
    titles = [
        "Naruto",
        "One Piece",
        "Bleach",
        "Monster",
        "Vagabond",
        "Akira",
        "Nana",
        "Slam Dunk",
        "Berserk",
        "Dorohedoro",
    ]
    built(
        folder,
        [
            {
                "id": str(n),
                "title": f"{title} volume {v}",
                "text": f"The {v}th book of the manga {title}, in paper covers.",
            }
            for n, (title, v) in enumerate((title, v) for title in titles for v in range(1, 6))
        ],
    )
    extra = f"""
collections: {{manga: {{path: "{folder}"}}}}
stages: {{retrieval: {{collection: manga}}, semantic: {{embedder: hashed}}}}
"""
    backend = Scripted()
    on = "demo, stages: {retrieval: 'on'}"
    async with serving(tmp_path, backend, preset=on, extra=extra) as (url, _), aiohttp.ClientSession() as session:
        for question, passages in (
            ("Why does the wave function of an electron collapse under measurement?", False),
            ("Which Naruto manga book has paper covers?", True),
        ):
            body = {"model": "strong", "messages": [{"role": "user", "content": question}]}
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                assert answer.status == 200
            assert ("<source" in backend.asked[-1][0].messages[-1].text) == passages


def test_a_shared_route_beside_restricted_documents_is_refused_at_start(tmp_path):
    folder = tmp_path / "secrets"
    built(
        folder,
        [{"id": "1", "text": "The project is Bluebird.", "tenant": "alice"}, {"id": "2", "text": "Open at nine."}],
    )
    (tmp_path / "hapenny.yaml").write_text(
        f"""
collections: {{secrets: {{path: "{folder}"}}}}
stages: {{retrieval: {{collection: secrets}}}}
routes: {{default: {{cache_scope: shared, stages: {{retrieval: on}}}}}}
"""
    )
    command = [sys.executable, "-m", "hapenny", "serve", "-c", "hapenny.yaml", "--port", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "cache_scope" in done.stderr
    assert "Traceback" not in done.stderr
