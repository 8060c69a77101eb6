"""The holdout against the rest: who is drawn, and what the report says of both sides."""

import contextlib

from hapenny.config import load
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.pages.quality import holdout_lines
from hapenny.telemetry.summary import summarise


def config(folder, holdout=0.3, key=""):
    return load(
        text=f"""
backends: {{simulated: {{kind: simulated}}}}
ledger: {{path: {folder}/ledger.db}}
fingerprint_key: "{key}"
routes: {{default: {{preset: balanced, holdout: {holdout}}}}}
"""
    )


def asking(text, **changes):
    parameters = Parameters(max_tokens=20, temperature=0.0)
    return Request(protocol="openai", model="auto", messages=(Message("user", (Text(text),)),), parameters=parameters)


async def sides(folder, contexts, texts, **options):
    """Whether each request was held out."""
    async with Gateway(config(folder, **options)) as gateway:
        held = []
        for context, text in zip(contexts, texts, strict=True):
            exchange = gateway.open(asking(text), context)
            held.append(exchange.holdout)
            with contextlib.suppress(Exception):
                await (await gateway.answer(exchange)).collect()
            gateway.close(exchange)
        await gateway.settled()
        return held


async def test_the_draw_lasts_over_a_restart_without_a_key_for_sessions_users_and_questions(tmp_path):
    contexts = (
        [Context(session=f"s{n}") for n in range(30)] + [Context(user=f"u{n}") for n in range(30)] + [Context()] * 30
    )
    texts = [f"What is the toll of bridge {n}?" for n in range(90)]
    first = await sides(tmp_path, contexts, texts)
    assert first == await sides(tmp_path, contexts, texts)
    for part in (first[:30], first[30:60], first[60:]):
        assert 0 < sum(part) < 30


async def test_a_conversation_without_a_name_stays_on_its_side(tmp_path):
    async with Gateway(config(tmp_path)) as gateway:
        for number in range(20):
            begun = asking(f"Tell me of bridge {number}.").messages
            later = (*begun, Message("assistant", (Text("It is old."),)), Message("user", (Text("How old?"),)))
            drawn = set()
            for messages in (begun, later):
                request = Request(protocol="openai", model="auto", messages=messages)
                exchange = gateway.open(request, Context())
                drawn.add(exchange.holdout)
                gateway.close(exchange)
            assert len(drawn) == 1


async def test_the_report_compares_both_sides_and_says_what_carries_over(tmp_path):
    contexts = [Context(session=f"s{n}") for n in range(40)]
    held = await sides(tmp_path, contexts, ["What is the toll?"] * 40)
    found = summarise(f"{tmp_path}/ledger.db").holdout
    assert (found.held_out.requests, found.rest.requests) == (sum(held), 40 - sum(held))
    assert found.held_out.cached == 0
    assert found.rest.cached == found.rest.requests - 1 == found.shared_hits
    assert abs(found.held_out.saved) < 0.05
    assert found.rest.saved > 0.9
    assert found.rest.saved_low <= found.rest.saved <= found.rest.saved_high
    lines = holdout_lines(found)
    assert "quality not measured" in lines[0]
    assert "carried over" in lines[-1]


def test_nothing_held_out_says_nothing():
    assert holdout_lines(None) == []
