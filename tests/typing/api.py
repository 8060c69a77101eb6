"""The public API as an application's type checker sees it."""

from typing import assert_type

from hapenny import Gateway
from hapenny.core.events import Completion
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Message, Parameters, Request, Text, ToolUse
from hapenny.core.money import Totals


async def ask() -> str:
    """Everything an application does with a gateway as a library."""
    async with Gateway.from_file("hapenny.yaml") as gateway:
        assert_type(gateway, Gateway)
        assert_type(await gateway.chat("Which volume comes next?", model="auto", max_tokens=100), str)
        request = Request(
            protocol="openai",
            model="fast",
            messages=(Message("user", (Text("Hello"),)),),
            parameters=Parameters(temperature=0.0),
        )
        completion, exchange = await gateway.complete(request)
        assert_type(completion, Completion)
        assert_type(exchange, Exchange)
        assert_type(gateway.totals(exchange), Totals | None)
        assert_type(gateway.spent([exchange]), Totals)
        assert_type(completion.tool_use, ToolUse | None)
        return completion.text
