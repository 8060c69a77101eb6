"""Token stages over a served gateway: brevity as an experiment's arm, summaries of what the window drops."""

import json
import sqlite3

import aiohttp
import pytest

from hapenny.core.messages import Text
from hapenny.tokens.brevity_stage import PROFILES
from tests.server.house import Scripted, serving

FAST = "anthropic.claude-3-haiku-20240307-v1:0"


async def post(url, session, body, **headers):
    async with session.post(url + "/v1/chat/completions", json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_an_arm_named_after_a_profile_gets_its_instruction_and_its_own_cached_answers(tmp_path):
    file = tmp_path / "experiments.json"
    file.write_text(json.dumps([{"name": "brevity", "arms": {"control": {}, "two-sentences": {}}, "unit": "user"}]))
    backend = Scripted()
    body = {"model": "strong", "messages": [{"role": "user", "content": "Why is the sea salty?"}]}
    extra = f'stages: {{arms: {{file: "{file}"}}}}'
    async with serving(tmp_path, backend, extra=extra) as (url, _), aiohttp.ClientSession() as session:
        for number in range(12):
            await post(url, session, {**body, "user": f"u{number}"}, **{"x-hapenny-user": f"u{number}"})
        instruction = Text(PROFILES["two-sentences"].instruction)
        briefly = [instruction in request.system for request, _ in backend.asked]
        # Twelve equal questions: one call for each arm, the rest from that arm's own cache.
        assert sorted(briefly) == [False, True]


async def test_without_an_experiment_nobody_is_asked_to_be_brief(tmp_path):
    backend = Scripted()
    body = {"model": "strong", "messages": [{"role": "user", "content": "Why is the sea salty?"}]}
    async with serving(tmp_path, backend) as (url, _), aiohttp.ClientSession() as session:
        await post(url, session, body, **{"x-hapenny-user": "u1"})
    assert backend.asked[0][0].system == ()


async def test_the_best_passage_comes_first_with_its_own_number_where_that_is_wanted(tmp_path):
    filler = "Gulls rest upon the northern tower through the winter and leave in spring. " * 6
    texts = [filler, filler.replace("Gulls", "Terns"), f"{filler}The organ has four thousand pipes of tin."]
    sources = "\n".join(f'<source number="{n}">\n{text}\n</source>' for n, text in enumerate(texts, 1))
    content = f"<sources>\n{sources}\n</sources>\nHow many pipes does the organ have?"
    body = {"model": "strong", "messages": [{"role": "user", "content": content}]}
    sent = {}
    for first in ("true", "false"):
        backend = Scripted()
        extra = f"stages: {{prune: {{share: 0.8, floor: 0, mass: 1.0, seconds: 5, best_first: {first}}}}}"
        async with serving(tmp_path / first, backend, extra=extra) as (url, _), aiohttp.ClientSession() as session:
            await post(url, session, body)
        sent[first] = backend.asked[0][0].messages[-1].text
    for text in sent.values():
        assert "four thousand pipes" in text
        assert text.count("<source number") == text.count("</source>") >= 2
        assert text.startswith("<sources>\n<source number=")
        assert text.endswith("</sources>\nHow many pipes does the organ have?")
    assert sent["true"].index('number="3"') < sent["true"].index('number="1"')
    assert sent["false"].index('number="3"') > sent["false"].index('number="1"')


def long_talk():
    turns = []
    for number in range(16):
        turns.append(
            {"role": "user", "content": f"Question {number}: " + "what about the harbour and its cranes? " * 6}
        )
        turns.append(
            {"role": "assistant", "content": f"Answer {number}: " + "the cranes stand by the water there. " * 6}
        )
    return [*turns, {"role": "user", "content": "And what did we decide?"}]


async def summarised(tmp_path, options):
    backend = Scripted()
    extra = f"stages: {{window: {{limit: 600, recent: 4{options}}}}}"
    body = {"model": "strong", "messages": long_talk()}
    async with serving(tmp_path, backend, extra=extra) as (url, _), aiohttp.ClientSession() as session:
        await post(url, session, body, **{"x-hapenny-session": "s1"})
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        calls = db.execute("SELECT purpose, technique FROM calls").fetchall()
    db.close()
    return backend.asked, calls


async def test_dropped_turns_are_summarised_by_the_fast_tier_at_the_windows_cost(tmp_path):
    asked, calls = await summarised(tmp_path, ", summarise: true")
    (summary, target), (main, _) = asked
    assert target.model == FAST
    assert "Question 3" in summary.messages[0].text
    assert "Half a penny." in main.messages[0].text
    assert ("summary", "window") in calls


async def test_no_summary_unless_it_is_wanted(tmp_path):
    asked, calls = await summarised(tmp_path, "")
    assert len(asked) == len(calls) == 1


@pytest.mark.parametrize(("limit", "kept"), [("", False), ("limit: 600, ", True)])
async def test_a_limit_that_the_operator_sets_is_kept_before_any_evidence(tmp_path, limit, kept):
    backend = Scripted()
    routes = "routes: {default: {baseline: strong, holdout: 0, audit_share: 0, stages: {window: 'on'}}}"
    extra = f"{routes}\nstages: {{window: {{{limit}recent: 4}}}}"
    talk = long_talk()
    further = [*talk, {"role": "assistant", "content": "Nothing."}, {"role": "user", "content": "Then let us decide."}]
    async with serving(tmp_path, backend, preset="safe", extra=extra) as (url, _), aiohttp.ClientSession() as session:
        for messages in (talk, further):
            await post(url, session, {"model": "strong", "messages": messages}, **{"x-hapenny-session": "s1"})
    assert [len(request.messages) < 20 for request, _ in backend.asked] == [kept, kept]
    assert backend.asked[-1][0].messages[-1].text == "Then let us decide."
