"""Audits over the real gateway: what is asked, what it costs, and what steps back."""

import asyncio
import contextlib
import sqlite3

import aiohttp

from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage
from hapenny.telemetry.summary import summarise
from tests.server.house import SONNET, Scripted, serving
from tests.settling import settled

RIGHT, WRONG = "The toll is half a penny.", "Cranes fly south over the misty lake."


def said(text, model):
    return [Started("m", model), TextDelta(text, 0), Stopped("end_turn"), Usage(Tokens(input=12, output=9))]


class TwoMinds(Scripted):
    """The strong model is right; every other says `other`."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    async def call(self, request, target, limits):
        self.events = said(RIGHT if target.model == SONNET else self.other, target.model)
        return await super().call(request, target, limits)


async def ask(session, url, number, model="auto"):
    body = {"model": model, "messages": [{"role": "user", "content": f"Hello, what is the toll, bridge {number}?"}]}
    async with session.post(url + "/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
        return answer.headers["x-request-id"], answer.headers["x-hapenny-model"]


def audited(share, more=", audit_judge: ''"):
    return f"demo, max_quality_loss: 0.05, audit_share: {share}, stages: {{semantic: 'off'}}{more}"


async def test_worse_answers_make_the_tiers_step_back_to_strong(tmp_path):
    backend = TwoMinds(WRONG)
    extra = "stages: {semantic: {embedder: hashed}}"
    preset = audited(1.0)
    async with serving(tmp_path, backend, preset=preset, extra=extra) as (url, app), aiohttp.ClientSession() as session:
        first, model = await ask(session, url, 0)
        assert model != SONNET
        await settled(app.gateway)
        for number in range(1, 30):
            _, model = await ask(session, url, number)
            await settled(app.gateway)
        assert model == SONNET
        assert app.gateway.shared.step_back.stepped_back() == {"default": ["tiers"]}
        row = await app.gateway.ledger.get(first)
        assert row.scores["quality"] == 0.0
        await app.gateway.ledger.flush()
        found = (
            sqlite3.connect(app.gateway.ledger.path)
            .execute("SELECT baseline, saved, actual, model_served, tags FROM requests WHERE background = 'audit'")
            .fetchall()
        )
        assert 0 < len(found) == app.gateway.parts.live_audit.audited < 30
        baseline, saved, actual, served, tags = found[0]
        assert (baseline, served) == (0, SONNET)
        assert saved == -actual < 0
        assert first in tags
        found = summarise(str(tmp_path / "ledger.db"))
        assert (found.exchange_rows, found.background_rows) == (30, app.gateway.parts.live_audit.audited)
        assert found.audits[0].loss == 1.0
        assert found.identity_violations == 0


async def test_equal_answers_change_nothing_and_named_models_are_never_audited(tmp_path):
    backend = TwoMinds(RIGHT.upper())
    extra = "stages: {semantic: {embedder: hashed}}"
    preset = audited(1.0)
    async with serving(tmp_path, backend, preset=preset, extra=extra) as (url, app), aiohttp.ClientSession() as session:
        for number in range(12):
            await ask(session, url, number)
            await settled(app.gateway)
        assert app.gateway.parts.live_audit.audited == 12
        assert app.gateway.shared.step_back.stepped_back() == {}
        await ask(session, url, 99, "fast")
        await ask(session, url, 98, SONNET)
        await settled(app.gateway)
        assert app.gateway.parts.live_audit.audited == 12


async def test_audits_end_with_their_budget_and_are_off_unless_wanted(tmp_path):
    backend = TwoMinds(RIGHT)
    extra = "stages: {semantic: {embedder: hashed}}"
    poor = audited(1.0, ", audit_judge: '', audit_budget_usd: 0.0000001")
    for preset, most in ((poor, 1), ("demo", 0)):
        running = serving(tmp_path, backend, preset=preset, extra=extra)
        async with running as (url, app), aiohttp.ClientSession() as session:
            for number in range(5):
                await ask(session, url, number)
                await settled(app.gateway)
            assert app.gateway.parts.live_audit.audited == most


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
EYES = f"""
models: {{blind: {{id: us.meta.llama3-3-70b-instruct-v1:0}}, seeing: {{id: "{SONNET}"}}}}
tiers: {{fast: blind, strong: seeing}}
"""


async def test_a_picture_is_no_probe_of_a_model_that_reads_none(tmp_path):
    preset = "balanced, max_quality_loss: 0.05, audit_share: 1.0, audit_judge: '', stages: {semantic: 'off'}"
    backend = TwoMinds(RIGHT)
    async with serving(tmp_path, backend, preset=preset, extra=EYES) as (url, app), aiohttp.ClientSession() as session:
        for number in range(8):
            text = {"type": "text", "text": f"What does this sign say about bridge {number}?"}
            body = {"model": "auto", "messages": [{"role": "user", "content": [text, PICTURE]}]}
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                assert answer.status == 200
            await settled(app.gateway)
        assert {target.model for _, target in backend.asked} == {SONNET}
        await ask(session, url, 9)  # without one it is
        await settled(app.gateway)
        assert "llama" in backend.asked[-1][1].model


class Held(TwoMinds):
    """The strong model answers when it is let."""

    def __init__(self):
        super().__init__(WRONG)
        self.let = asyncio.Event()
        self.held = 0

    async def call(self, request, target, limits):
        if target.model == SONNET:
            self.held += 1
            await self.let.wait()
        return await super().call(request, target, limits)


async def test_an_audit_under_way_at_the_end_is_booked_as_the_provider_bills_it(tmp_path):
    backend = Held()
    extra = "stages: {semantic: {embedder: hashed}}"
    preset = audited(1.0)
    async with serving(tmp_path, backend, preset=preset, extra=extra) as (url, app), aiohttp.ClientSession() as session:
        await ask(session, url, 0)
        while not app.gateway.parts.tasks.running:
            await asyncio.sleep(0)
        while len(backend.asked) + backend.held < 2:
            await asyncio.sleep(0)
        ending = asyncio.create_task(app.gateway.aclose())
        for _ in range(20):
            await asyncio.sleep(0)
        backend.let.set()
        await ending
    found = summarise(str(tmp_path / "ledger.db"))
    assert (found.exchange_rows, found.background_rows, found.audits[0].loss) == (1, 1, 1.0)
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as file:
        calls = file.execute("SELECT purpose, provenance, outcome FROM calls ORDER BY request").fetchall()
    assert calls == [("serve", "reported", "complete"), ("audit", "reported", "complete")]


class Judging(TwoMinds):
    """`max` judges: it prefers the answer that names the penny, wherever it stands."""

    def __init__(self, other, broken=False):
        super().__init__(other)
        self.broken = broken
        self.questions = []

    async def call(self, request, target, limits):
        if "opus" not in target.model:
            return await super().call(request, target, limits)
        self.questions.append(request.question)
        first = request.question.split("<answer_a>")[1].split("</answer_a>")[0]
        self.events = said("hm" if self.broken else f"Verdict: {'A' if 'penny' in first else 'B'}", target.model)
        return await Scripted.call(self, request, target, limits)


async def test_a_model_judges_twice_with_places_swapped_and_its_cost_is_in_the_ledger(tmp_path):
    backend = Judging("It was half of something.")
    preset = audited(1.0, ", audit_judge: max")
    async with serving(tmp_path, backend, preset=preset) as (url, app), aiohttp.ClientSession() as session:
        first, _ = await ask(session, url, 0)
        await settled(app.gateway)
        assert len(backend.questions) == 2
        assert backend.questions[0] != backend.questions[1]
        assert all("bridge 0?" in each for each in backend.questions)
        assert (await app.gateway.ledger.get(first)).scores["quality"] == 0.0
        await app.gateway.ledger.flush()
        found = (
            sqlite3.connect(app.gateway.ledger.path)
            .execute(
                "SELECT background, purpose, baseline, saved, actual FROM requests r JOIN calls c ON c.request = r.seq"
                " WHERE background != '' ORDER BY background"
            )
            .fetchall()
        )
        assert [row[:3] for row in found] == [("audit", "audit", 0), ("judge", "judge", 0), ("judge", "judge", 0)]
        assert all(saved == -actual < 0 for _, _, _, saved, actual in found)
        spent = app.gateway.parts.live_audit.auditors["default"].spent
        assert spent == sum(actual for *_, actual in found)
        [judging] = summarise(app.gateway.ledger.path).judging
        assert (judging.technique, judging.calls, judging.cost) == ("tiers", 3, spent)


async def test_a_judge_without_a_verdict_finds_no_loss(tmp_path):
    backend = Judging(WRONG, broken=True)
    preset = audited(1.0, ", audit_judge: max")
    async with serving(tmp_path, backend, preset=preset) as (url, app), aiohttp.ClientSession() as session:
        first, _ = await ask(session, url, 0)
        await settled(app.gateway)
        assert (await app.gateway.ledger.get(first)).scores["quality"] == 1.0


async def test_a_preset_that_may_change_answers_is_audited_as_evidence_asks_for(tmp_path):
    for preset, share in (("balanced", None), ("safe", 0.0), ("demo", 0.0), ("balanced, audit_share: 0", 0.0)):
        async with serving(tmp_path, Scripted(), preset=preset) as (_, app):
            assert app.gateway.config.routes["default"].audits() == share
            assert ("default" in app.gateway.parts.live_audit.auditors) == (share is None)


async def test_an_experiments_quality_comes_from_audits_of_every_arm_and_moves_no_promise(tmp_path):
    file = tmp_path / "arms.json"
    file.write_text('[{"name": "e", "arms": {"control": {"model": "strong"}, "cheap": {"model": "fast"}}}]')
    extra = f"stages: {{semantic: {{embedder: hashed}}, arms: {{file: {file}}}}}"
    running = serving(tmp_path, TwoMinds(WRONG), preset=audited(1.0), extra=extra)
    async with running as (url, app), aiohttp.ClientSession() as session:
        found = {"control": set(), "cheap": set()}
        for number in range(16):
            body = {"model": "auto", "messages": [{"role": "user", "content": f"What is the toll, bridge {number}?"}]}
            headers = {"x-hapenny-session": f"s{number}"}
            async with session.post(url + "/v1/chat/completions", json=body, headers=headers) as answer:
                id = answer.headers["x-request-id"]
            await settled(app.gateway)
            row = await app.gateway.ledger.get(id)
            found[row.arms["e"]].add(row.scores["quality"])
        assert found == {"control": {1.0}, "cheap": {0.0}}
        assert app.gateway.shared.step_back.stepped_back() == {}
        assert app.gateway.parts.live_audit.audited == 16


class Reader(Scripted):
    """Answers right as long as the whole context reaches it."""

    async def call(self, request, target, limits):
        whole = sum("keeper" in message.text for message in request.messages)
        self.events = said(RIGHT if whole else WRONG, target.model)
        return await super().call(request, target, limits)


async def greeted(tmp_path, preset, times):
    """What "Hello!" was answered with, and the gateway's app."""
    served = []
    async with (
        serving(tmp_path, Judging(RIGHT), preset=preset) as (url, app),
        aiohttp.ClientSession() as session,
    ):
        for _ in range(times):
            body = {"model": "strong", "messages": [{"role": "user", "content": "Hello!"}]}
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                served.append((await answer.json())["choices"][0]["message"]["content"])
            await settled(app.gateway)
    return served, app


async def test_a_template_that_a_model_judges_worse_steps_back(tmp_path):
    served, app = await greeted(tmp_path, audited(1.0, ", audit_judge: max"), 30)
    assert served[0] == "Hello! How can I help you?"
    assert served[-1] == RIGHT
    assert app.gateway.shared.step_back.stepped_back() == {"default": ["templates"]}


async def test_templates_are_not_judged_by_their_words_alone(tmp_path):
    served, app = await greeted(tmp_path, audited(1.0), 6)
    assert set(served) == {"Hello! How can I help you?"}
    assert app.gateway.parts.live_audit.audited == 0


async def test_pruning_that_loses_the_answer_steps_back(tmp_path):
    extra = "stages: {semantic: {embedder: hashed}, prune: {share: 0.2, floor: 20, seconds: 60}}"
    filler = " ".join(f"Toll number {n} of the bridge was set on a Monday." for n in range(12))
    keeper = "The keeper wrote a diary about cranes, rain, boats, lamps and long winter evenings by the river."
    async with (
        serving(tmp_path, Reader(), preset=audited(1.0), extra=extra) as (url, app),
        aiohttp.ClientSession() as session,
    ):
        served = []
        for number in range(30):
            text = f"<document>{filler} {keeper}</document>\nWhich bridge toll is number {number}?"
            body = {"model": "strong", "messages": [{"role": "user", "content": text}]}
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                served.append((await answer.json())["choices"][0]["message"]["content"])
            await settled(app.gateway)
        assert served[0] == WRONG
        assert served[-1] == RIGHT
        assert app.gateway.shared.step_back.stepped_back() == {"default": ["prune"]}
