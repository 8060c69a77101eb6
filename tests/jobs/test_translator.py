"""`/v1/batches` by the unmodified OpenAI client, answered by a provider's batch API at half the price."""

import contextlib
import json
import sqlite3

import openai
import pytest

from hapenny.config import ConfigError, load
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App
from tests.jobs.test_service import client, finished, handed_in, output
from tests.server.house import running
from tests.server.test_jobs import simulated
from tests.settling import eventually

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"

CONFIG = """
backends:
  aws: {kind: bedrock, region: us-east-1, base_url: "%(url)s", api_key: any-key-will-do}
tiers: {strong: %(model)s}
routes: {default: {preset: safe, holdout: 0, cache_any_temperature: false}}
keys: [{key: key-of-alpha, tenant: alpha}, {key: key-of-bravo, tenant: bravo, models: ["%(nova)s"]}]
ledger: {path: "%(folder)s/ledger.db"}
batch:
  journal: "%(folder)s/jobs"
  poll_s: 0.05
  margin_s: %(margin)s
  apis:
    - backend: aws
      bucket: nightly
      role: arn:aws:iam::111122223333:role/batch
      endpoint: "%(url)s"
      s3_endpoint: "%(url)s/s3"
      least: 10
      turnaround_s: 1
"""


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@contextlib.asynccontextmanager
async def gateway(url, folder, *, margin=60):
    config = load(text=CONFIG % {"url": url, "folder": folder, "model": HAIKU, "nova": NOVA, "margin": margin})
    async with running(config) as pair:
        yield pair


def rows(models):
    return [
        {
            "custom_id": f"order/{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": model,
                "max_tokens": 60,
                "messages": [
                    {"role": "system", "content": "You answer questions about orders."},
                    {"role": "user", "content": f"Where is order {n}? It left on day {n}."},
                ],
            },
        }
        for n, model in enumerate(models)
    ]


def lines(models, *more):
    return b"".join(json.dumps(row).encode() + b"\n" for row in [*rows(models), *more])


async def kept(app):
    ledger = app.gateway.ledger
    await ledger.flush()
    with contextlib.closing(sqlite3.connect(app.gateway.config.ledger.path)) as books:
        ids = [id for (id,) in books.execute("SELECT id FROM requests")]
    return [await ledger.get(id) for id in ids]


async def test_what_can_wait_is_answered_at_half_the_price(tmp_path):
    async with simulated(tmp_path / "aws") as (aws, provider), gateway(aws, tmp_path) as (url, app):
        api = client(url)
        batch = await finished(api, (await handed_in(api, lines([HAIKU] * 30))).id)
        assert batch.request_counts.completed == 30
        answers = await output(api, batch)
        assert list(answers) == [f"order/{n}" for n in range(30)]
        body = answers["order/7"]["response"]["body"]
        assert body["model"] == HAIKU
        assert body["choices"][0]["message"]["content"]
        assert body["usage"]["completion_tokens"] > 0
        booked = await kept(app)
        assert len(booked) == 30
        assert {(row.tenant, row.feature, row.outcome) for row in booked} == {("alpha", "batch", "delivered")}
        # Our books are the provider's bill, to the nano-dollar; what was saved is booked to batch alone.
        assert sum(row.actual for row in booked) == provider.provider.bill.nano
        assert provider.provider.bill.calls == 30
        for row in booked:
            assert set(row.savings) == {"batch"}
            assert row.savings["batch"] / row.baseline == pytest.approx(0.5, abs=0.001)
            assert row.baseline - sum(row.savings.values()) - row.estimate_error == row.actual
        assert app.gateway.books.violations == 0


async def test_one_batch_may_hold_several_models(tmp_path):
    async with simulated(tmp_path / "aws") as (aws, provider), gateway(aws, tmp_path) as (url, _):
        api = client(url)
        models = [HAIKU, NOVA] * 12 + ["us.anthropic.claude-haiku-5-5"] * 3
        batch = await finished(api, (await handed_in(api, lines(models))).id)
        assert batch.request_counts.completed == 27
        answers = await output(api, batch)
        assert [row["response"]["body"]["model"] for row in answers.values()] == models
        tiers = {}
        for line in provider.provider.bill.lines:
            tiers.setdefault((line.model, line.service_tier), []).append(line)
        assert {tier: len(found) for (_, tier), found in tiers.items() if tier == "standard"} == {"standard": 3}
        assert len([line for line in provider.provider.bill.lines if line.service_tier == "batch"]) == 24


async def test_records_in_another_dialect_are_made_fit_for_the_job_and_their_answers_freed_of_it(tmp_path):
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": {
        "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}}  # fmt: skip
    name = "mcp__" + "orders_of_the_shop_" * 4 + "find.one"
    tool = {"type": "function", "function": {"name": name, "parameters": {}}}
    asked = rows([NOVA] * 12)
    for row in asked[:4]:
        row["body"] |= {"response_format": form, "seed": 1, "stop": ["\n\n", "END"]}
    for row in asked[4:8]:
        row["body"] |= {"tools": [tool], "tool_choice": {"type": "function", "function": {"name": name}}}
    text = b"".join(json.dumps(row).encode() + b"\n" for row in asked)
    async with simulated(tmp_path / "aws") as (aws, provider), gateway(aws, tmp_path) as (url, _):
        api = client(url)
        batch = await finished(api, (await handed_in(api, text)).id)
        assert batch.request_counts.completed == 12
        answers = [row["response"]["body"] for row in (await output(api, batch)).values()]
        assert {line.service_tier for line in provider.provider.bill.lines} == {"batch"}
    for body in answers[:4]:
        assert isinstance(json.loads(body["choices"][0]["message"]["content"])["n"], int)
    for body in answers[4:8]:
        assert body["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == name


async def test_a_record_that_a_job_cannot_answer_is_sent_alone(tmp_path):
    bad = {
        "custom_id": "bad",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": HAIKU, "messages": [{"role": "user", "content": "x " * 300_000}]},
    }
    async with simulated(tmp_path / "aws") as (aws, provider), gateway(aws, tmp_path) as (url, _):
        api = client(url)
        batch = await finished(api, (await handed_in(api, lines([HAIKU] * 20, bad))).id)
        assert (batch.request_counts.completed, batch.request_counts.failed) == (20, 1)
        assert "bad" in (await api.files.content(batch.error_file_id)).text
        assert provider.provider.bill.calls == 20


async def test_what_a_key_may_not_ask_for_is_in_no_job(tmp_path):
    async with simulated(tmp_path / "aws") as (aws, provider), gateway(aws, tmp_path) as (url, _):
        api = client(url, "key-of-bravo")
        batch = await finished(api, (await handed_in(api, lines([HAIKU] * 12 + [NOVA] * 12))).id)
        assert (batch.request_counts.completed, batch.request_counts.failed) == (12, 12)
        assert {line.model for line in provider.provider.bill.lines} == {NOVA.removeprefix("us.")}


async def test_too_few_records_go_one_by_one_and_a_slower_tier_is_used_where_it_is_cheaper(tmp_path):
    async with simulated(tmp_path / "aws") as (aws, provider), gateway(aws, tmp_path) as (url, app):
        api = client(url)
        batch = await finished(api, (await handed_in(api, lines([HAIKU] * 2 + [NOVA] * 2))).id)
        assert batch.request_counts.completed == 4
        used = sorted((line.model.split(".")[0], line.service_tier) for line in provider.provider.bill.lines)
        assert used == [("amazon", "flex")] * 2 + [("anthropic", "standard")] * 2
        booked = await kept(app)
        assert sum(row.actual for row in booked) == provider.provider.bill.nano
        saved = {row.model_served: row.savings for row in booked}
        assert saved[NOVA].keys() == {"batch"}
        assert not any(saved[HAIKU].values())


async def test_a_job_that_will_not_end_in_time_is_cut_off(tmp_path):
    """The job would take hours; the margin leaves the client's window just now."""
    async with (
        simulated(tmp_path / "aws", records_per_s=20.0, delay_s=0.2) as (aws, provider),
        gateway(aws, tmp_path, margin=86_397 - 100 * 1.5 / 4) as (url, _),
    ):
        api = client(url)
        batch = await finished(api, (await handed_in(api, lines([HAIKU] * 100))).id)
        assert batch.request_counts.completed == 100
        tiers = [line.service_tier for line in provider.provider.bill.lines]
        assert tiers.count("batch") > 0
        assert tiers.count("standard") > 0
        assert len(tiers) == 100  # nothing was paid twice


async def test_a_restart_takes_its_jobs_up_again_and_books_nothing_twice(tmp_path):
    async with simulated(tmp_path / "aws", records_per_s=60.0) as (aws, provider):
        async with gateway(aws, tmp_path) as (url, _):
            id = (await handed_in(client(url), lines([HAIKU] * 60))).id
            await eventually(lambda: list((tmp_path / "aws" / "jobs").glob("*.json")), 10)
        async with gateway(aws, tmp_path) as (url, app):
            batch = await finished(client(url), id)
            assert batch.request_counts.completed == 60
            booked = await kept(app)
            assert len(booked) == 60
            assert sum(row.actual for row in booked) == provider.provider.bill.nano
        assert len(list((tmp_path / "aws" / "jobs").glob("*.json"))) == 1


async def test_a_provider_that_refuses_costs_the_discount_and_nothing_else(tmp_path):
    async with simulated(tmp_path / "aws", least=1_000) as (aws, provider), gateway(aws, tmp_path) as (url, app):
        api = client(url)
        batch = await finished(api, (await handed_in(api, lines([HAIKU] * 12))).id)
        assert batch.request_counts.completed == 12
        assert {line.service_tier for line in provider.provider.bill.lines} == {"standard"}
        assert "required minimum" in app.services.batches.engine.status(batch.id).refused[0]


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ("{backend: nobody}", "is not a backend"),
        ("{backend: aws, role: x}", "bucket"),
        ("{backend: aws, bucket: b}", "role"),
        ("{backend: aws, bucket: b, role: r, least: 5, most: 2}", "least"),
    ],
)
def test_a_wrong_api_is_refused_at_start(tmp_path, api, said):
    text = f"""
backends: {{aws: {{kind: bedrock, api_key: long-enough-key}}}}
tiers: {{strong: {HAIKU}}}
batch: {{journal: "{tmp_path}/jobs", apis: [{api}]}}
"""
    with pytest.raises(ConfigError, match=said):
        load(text=text)


async def test_the_simulated_provider_has_a_batch_api_in_this_process(tmp_path):
    text = f"""
backends: {{simulated: {{kind: simulated, card: current-2026}}}}
routes: {{default: {{holdout: 0}}}}
ledger: {{path: "{tmp_path}/ledger.db"}}
batch: {{journal: "{tmp_path}/jobs", poll_s: 0.05, apis: [{{bucket: "{tmp_path}/bucket", least: 10, turnaround_s: 5}}]}}
"""
    made = Gateway(load(text=text))
    await made.start()
    app = App(made)
    port = await app.start(port=0)
    try:
        api = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0)
        batch = await finished(api, (await handed_in(api, lines([HAIKU] * 20))).id)
        assert batch.request_counts.completed == 20
        assert {row.savings.keys() == {"batch"} for row in await kept(app)} == {True}
    finally:
        await app.stop()


async def test_an_openai_compatible_provider_runs_batches_too(tmp_path):
    """One gateway's batches are another one's jobs: `/v1/files` and `/v1/batches` on both sides."""
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    async with simulated(tmp_path / "aws") as (aws, provider), gateway(aws, far) as (far_url, _):
        text = f"""
backends: {{far: {{kind: openai, base_url: "{far_url}/v1", api_key: key-of-alpha}}}}
tiers: {{strong: {HAIKU}}}
routes: {{default: {{holdout: 0}}}}
ledger: {{path: "{near}/ledger.db"}}
batch: {{journal: "{near}/jobs", poll_s: 0.05, apis: [{{backend: far, turnaround_s: 5}}]}}
"""
        made = Gateway(load(text=text))
        await made.start()
        app = App(made)
        url = f"http://127.0.0.1:{await app.start(port=0)}"
        try:
            api = client(url)
            batch = await finished(api, (await handed_in(api, lines([HAIKU] * 20))).id)
            assert batch.request_counts.completed == 20
            assert list(await output(api, batch)) == [f"order/{n}" for n in range(20)]
            booked = await kept(app)
            assert {row.savings.keys() == {"batch"} for row in booked} == {True}
            assert {line.service_tier for line in provider.provider.bill.lines} == {"batch"}
        finally:
            await app.stop()
