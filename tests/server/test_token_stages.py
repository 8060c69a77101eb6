"""Token stages over a served gateway: brevity as an experiment's arm, summaries of what the window drops."""

import json
import sqlite3

import aiohttp

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
