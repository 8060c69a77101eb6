"""Pre-computation, warm-up, shared answers and their returns, in a whole gateway with simulated models."""

import aiohttp
import pytest

from hapenny.core.messages import Context, Message, Parameters, Request, Text
from tests.server.house import serving
from tests.settling import eventually

ROUTES = (
    "precompute: {routes: [default], every_s: 60, least: 0.5}\n"
    "stages: {exact: {ttl_s: 3600}}\n"
    "routes: {default: {holdout: 0, knowledge_epoch: '7', cache_scope: shared}}"
)


def request(text):
    return Request(
        protocol="openai",
        model="fast",
        messages=(Message("user", (Text(text),)),),
        parameters=Parameters(temperature=0.0),
    )


async def ask(app, text, tenant="default"):
    return await app.gateway.complete(request(text), Context(tenant=tenant))


async def test_what_is_asked_again_and_again_is_answered_ahead(tmp_path):
    async with serving(tmp_path, extra=ROUTES) as (_, app):
        ahead = app.gateway.planner
        for _ in range(5):
            await ask(app, "when do you open")
        await ask(app, "a question nobody repeats")
        assert await ahead.round() == 0  # all is stored
        app.gateway.shared.answers.purge(everything())
        assert await ahead.round() >= 1
        _, there = await ask(app, "when do you open")
        assert there.cache.hit
        assert there.answer.precomputed
        assert ahead.stats().spent > 0
        books = {each.layer: each for each in app.gateway.shared.profit.books()}
        assert books["precompute"].hits == 1
        # One hit pays for the one answer made ahead, as far as estimated counts go.
        assert books["precompute"].answering > 0
        assert books["precompute"].saved == pytest.approx(books["precompute"].answering, rel=0.1)
        _, there = await ask(app, "when do you open")
        assert there.cache.hit
        # Without us the first request would have been answered by the model, and the second from the cache.
        books = {each.layer: each for each in app.gateway.shared.profit.books()}
        assert books["precompute"].hits == 1


def everything():
    from hapenny.caching.store import Selector

    return Selector()


async def test_answers_ahead_are_background_rows_with_no_baseline(tmp_path):
    async with serving(tmp_path, extra=ROUTES) as (_, app):
        rows = []
        app.gateway.parts.exchanges.observe(lambda exchange, row: rows.append(row))
        await ask(app, "when do you open")
        app.gateway.shared.answers.purge(everything())
        assert await app.gateway.planner.renew() == 1
        made = rows[-1]
        assert made.background == "precompute"
        assert made.baseline == 0
        assert made.actual > 0
        assert made.savings == {"precompute": -made.actual}


async def test_a_layer_that_only_costs_is_stopped(tmp_path):
    async with serving(tmp_path, extra=ROUTES) as (_, app):
        ahead = app.gateway.planner
        await ask(app, "when do you open")
        for _ in range(60):
            app.gateway.shared.answers.purge(everything())
            await ahead.renew()
        assert ahead.stats().stopped
        assert ahead.stats().answered == 51  # the last one's worth is not known yet
        assert [each.stopped for each in app.gateway.shared.profit.books() if each.layer == "precompute"] == [True]


async def test_a_budget_is_kept(tmp_path):
    extra = ROUTES.replace("least: 0.5", "least: 0.5, budget_usd: 0.0006")
    async with serving(tmp_path, extra=extra) as (_, app):
        for number in range(20):
            await ask(app, f"question {number}")
        app.gateway.shared.answers.purge(everything())
        ahead = app.gateway.planner
        assert 0 < await ahead.renew() < 20
        stats = ahead.stats()
        assert stats.refused > 0
        assert 0 < stats.today <= 600_000
        assert stats.held == 0
        spent = stats.today
    # The ledger knows what was spent: a restart is no second budget.
    async with serving(tmp_path, extra=extra) as (_, app):
        ahead = app.gateway.planner
        for number in range(20):
            await ask(app, f"question {number}")
        app.gateway.shared.answers.purge(everything())
        await ahead.renew()
        assert spent <= ahead.stats().today <= 600_000


async def test_routes_that_did_not_opt_in_are_not_remembered(tmp_path):
    async with serving(tmp_path, extra="routes: {default: {holdout: 0}}") as (url, app):
        await ask(app, "when do you open")
        assert app.gateway.planner is None
        async with aiohttp.ClientSession() as session, session.post(url + "/v1/cache/warm") as answer:
            assert answer.status == 404
            assert "precompute.routes" in await answer.text()


async def test_warm_over_http(tmp_path):
    async with serving(tmp_path, extra=ROUTES) as (url, app), aiohttp.ClientSession() as session:
        await ask(app, "when do you open")
        app.gateway.shared.answers.purge(everything())
        async with session.post(url + "/v1/cache/warm", json={"most": 10}) as answer:
            assert await answer.json() == {"answered": 1}


async def test_a_shared_route_shares_among_tenants_and_says_so_to_the_edge(tmp_path):
    async with serving(tmp_path, extra=ROUTES) as (url, app), aiohttp.ClientSession() as session:
        await ask(app, "when do you open", tenant="one")
        _, there = await ask(app, "when do you open", tenant="two")
        assert there.cache.hit
        assert not there.notes  # not verified yet
        app.gateway.shared.answers.purge(everything())
        await ask(app, "when do you open", tenant="one")  # the model says the same again: verified
        _, there = await ask(app, "when do you open", tenant="two")
        (note,) = there.notes
        path = note.removeprefix("answer=")
        async with session.get(url + path) as page:
            assert page.status == 200
            assert "s-maxage" in page.headers["cache-control"]
            assert (await page.json())["answer"] == (await ask(app, "when do you open"))[0].text
        async with session.post(url + "/v1/cache/invalidate", json={"epoch": "7", "dry_run": True}) as answer:
            assert (await answer.json())["edge"]["entries"] == 1
        async with session.post(url + "/v1/cache/invalidate", json={"epoch": "7"}) as answer:
            assert (await answer.json())["edge"]["entries"] == 1
        async with session.get(url + path) as page:
            assert page.status == 404


async def test_tenants_share_nothing_where_nobody_said_so(tmp_path):
    async with serving(tmp_path, extra="routes: {default: {holdout: 0}}") as (_, app):
        await ask(app, "when do you open", tenant="one")
        _, there = await ask(app, "when do you open", tenant="two")
        assert not there.cache.hit


@pytest.mark.parametrize("bad", ["budget_usd: 0", "off_peak: [24]"])
async def test_senseless_options_are_refused(tmp_path, bad):
    with pytest.raises(ValueError, match=bad.split(":")[0]):
        async with serving(tmp_path, extra=f"precompute: {{routes: [default], {bad}}}"):
            pass


KEPT = """
fingerprint_key: a-secret-of-these-tests
content:
  path: "%s/content.db"
  options: {key: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", sample: 1, routes: [%s]}
"""


async def warmed(app, count):
    await eventually(lambda: app.gateway.planner.stats().warmed >= count)


async def test_a_deploy_warms_up_by_itself_where_texts_may_be_kept(tmp_path):
    extra = ROUTES + KEPT % (tmp_path, "default")
    async with serving(tmp_path, extra=extra) as (_, app):
        for _ in range(4):
            await ask(app, "when do you open")
            await ask(app, "is jane.doe@example.com a member")
    state = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.state.db*"))
    assert b"when do you open" not in state
    async with serving(tmp_path, extra=extra.replace("'7'", "'8'")) as (_, app):
        await warmed(app, 1)
        _, there = await ask(app, "when do you open")
        assert there.cache.hit
        assert there.policy.knowledge_epoch == "8"
        _, other = await ask(app, "is jane.doe@example.com a member")
        assert not other.cache.hit  # what would be redacted is not kept


async def test_without_that_consent_nothing_is_known_after_a_restart(tmp_path):
    extra = ROUTES + KEPT % (tmp_path, "elsewhere")
    async with serving(tmp_path, extra=extra) as (_, app):
        for _ in range(4):
            await ask(app, "when do you open")
    async with serving(tmp_path, extra=extra) as (_, app):
        assert app.gateway.planner.stats().known == 0
        await ask(app, "when do you open")  # but how often it is asked is
        question = app.gateway.planner.asked()[0].question
        assert app.gateway.shared.prefetch.demand.uses(question) == 5


async def test_large_requests_are_not_remembered(tmp_path):
    async with serving(tmp_path, extra=ROUTES) as (_, app):
        await ask(app, "word " * 10_000)
        assert app.gateway.planner.stats().known == 0


async def test_requests_by_hour_are_read_from_the_ledger_at_start(tmp_path):
    async with serving(tmp_path, extra=ROUTES) as (_, app):
        for number in range(5):
            await ask(app, f"question {number}")
    async with serving(tmp_path, extra=ROUTES) as (_, app):
        await app.gateway.planner.inform()
        assert app.gateway.shared.prefetch.load.requests == 5
