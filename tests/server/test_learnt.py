"""What was learnt survives a restart; what cannot be read is left out and never keeps a server from starting."""

import shutil
import sqlite3

import aiohttp
import msgspec

from hapenny.core.events import Tokens, Usage
from hapenny.core.exchange import Target
from hapenny.stores.learnt import _Kept
from tests.log_lines import log_lines
from tests.server.house import TEXT, Scripted, serving

QUESTION = "Tell me about volume %d of the tide of cranes, please, and what it costs in the shop by the harbour."


async def ask(url, session, number, model="strong"):
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION % number}]}
    async with session.post(url + "/v1/chat/completions", json=body) as answer:
        assert answer.status == 200


def spoken():
    """A provider whose tokens are three times as many as anyone would guess."""
    return Scripted([*TEXT[:-1], Usage(Tokens(input=75, output=5))])


def expected(app):
    target = app.gateway.names.resolve("strong").target
    assert isinstance(target, Target)
    return app.gateway.books.prices.place(target).prompts.count([QUESTION % 999]).tokens


async def taught(tmp_path, extra=""):
    async with serving(tmp_path, spoken(), extra=extra) as (url, app), aiohttp.ClientSession() as session:
        fresh = expected(app)
        for number in range(60):
            await ask(url, session, number)
        return fresh, expected(app), app.gateway.shared.sizes.limit("any")


async def test_estimates_and_answer_sizes_go_on_after_a_restart(tmp_path):
    fresh, learnt, limit = await taught(tmp_path)
    assert learnt > 1.5 * fresh
    assert limit is not None
    async with serving(tmp_path, spoken()) as (_, app):
        assert expected(app) == learnt
        assert app.gateway.shared.sizes.limit("any") == limit


async def test_state_can_be_kept_elsewhere_or_not_at_all(tmp_path):
    fresh, learnt, _ = await taught(tmp_path, extra=f'state: "{tmp_path}/mind/state.db"')
    assert (tmp_path / "mind" / "state.db").exists()
    assert not (tmp_path / "ledger.state.db").exists()
    async with serving(tmp_path, spoken(), extra='state: ""') as (_, app):
        assert expected(app) == fresh != learnt
    assert not (tmp_path / "ledger.state.db").exists()


async def test_state_of_another_version_is_left_out(tmp_path):
    fresh, learnt, _ = await taught(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.state.db") as db:
        for key, value in db.execute("SELECT key, value FROM kv").fetchall():
            kept = msgspec.msgpack.decode(value, type=_Kept)
            kept.version = 99
            db.execute("UPDATE kv SET value = ? WHERE key = ?", (msgspec.msgpack.encode(kept), key))
    db.close()
    async with serving(tmp_path, spoken()) as (_, app):
        assert expected(app) == fresh != learnt


async def test_damaged_state_is_set_aside_and_learning_goes_on(tmp_path):
    fresh, _, _ = await taught(tmp_path)
    for leftover in tmp_path.glob("ledger.state.db*"):
        leftover.unlink()
    (tmp_path / "ledger.state.db").write_bytes(b"this is no database" * 500)
    async with serving(tmp_path, spoken()) as (url, app), aiohttp.ClientSession() as session:
        assert expected(app) == fresh
        for number in range(60):
            await ask(url, session, number)
    assert (tmp_path / "ledger.state.db.damaged").exists()
    async with serving(tmp_path, spoken()) as (_, app):
        assert expected(app) > 1.5 * fresh


async def test_a_damaged_part_does_not_take_the_other_with_it(tmp_path):
    _, learnt, _ = await taught(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.state.db") as db:
        db.execute("UPDATE kv SET value = x'00' WHERE key = ?", (b"answer_sizes",))
    db.close()
    async with serving(tmp_path, spoken()) as (_, app):
        assert expected(app) == learnt
        assert app.gateway.shared.sizes.limit("any") is None


async def test_a_technique_that_stepped_back_stays_so_until_its_settings_change(tmp_path):
    async with serving(tmp_path, spoken()) as (_, app):
        while app.gateway.shared.step_back.observe("default", ("prune",), 1.0, 0.02) is None:
            pass
    async with serving(tmp_path, spoken(), extra="stages: {exact: {ttl_s: 60}}") as (url, app):
        assert app.gateway.shared.step_back.stepped_back() == {"default": ["prune"]}
        async with aiohttp.ClientSession() as session, session.get(url + "/v1/certificates") as answer:
            assert (await answer.json())["stepped_back"] == {"default": ["prune"]}
    async with serving(tmp_path, spoken(), extra="stages: {prune: {share: 0.9}}") as (_, app):
        assert app.gateway.shared.step_back.stepped_back() == {}


async def test_a_state_file_whose_folder_is_deleted_is_made_anew(tmp_path):
    folder = tmp_path / "mind"
    extra = f'state: "{folder}/state.db"'
    async with serving(tmp_path, spoken(), extra=extra) as (url, app), aiohttp.ClientSession() as session:
        for number in range(60):
            await ask(url, session, number)
        await app.gateway.shared.state.save()
        shutil.rmtree(folder)
        with log_lines() as logs:
            await app.gateway.shared.state.save()
            await app.gateway.shared.state.save()
        assert ["taken away" in each["event"] for each in logs] == [True]
        learnt = expected(app)
        assert (folder / "state.db").exists()
    async with serving(tmp_path, spoken(), extra=extra) as (_, app):
        assert expected(app) == learnt
