"""Audits over the real gateway: what is asked, what it costs, and what steps back."""

import asyncio

import aiohttp

from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage
from hapenny.telemetry.summary import summarise
from tests.server.house import SONNET, Scripted, serving

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


async def settled(app):
    while app.gateway._tasks:
        await asyncio.gather(*app.gateway._tasks)


def audited(share, more=""):
    return f"demo, max_quality_loss: 0.05, audit_share: {share}, stages: {{semantic: 'off'}}{more}"


async def test_worse_answers_make_the_tiers_step_back_to_strong(tmp_path):
    backend = TwoMinds(WRONG)
    extra = "stages: {semantic: {embedder: hashed}}"
    preset = audited(1.0)
    async with serving(tmp_path, backend, preset=preset, extra=extra) as (url, app), aiohttp.ClientSession() as session:
        first, model = await ask(session, url, 0)
        assert model != SONNET
        await settled(app)
        for number in range(1, 30):
            _, model = await ask(session, url, number)
            await settled(app)
        assert model == SONNET
        assert app.gateway.switch.stepped_back() == {"default": ["tiers"]}
        row = await app.gateway.ledger.get(first)
        assert row.scores["quality"] == 0.0
        await app.gateway.ledger.flush()
        found = app.gateway.ledger._reader.execute(
            "SELECT baseline, saved, actual, model_served, tags FROM requests WHERE background = 'audit'"
        ).fetchall()
        assert 0 < len(found) == app.gateway.watch.audited < 30
        baseline, saved, actual, served, tags = found[0]
        assert (baseline, served) == (0, SONNET)
        assert saved == -actual < 0
        assert first in tags
        found = summarise(str(tmp_path / "ledger.db"))
        assert (found.exchange_rows, found.background_rows) == (30, app.gateway.watch.audited)
        assert found.audits[0].loss == 1.0
        assert found.identity_violations == 0


async def test_equal_answers_change_nothing_and_named_models_are_never_audited(tmp_path):
    backend = TwoMinds(RIGHT.upper())
    extra = "stages: {semantic: {embedder: hashed}}"
    preset = audited(1.0)
    async with serving(tmp_path, backend, preset=preset, extra=extra) as (url, app), aiohttp.ClientSession() as session:
        for number in range(12):
            await ask(session, url, number)
            await settled(app)
        assert app.gateway.watch.audited == 12
        assert app.gateway.switch.stepped_back() == {}
        await ask(session, url, 99, "fast")
        await ask(session, url, 98, SONNET)
        await settled(app)
        assert app.gateway.watch.audited == 12


async def test_audits_end_with_their_budget_and_are_off_unless_wanted(tmp_path):
    backend = TwoMinds(RIGHT)
    extra = "stages: {semantic: {embedder: hashed}}"
    poor = audited(1.0, ", audit_budget_usd: 0.0000001")
    for preset, most in ((poor, 1), ("demo", 0)):
        running = serving(tmp_path, backend, preset=preset, extra=extra)
        async with running as (url, app), aiohttp.ClientSession() as session:
            for number in range(5):
                await ask(session, url, number)
                await settled(app)
            assert app.gateway.watch.audited == most


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
        await settled(app)
        assert len(backend.questions) == 2
        assert backend.questions[0] != backend.questions[1]
        assert all("bridge 0?" in each for each in backend.questions)
        assert (await app.gateway.ledger.get(first)).scores["quality"] == 0.0
        await app.gateway.ledger.flush()
        found = app.gateway.ledger._reader.execute(
            "SELECT background, purpose, baseline, saved, actual FROM requests r JOIN calls c ON c.request = r.seq"
            " WHERE background != '' ORDER BY background"
        ).fetchall()
        assert [row[:3] for row in found] == [("audit", "audit", 0), ("judge", "judge", 0), ("judge", "judge", 0)]
        assert all(saved == -actual < 0 for _, _, _, saved, actual in found)
        spent = app.gateway.watch._auditors["default"]._spent
        assert spent == sum(actual for *_, actual in found)


async def test_a_judge_without_a_verdict_finds_no_loss(tmp_path):
    backend = Judging(WRONG, broken=True)
    preset = audited(1.0, ", audit_judge: max")
    async with serving(tmp_path, backend, preset=preset) as (url, app), aiohttp.ClientSession() as session:
        first, _ = await ask(session, url, 0)
        await settled(app)
        assert (await app.gateway.ledger.get(first)).scores["quality"] == 1.0


async def test_a_preset_that_changes_answers_is_audited_within_a_daily_budget(tmp_path):
    for preset, share in (("balanced", 0.005), ("safe", 0.0), ("demo", 0.0), ("balanced, audit_share: 0", 0.0)):
        async with serving(tmp_path, Scripted(), preset=preset) as (_, app):
            route = app.gateway.config.routes["default"]
            assert (route.audits(), route.audit_budget_usd) == (share, 1.0)
            assert ("default" in app.gateway.watch._auditors) == bool(share)
