"""The holdout against the rest: who is drawn, and what the report says of both sides."""

from hapenny.config import load
from hapenny.console.html.quality import holdout_lines
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.telemetry.summary import summarise


def config(folder, holdout=0.3):
    return load(
        text=f"""
backends: {{simulated: {{kind: simulated}}}}
ledger: {{path: {folder}/ledger.db}}
routes: {{default: {{preset: balanced, holdout: {holdout}}}}}
"""
    )


def asking(text):
    parameters = Parameters(max_tokens=400, temperature=0.0)
    return Request(protocol="openai", model="auto", messages=(Message("user", (Text(text),)),), parameters=parameters)


async def drawn(folder, contexts, texts):
    """Whether each request is held out."""
    async with Gateway(config(folder)) as gateway:
        held = []
        for context, text in zip(contexts, texts, strict=True):
            exchange = gateway.open(asking(text), context)
            held.append(exchange.holdout)
            gateway.close(exchange)
        return held


async def test_the_draw_lasts_over_a_restart_without_a_key_for_sessions_users_and_questions(tmp_path):
    contexts = (
        [Context(session=f"s{n}") for n in range(30)] + [Context(user=f"u{n}") for n in range(30)] + [Context()] * 30
    )
    texts = [f"What is the toll of bridge {n}?" for n in range(90)]
    first = await drawn(tmp_path, contexts, texts)
    assert first == await drawn(tmp_path, contexts, texts)
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
    held = []
    async with Gateway(config(tmp_path, holdout=0.5)) as gateway:
        for number in range(12):
            _, exchange = await gateway.complete(asking("What is the toll?"), Context(session=f"s{number}"))
            held.append(exchange.holdout)
    found = summarise(f"{tmp_path}/ledger.db").holdout
    assert (found.held_out.requests, found.rest.requests) == (sum(held), 12 - sum(held))
    assert found.held_out.cached == 0
    assert found.rest.cached == found.rest.requests - 1 == found.shared_hits
    assert abs(found.held_out.saved) < 0.05
    assert found.rest.saved > 0.5
    assert found.rest.saved_low <= found.rest.saved <= found.rest.saved_high
    lines = holdout_lines(found)
    assert "quality not measured" in lines[0]
    assert "carried over" in lines[-1]


def test_nothing_held_out_says_nothing():
    assert holdout_lines(None) == []
