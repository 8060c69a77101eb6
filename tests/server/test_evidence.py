"""Answers that rest on documents go stale when those change: a whole gateway beside `hapenny index build`."""

import asyncio
import subprocess
import sys

import aiohttp
import msgspec
import pytest

from hapenny.core.events import Choice, Completion, Tokens
from hapenny.core.messages import Text
from hapenny.prefetch.contract import PrefetchItem
from tests.server.house import Scripted, serving
from tests.server.test_retrieving import indexed
from tests.settling import eventually

TOLL, LAMP = "What does crossing the bridge cost?", "When are the lamps lit by the keeper?"


def build(folder, notes, *options):
    command = [sys.executable, "-m", "hapenny", "index", "build", str(folder), str(notes), "--embedder", "hashed"]
    subprocess.run([*command, *options], check=True, capture_output=True)


def options(folder, more=""):
    return f"""
collections: {{bridge: {{path: "{folder}", refresh_s: 0.05}}}}
stages: {{retrieval: {{collection: bridge}}, semantic: {{embedder: hashed, similarity: 0.5}}, exact: {{{more}}}}}
keys: [{{key: key-of-alpha, tenant: alpha}}]
"""


async def ask(url, text):
    body = {"model": "strong", "temperature": 0, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": "Bearer key-of-alpha"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url + "/v1/chat/completions", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        await answer.read()
        return answer.headers["cache-status"]


async def stale(app, count):
    await eventually(lambda: app.gateway.shared.dedup.stale >= count)


@pytest.fixture
def notes(tmp_path):
    """Several documents to each question, so that what is shown for one is not shown for the other."""
    folder, notes = tmp_path / "bridge", tmp_path / "notes"
    indexed(folder, notes)
    for n in range(5):
        (notes / f"cart-{n}.md").write_text(f"# Carts {n}\n\nOver the bridge with cart {n} the cost is shared.\n")
        (notes / f"watch-{n}.md").write_text(f"# Watch {n}\n\nThe lamps and keeper {n} are looked after by night.\n")
    build(folder, notes)
    return notes


async def test_an_answer_goes_stale_with_its_document_and_no_other(tmp_path, notes):
    folder, backend = tmp_path / "bridge", Scripted()
    preset = "demo, stages: {retrieval: 'on', semantic: 'off', templates: 'off'}"
    async with serving(tmp_path, backend, preset=preset, extra=options(folder)) as (url, app):
        for text in (TOLL, LAMP):
            assert "fwd=miss" in await ask(url, text)
            assert "hit" in await ask(url, text)
        assert "half a penny" in backend.asked[0][0].messages[-1].text
        (notes / "toll.md").write_text("# Toll\n\nCrossing the bridge on foot costs three shillings now.\n")
        build(folder, notes)
        await stale(app, 1)
        assert "hit" not in await ask(url, TOLL)
        assert "three shillings" in backend.asked[-1][0].messages[-1].text
        assert "hit" in await ask(url, TOLL)  # the new answer is kept in its place
        assert "hit" in await ask(url, LAMP)
        (notes / "lamp.md").unlink()
        build(folder, notes, "--complete")
        before = len(backend.asked)
        async with asyncio.timeout(20):
            while "hit" in await ask(url, LAMP):
                await asyncio.sleep(0.01)
        assert len(backend.asked) == before + 1
        assert "hit" in await ask(url, TOLL)


async def test_a_new_document_is_searched_without_a_restart(tmp_path, notes):
    folder, backend = tmp_path / "bridge", Scripted()
    preset = "demo, stages: {retrieval: 'on', exact: 'off', semantic: 'off', templates: 'off'}"
    async with serving(tmp_path, backend, preset=preset, extra=options(folder)) as (url, _):
        (notes / "swan.md").write_text("# Swans\n\nThe swans below the bridge are fed with oats at noon.\n")
        build(folder, notes)
        async with asyncio.timeout(20):
            while not backend.asked or "oats" not in backend.asked[-1][0].messages[-1].text:
                await ask(url, "What are the swans fed with?")


async def test_a_search_just_after_a_change_finds_the_new_text(tmp_path, notes):
    folder = tmp_path / "bridge"
    extra = options(folder).replace("refresh_s: 0.05", "refresh_s: 3600")
    async with serving(tmp_path, Scripted(), extra=extra) as (url, _):
        (notes / "toll.md").write_text("# Toll\n\nCrossing the bridge on foot costs three shillings now.\n")
        build(folder, notes)
        headers = {"authorization": "Bearer key-of-alpha"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(url + "/v1/retrieve", json={"query": TOLL}) as answer,
        ):
            assert "three shillings" in (await answer.json())["data"][0]["text"]


async def test_paraphrases_go_with_their_document_too(tmp_path, notes):
    folder, backend = tmp_path / "bridge", Scripted()
    preset = "demo, stages: {retrieval: 'on', exact: 'off', templates: 'off'}"
    async with serving(tmp_path, backend, preset=preset, extra=options(folder)) as (url, app):
        await ask(url, TOLL)
        await eventually(lambda: len(app.gateway.parts.semantic))
        assert "hit" in await ask(url, "What does crossing the bridge cost now?")
        (notes / "toll.md").write_text("# Toll\n\nCrossing the bridge on foot costs three shillings now.\n")
        build(folder, notes)
        await stale(app, 1)
        assert "hit" not in await ask(url, "What does crossing the bridge cost now?")
        assert "three shillings" in backend.asked[-1][0].messages[-1].text


async def test_published_answers_are_withdrawn_with_their_document(tmp_path, notes):
    folder = tmp_path / "bridge"
    preset = "demo, cache_scope: shared, stages: {retrieval: 'on', semantic: 'off', templates: 'off'}"
    async with serving(tmp_path, Scripted(), preset=preset, extra=options(folder)) as (url, app):
        await ask(url, TOLL)
        app.gateway.admin.invalidate(everything(), "alpha")
        await ask(url, TOLL)  # the same answer again: it is verified
        (published,) = app.gateway.shared.edge.answers
        path = f"/v1/answers/{published.key.hex()}"
        async with aiohttp.ClientSession() as session:
            async with session.get(url + path) as page:
                assert page.status == 200
            (notes / "toll.md").write_text("# Toll\n\nCrossing the bridge on foot costs three shillings now.\n")
            build(folder, notes)
            await stale(app, 2)
            async with session.get(url + path) as page:
                assert page.status == 404


def everything():
    from hapenny.gateway.cache_admin import Invalidation

    return Invalidation()


async def test_an_answer_ahead_rests_on_the_documents_of_its_search(tmp_path, notes):
    folder, backend = tmp_path / "bridge", Scripted()
    preset = "demo, stages: {retrieval: 'on', semantic: 'off', templates: 'off'}"
    extra = options(folder) + "precompute: {routes: [default], least: 0.5}\n"
    async with serving(tmp_path, backend, preset=preset, extra=extra) as (url, app):
        ahead = app.gateway.planner
        for _ in range(3):
            await ask(url, TOLL)
        (notes / "toll.md").write_text("# Toll\n\nCrossing the bridge on foot costs three shillings now.\n")
        build(folder, notes)
        await stale(app, 1)
        assert await ahead.round() == 1  # what went stale is asked again, before anybody has to wait for it
        assert "three shillings" in backend.asked[-1][0].messages[-1].text
        calls = len(backend.asked)
        assert "hit" in await ask(url, TOLL)
        assert len(backend.asked) == calls
        (notes / "toll.md").write_text("# Toll\n\nCrossing the bridge on foot is free of charge.\n")
        build(folder, notes)
        await stale(app, 2)
        assert "hit" not in await ask(url, TOLL)


async def test_a_jobs_answer_from_documents_that_changed_meanwhile_is_not_kept(tmp_path, notes):
    folder = tmp_path / "bridge"
    preset = "demo, stages: {retrieval: 'on', semantic: 'off', templates: 'off'}"
    extra = options(folder) + "precompute: {routes: [default], least: 0.5}\n"
    async with serving(tmp_path, Scripted(), preset=preset, extra=extra) as (url, app):
        await ask(url, TOLL)
        gateway = app.gateway
        gateway.admin.invalidate(everything(), "alpha")
        foreseen, _ = await gateway.parts.prefetcher.prepare(gateway.planner.asked()[0])
        assert foreseen.evidence
        foreseen = msgspec.convert(msgspec.json.decode(msgspec.json.encode(foreseen)), PrefetchItem)  # as in a journal
        completion = Completion(
            choices=[Choice(content=[Text("Half a penny.")], reason="end_turn")], tokens=Tokens(input=90, output=5)
        )
        assert (await gateway.parts.prefetcher.land(foreseen, completion, "req_b1"))[0]
        assert "hit" in await ask(url, TOLL)
        (notes / "toll.md").write_text("# Toll\n\nCrossing the bridge on foot costs three shillings now.\n")
        build(folder, notes)
        await stale(app, 1)
        stored, cost = await gateway.parts.prefetcher.land(foreseen, completion, "req_b2")
        assert not stored
        assert cost > 0  # it is paid all the same, and in the books
        assert (await gateway.ledger.get("req_b2")).actual == cost
        assert "hit" not in await ask(url, TOLL)
