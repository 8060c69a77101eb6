"""Answers ahead by a provider's batch API: half the price, in time, within the budget, over restarts."""

import contextlib
import sqlite3

import pytest

from hapenny.caching.store import Selector
from hapenny.config import load
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from tests.jobs.test_translator import HAIKU, NOVA
from tests.server.house import running
from tests.server.test_jobs import simulated
from tests.settling import eventually

CONFIG = """
backends:
  aws: {kind: bedrock, region: us-east-1, base_url: "%(url)s", api_key: any-key-will-do}
tiers: {fast: %(nova)s, strong: %(model)s}
routes:
  faq: {holdout: 0, cache_any_temperature: true, knowledge_epoch: "%(epoch)s", cache_scope: %(scope)s}
  default: {holdout: 0}
keys: [{key: key-of-alpha, tenant: alpha, default_route: faq}]
ledger: {path: "%(folder)s/ledger.db"}
fingerprint_key: a-secret-of-these-tests
stages: {exact: {ttl_s: 86400}}
precompute: {routes: [faq], every_s: 3600, least: 0.5, budget_usd: %(budget)s}
batch:
  journal: "%(folder)s/jobs"
  poll_s: 0.05
  margin_s: 1
  stop_s: 0.2
  apis:
    - backend: aws
      bucket: nightly
      role: arn:aws:iam::111122223333:role/batch
      endpoint: "%(url)s"
      s3_endpoint: "%(url)s/s3"
      least: 10
      turnaround_s: %(turnaround)s
"""


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def configured(url, folder, *, epoch="1", budget=5, turnaround=600, scope="tenant"):
    return load(
        text=CONFIG
        % {"url": url, "folder": folder, "model": HAIKU, "nova": NOVA, "epoch": epoch, "budget": budget,
           "turnaround": turnaround, "scope": scope}
    )  # fmt: skip


def question(n, model=HAIKU):
    return Request(
        protocol="openai",
        model=model,
        messages=(Message("user", (Text(f"Where is order {n}? It left on day {n}."),)),),
        parameters=Parameters(temperature=0.0),
    )


async def ask(app, n, model=HAIKU):
    gateway = app.gateway
    identity = gateway.keyring.who("key-of-alpha")
    exchange = gateway.open(question(n, model), Context(tenant=identity.tenant, key_id=identity.key_id), identity)
    try:
        completion = await (await gateway.answer(exchange)).collect()
    finally:
        gateway.close(exchange)
    return completion.text, exchange


def forget(app):
    """The answers are gone."""
    app.gateway.shared.answers.purge(Selector())


async def over(app):
    await eventually(lambda: not app.gateway.planner.stats().under_way, 30)


async def rows(app):
    await app.gateway.ledger.flush()
    with contextlib.closing(sqlite3.connect(app.gateway.config.ledger.path)) as books:
        return books.execute(
            "SELECT background, tenant, route, baseline, actual, purpose, service_tier, cost, technique FROM requests"
            " JOIN calls ON calls.request = seq WHERE background != ''"
        ).fetchall()


async def test_questions_that_can_wait_are_answered_by_a_job_at_half_the_price(tmp_path):
    async with simulated(tmp_path / "aws") as (aws, provider), running(configured(aws, tmp_path)) as (_, app):
        first = {n: (await ask(app, n))[0] for n in range(12)}
        forget(app)
        calls = provider.provider.bill.calls
        before = provider.provider.bill.nano
        ahead = app.gateway.planner
        assert await ahead.round() == 12
        assert ahead.stats().held > 0
        await over(app)
        stats = ahead.stats()
        assert (stats.answered, stats.by_way, stats.failed, stats.held) == (12, {"batch": 12}, 0, 0)
        assert provider.provider.bill.calls == calls + 12
        assert {line.service_tier for line in list(provider.provider.bill.lines)[calls:]} == {"batch"}
        booked = await rows(app)
        assert len(booked) == 12
        for background, tenant, route, baseline, actual, purpose, tier, cost, technique in booked:
            assert (background, tenant, route, purpose, tier) == ("precompute", "alpha", "faq", "precompute", "batch")
            assert (baseline, technique) == (0, "precompute")
            assert actual == cost > 0
        assert sum(row[4] for row in booked) == provider.provider.bill.nano - before == stats.today
        # The very keys of the requests: each is a hit now, and no model is asked.
        for n in range(12):
            _, exchange = await ask(app, n)
            assert exchange.cache.hit
            assert exchange.answer.precomputed
        assert provider.provider.bill.calls == calls + 12
        assert len(first) == 12
        (books,) = [each for each in app.gateway.shared.profit.books() if each.layer == "precompute"]
        assert (books.hits, books.answering) == (12, stats.today)
        assert books.saved == pytest.approx(2 * books.answering, rel=0.25)
        assert app.gateway.books.violations == 0
        # What the records said is on this disk no more.
        assert "Where is order" not in "".join(
            path.read_text() for path in (tmp_path / "jobs" / "ahead").rglob("*") if path.is_file()
        )


async def test_too_few_for_a_job_are_asked_one_by_one(tmp_path):
    async with simulated(tmp_path / "aws") as (aws, provider), running(configured(aws, tmp_path)) as (_, app):
        for n in range(5):
            await ask(app, n)
            await ask(app, n, NOVA)
        app.gateway.shared.answers.purge(Selector())
        calls = provider.provider.bill.calls
        assert await app.gateway.planner.round() == 10  # two models: neither has ten
        tiers = {("us." + line.model, line.service_tier) for line in list(provider.provider.bill.lines)[calls:]}
        assert tiers == {(HAIKU, "standard"), (NOVA, "flex")}  # which is sold for one of them
        assert app.gateway.planner.stats().by_way == {"standard": 5, "flex": 5}


async def test_what_is_wanted_soon_does_not_wait_for_a_job(tmp_path):
    async with (
        simulated(tmp_path / "aws") as (aws, provider),
        running(configured(aws, tmp_path, turnaround=3_600)) as (_, app),
    ):
        for n in range(12):
            await ask(app, n)
        app.gateway.shared.answers.purge(Selector())
        calls = provider.provider.bill.calls
        assert await app.gateway.planner.round() == 12
        assert {line.service_tier for line in list(provider.provider.bill.lines)[calls:]} == {"standard"}


async def test_jobs_under_way_never_exceed_the_budget(tmp_path):
    async with simulated(tmp_path / "aws") as (aws, provider):
        async with running(configured(aws, tmp_path)) as (_, app):
            for n in range(30):
                await ask(app, n)
                foreseen, _ = await app.gateway.parts.prefetcher.prepare(app.gateway.planner.asked()[0])
            bound = app.gateway.parts.prefetcher.bound(foreseen, "batch")
        budget = 13.5 * bound / 1e9
        async with running(configured(aws, tmp_path, budget=budget)) as (_, app):
            ahead = app.gateway.planner
            for n in range(30):
                await ask(app, n)
            before = provider.provider.bill.nano
            forget(app)
            assert 10 <= await ahead.round() < 30
            assert ahead.stats().held <= budget * 1e9
            assert ahead.stats().refused > 0
            assert await ahead.round() == 0  # nothing twice, and nothing on top
            await over(app)
            assert 0 < provider.provider.bill.nano - before <= budget * 1e9


async def test_a_job_outlives_the_gateway_and_its_budget_does_too(tmp_path):
    async with simulated(tmp_path / "aws", delay_s=1.5) as (aws, _):
        async with running(configured(aws, tmp_path)) as (_, app):
            for n in range(12):
                await ask(app, n)
            forget(app)
            await app.gateway.planner.round()
            await eventually(lambda: list((tmp_path / "aws" / "jobs").glob("*.json")), 10)
            held = app.gateway.planner.stats().held
        async with running(configured(aws, tmp_path)) as (_, app):
            ahead = app.gateway.planner
            assert ahead.stats().held == held > 0
            await over(app)
            assert ahead.stats().by_way == {"batch": 12}
            for n in range(12):
                assert (await ask(app, n))[1].cache.hit
            assert len(await rows(app)) == 12
            assert len(list((tmp_path / "aws" / "jobs").glob("*.json"))) == 1
        async with running(configured(aws, tmp_path)) as (_, app):
            await app.gateway.planner.inform()
            stats = app.gateway.planner.stats()
            assert (stats.under_way, stats.held) == (0, 0)
            assert stats.today == sum(row[4] for row in await rows(app))


async def test_an_answer_of_an_old_epoch_is_paid_but_not_kept(tmp_path):
    async with simulated(tmp_path / "aws", delay_s=1.0) as (aws, _), running(configured(aws, tmp_path)) as (_, app):
        for n in range(12):
            await ask(app, n)
        forget(app)
        await app.gateway.planner.round()
        await app.swap(Gateway(configured(aws, tmp_path, epoch="2"), previous=app.gateway))
        await over(app)
        assert len([row for row in await rows(app) if row[6] == "batch"]) == 12
        stats = app.gateway.planner.stats()
        assert stats.by_way.get("batch", 0) == 0
        assert stats.today == sum(row[4] for row in await rows(app))


async def test_after_a_new_epoch_the_most_valuable_answers_come_back_by_themselves(tmp_path):
    async with simulated(tmp_path / "aws") as (aws, provider), running(configured(aws, tmp_path)) as (_, app):
        for n in range(6):
            for _ in range(3):
                await ask(app, n)
        assert app.gateway.planner.stats().warmed == 0
        await app.swap(Gateway(configured(aws, tmp_path, epoch="2"), previous=app.gateway))
        await eventually(lambda: app.gateway.planner.stats().warmed >= 6)
        calls = provider.provider.bill.calls
        for n in range(6):
            _, exchange = await ask(app, n)
            assert exchange.cache.hit
            assert exchange.policy.knowledge_epoch == "2"
        assert provider.provider.bill.calls == calls
        # A reload that changes nothing costs nothing.
        await app.swap(Gateway(configured(aws, tmp_path, epoch="2"), previous=app.gateway))
        await eventually(lambda: not app.gateway.shared.prefetch.outdated)
        assert provider.provider.bill.calls == calls


async def test_failed_records_are_asked_alone(tmp_path):
    async with (
        simulated(tmp_path / "aws", least=1_000) as (aws, provider),
        running(configured(aws, tmp_path)) as (_, app),
    ):
        for n in range(12):
            await ask(app, n)
        forget(app)
        calls = provider.provider.bill.calls
        assert await app.gateway.planner.round() == 12
        await over(app)
        # The provider refuses so small a job.
        assert {line.service_tier for line in list(provider.provider.bill.lines)[calls:]} == {"standard"}
        assert app.gateway.planner.stats().by_way == {"standard": 12}
        assert (await ask(app, 3))[1].cache.hit


async def test_a_late_job_is_stopped_and_the_rest_asked_alone(tmp_path):
    async with (
        simulated(tmp_path / "aws", delay_s=3_600) as (aws, provider),
        running(configured(aws, tmp_path, turnaround=1)) as (_, app),
    ):
        for n in range(12):
            await ask(app, n)
        forget(app)
        calls = provider.provider.bill.calls
        assert await app.gateway.planner.round() == 12
        await over(app)
        assert {line.service_tier for line in list(provider.provider.bill.lines)[calls:]} == {"standard"}
        assert (await ask(app, 3))[1].cache.hit


async def test_answers_of_a_shared_route_reach_the_edge(tmp_path):
    async with simulated(tmp_path / "aws") as (aws, _), running(configured(aws, tmp_path, scope="shared")) as (_, app):
        for n in range(12):
            await ask(app, n)
        assert len(app.gateway.shared.edge) == 0
        forget(app)
        await app.gateway.planner.round()
        await over(app)
        # The same answer a second time is a verified one.
        assert len(app.gateway.shared.edge) == 12
