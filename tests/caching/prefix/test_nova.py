"""Cache points for Nova, against a simulated service that refuses them where the real one does."""

import asyncio

import pytest

from hapenny.caching.prefix.marks import marked
from hapenny.config import load
from hapenny.core.messages import Context, Message, Parameters, Request, Text, Tool, ToolResult, ToolUse
from hapenny.gateway.gateway import Gateway
from hapenny.simulation.loop import clock, run

NOVA = "amazon.nova-2-lite-v1:0"
CONFIG = """
backends: {simulated: {kind: simulated, card: current-2026}}
ledger: null
routes: {default: {preset: safe, holdout: 0, stages: {prefix: "on", exact: "off", structure: "off"}}}
"""
MANUAL = "\n".join(f"Rule {n}: what came broken is sent back within {n + 7} days, and paid for." for n in range(300))
TOOLS = (Tool("orders", "Finds the orders of a customer.", {"type": "object", "properties": {}}),)


def conversation(turns):
    messages = []
    for number in range(turns):
        call = f"call{number}0000"
        messages += [
            Message("user", (Text(f"Where is order {number}?"),)),
            Message("assistant", (Text("I will look."), ToolUse(call, "orders", "{}"))),
            Message("user", (ToolResult(call, (Text(f"order {number}: sent on Monday. " * 40),)),)),
            Message("assistant", (Text("It was sent on Monday."),)),
        ]
    return (*messages, Message("user", (Text(f"And order {turns}?"),)))


def asked(turns):
    return Request(
        protocol="bedrock",
        model=NOVA,
        system=(Text(MANUAL),),
        tools=TOOLS,
        messages=conversation(turns),
        parameters=Parameters(max_tokens=100),
    )


@pytest.fixture(scope="module")
def session():
    """Ten turns of one conversation: rows, and requests as they went to the provider."""
    rows, sent = [], []

    async def main():
        async with Gateway(load(text=CONFIG), clock=clock()) as gateway:
            gateway.parts.exchanges.observe(lambda exchange, row: rows.append(row))
            gateway.parts.exchanges.observe(lambda exchange, row: sent.append(exchange.calls[-1].request))
            for turn in range(10):
                await gateway.complete(asked(turn), Context(session="s"))
                await asyncio.sleep(20.0)

    run(main())
    return rows, sent


def test_a_conversation_reads_its_prefix_from_the_cache(session):
    rows, _ = session
    assert all(row.outcome == "delivered" for row in rows)
    assert rows[-1].tokens.cache_read > 0.8 * rows[-1].tokens.prompt
    assert sum(row.savings.get("prefix", 0) for row in rows) > 0
    assert not any(row.unpriced for row in rows)


def test_points_stand_where_the_service_takes_them(session):
    _, sent = session
    assert any(marked(request) for request in sent)
    for request in sent:
        assert not any(tool.checkpoint for tool in request.tools)
        behind = [block for message in request.messages for block in message.content if block.checkpoint]
        assert all(isinstance(block, Text) for block in behind)


@pytest.mark.parametrize("behind", ["result", "call", "tool"])
def test_points_of_a_client_that_the_service_refuses_are_left_out(behind):
    call, result = ToolUse("call00000", "orders", "{}"), ToolResult("call00000", (Text("sent on Monday"),))
    tools = TOOLS
    if behind == "result":
        result = ToolResult("call00000", (Text("sent on Monday"),), checkpoint="default")
    elif behind == "call":
        call = ToolUse("call00000", "orders", "{}", checkpoint="default")
    else:
        tools = (Tool("orders", "Finds orders.", {"type": "object"}, checkpoint="default"),)
    request = Request(
        protocol="bedrock",
        model=NOVA,
        system=(Text(MANUAL, checkpoint="default"),),
        tools=tools,
        messages=(
            Message("user", (Text("Where is it?"),)),
            Message("assistant", (Text("I look."), call)),
            Message("user", (result,)),
        ),
        parameters=Parameters(max_tokens=100),
    )

    async def main():
        async with Gateway(load(text=CONFIG), clock=clock()) as gateway:
            return await gateway.complete(request, Context())

    _, exchange = run(main())
    assert exchange.failure is None
    assert exchange.calls[-1].tokens.cache_write > 0
    assert any("cache_points" in note for note in exchange.notes)
