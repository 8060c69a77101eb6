"""Guardrails on what goes through no pipeline: embeddings, and the lines of providers' batch jobs."""

import json
import sqlite3

import aiohttp
import openai
import pytest

from hapenny.config import load
from tests.jobs import test_translator as jobs
from tests.jobs.test_service import client as batch_client
from tests.jobs.test_service import finished, handed_in, output
from tests.jobs.test_translator import credentials as credentials  # a fixture of every test here
from tests.server import test_embeddings as embeddings
from tests.server.house import running
from tests.server.test_guarding import account as account  # a fixture
from tests.server.test_guarding import findings
from tests.server.test_jobs import simulated
from tests.server.test_passable import ask, provider
from tests.server.test_responses import client

STAGES = """
routes: {default: {preset: safe, holdout: 0, stages: {guard_input: on, guard_output: on}}}
stages: {guard_input: {items: {card: block, all: redact}, message: Not here.}, guard_output: {items: {all: redact}}}
"""
CARD = "pay with 4111 1111 1111 1111"


# -- embeddings -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def embedding(tmp_path):
    """(client, what the provider got, URL) where inputs are guarded."""
    async with embeddings.upstream() as (base, seen):
        text = embeddings.OPENAI.format(base=base, ledger=tmp_path / "l.db", extra=STAGES)
        async with running(load(text=text)) as (url, _), client(url) as api:
            yield api, seen, url


async def test_what_is_embedded_is_redacted(embedding):
    api, seen, url = embedding
    raw = await api.embeddings.with_raw_response.create(model="mine", input=["plain", "mail sato@example.jp now"])
    assert seen[0][1]["input"] == ["plain", "mail [EMAIL] now"]
    assert "guard_input=redacted email" in raw.headers["x-hapenny-notes"]
    assert len(raw.parse().data) == 2
    assert await findings(url) == {("guard_input", "email", "redact"): 1.0}


async def test_what_is_blocked_is_not_embedded(embedding):
    api, seen, _ = embedding
    with pytest.raises(openai.BadRequestError, match=r"Not here\.") as refused:
        await api.embeddings.create(model="mine", input=["plain", CARD])
    assert refused.value.param == "input"
    with pytest.raises(openai.BadRequestError, match="reads no tokens"):
        await api.embeddings.create(model="mine", input=[[1, 2, 3]])
    assert seen == []


async def test_a_provider_s_guardrail_judges_what_is_embedded_and_is_paid(tmp_path, account):
    aws, _ = account
    extra = f"""
routes: {{default: {{preset: safe, holdout: 0, stages: {{guard_input: on}}}}}}
guardrails: {{aws: {{guardrail: gr-1, base_url: '{aws}'}}}}
stages: {{guard_input: {{items: {{}}, injection: 'off', remote: aws}}}}
"""
    async with embeddings.upstream() as (base, seen):
        text = embeddings.OPENAI.format(base=base, ledger=tmp_path / "l.db", extra=extra)
        async with running(load(text=text)) as (url, _), client(url) as api:
            await api.embeddings.create(model="mine", input=["mail sato@example.jp now"])
            with pytest.raises(openai.BadRequestError):
                await api.embeddings.create(model="mine", input=["something forbidden"])
    assert [body["input"] for _, body in seen] == [["mail {EMAIL} now"]]
    with sqlite3.connect(tmp_path / "l.db") as ledger:
        calls = ledger.execute("SELECT model, cost FROM calls WHERE purpose = 'guard'").fetchall()
    assert calls == [("amazon.bedrock-guardrails", 400_000)] * 2


# -- jobs -------------------------------------------------------------------------------------------------------------


def rows(text, count=12):
    """Lines of a batch that ask `text`, each a little different."""
    out = jobs.rows([jobs.HAIKU] * count)
    for number, row in enumerate(out):
        row["body"]["messages"][1]["content"] = f"{number}: {text}"
    return out


async def answered(tmp_path, asked, stages=STAGES):
    """(answers by id, the provider's bill, what its bucket holds) of a batch under `stages`."""
    plain = "routes: {default: {preset: safe, holdout: 0, cache_any_temperature: false}}"
    config = jobs.CONFIG.replace(plain, stages)
    assert config != jobs.CONFIG
    async with simulated(tmp_path / "aws") as (aws, backend):
        named = {"url": aws, "folder": tmp_path, "model": jobs.HAIKU, "nova": jobs.NOVA, "margin": 60}
        async with running(load(text=config % named)) as (url, _):
            api = batch_client(url)
            data = b"".join(json.dumps(row).encode() + b"\n" for row in asked)
            answers = await output(api, await finished(api, (await handed_in(api, data)).id))
        kept = b"".join(file.read_bytes() for file in (tmp_path / "aws").rglob("*") if file.is_file())
        return answers, backend.provider.bill, kept


async def test_lines_of_a_job_are_redacted_and_what_is_blocked_stays_out_of_it(tmp_path):
    asked = rows("mail sato@example.jp")
    asked[3]["body"]["messages"][1]["content"] = CARD
    answers, bill, kept = await answered(tmp_path, asked)
    assert len(answers) == 12
    blocked = answers["order/3"]["response"]["body"]["choices"][0]
    assert (blocked["message"]["content"], blocked["finish_reason"]) == ("Not here.", "content_filter")
    assert {line.service_tier for line in bill.lines} == {"batch"}
    assert len(bill.lines) == 11
    assert b"mail [EMAIL]" in kept
    assert b"sato@example.jp" not in kept
    assert b"4111" not in kept


async def test_answers_of_a_job_pass_the_guardrail_on_their_way_out(tmp_path):
    stages = STAGES.replace("guard_output: {items: {all: redact}}", "guard_output: {items: {}, max_characters: 20}")
    answers, bill, _ = await answered(tmp_path, rows("how long is a bridge?"), stages)
    choices = [row["response"]["body"]["choices"][0] for row in answers.values()]
    assert {choice["finish_reason"] for choice in choices} == {"length"}
    assert all(0 < len(choice["message"]["content"]) <= 20 for choice in choices)
    assert {line.service_tier for line in bill.lines} == {"batch"}


async def test_what_a_provider_s_guardrail_has_to_judge_is_answered_alone(tmp_path, account):
    aws, guardrail = account
    stages = (
        STAGES.replace("message: Not here.", "remote: aws")
        + f"""
guardrails: {{aws: {{guardrail: gr-1, base_url: '{aws}'}}}}
"""
    )
    answers, bill, _ = await answered(tmp_path, rows("how long is a bridge?"), stages)
    assert len(answers) == 12
    assert "batch" not in {line.service_tier for line in bill.lines}
    assert guardrail.bill.calls == 12


# -- batches of messages that a provider keeps -------------------------------------------------------------------------


PASSING = """
backends: {{claude: {{kind: anthropic, base_url: "{url}", api_key: sk-provider}}}}
tiers: {{fast: claude-sonnet-4-5, strong: claude-sonnet-4-5}}
ledger: null
"""


def message(text, **more):
    return {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": text}], **more}


async def test_requests_of_a_batch_that_passes_through_are_redacted_or_refused():
    async with (
        provider() as (up, seen, _),
        aiohttp.ClientSession() as session,
        running(load(text=PASSING.format(url=up) + STAGES)) as (url, _),
    ):
        lines = [
            {"custom_id": "a", "params": message("how long is a bridge?", novel={"x": 1})},
            {"custom_id": "b", "params": message("mail sato@example.jp", novel={"x": 1})},
        ]
        path = "/v1/messages/batches"
        status, _ = await ask(session, url, "POST", path, {}, {"requests": lines})
        assert status == 200
        sent = json.loads(seen[0][2])["requests"]
        assert sent[0] == lines[0]
        assert sent[1]["params"]["novel"] == {"x": 1}
        assert "mail [EMAIL]" in json.dumps(sent[1])
        blocked = {"requests": [lines[0], {"custom_id": "c", "params": message(CARD)}]}
        status, body = await ask(session, url, "POST", path, {}, blocked)
        assert status == 400
        assert "Not here." in json.loads(body)["error"]["message"]
        assert len(seen) == 1
