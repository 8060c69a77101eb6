"""A backend that behaves as an assistant does: it calls the first tool when the weather is asked, answers what tools
returned, fills a JSON schema, and embeds."""

from __future__ import annotations

import json

from hapenny.backends.contract import Raw
from hapenny.core.events import BlockStarted, BlockStopped, Started, Stopped, TextDelta, Tokens, ToolCallDelta, Usage
from hapenny.core.messages import ToolResult
from hapenny.simulation.filling import fill
from tests.server.house import Body, Scripted

ANSWER = "It is 21 degrees in Paris."


class Assistant(Scripted):
    """One answer at a time, made of the request."""

    async def call(self, request, target, limits):
        self.events = said(request, target.model)
        return await super().call(request, target, limits)

    async def forward(self, method, path, headers, body, limits):
        asked = json.loads(body)
        count = len(asked.get("input", [])) or 1
        vectors = [[0.25, 0.5] for _ in range(count)]
        answer = {"embedding": vectors[0], "inputTextTokenCount": 3, "usage": {"prompt_tokens": 3, "total_tokens": 3}}
        answer["data"] = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(vectors)]
        return Raw(200, {"content-type": "application/json"}, Body([json.dumps(answer).encode()]))


def said(request, model):
    """The events of the answer to `request`."""
    after = False
    for message in request.messages:
        if message.role == "user" and message.text.strip():
            after = False
        if any(isinstance(block, ToolResult) for block in message.content):
            after = True
    choice = request.tool_choice
    forced = choice is not None and choice.kind in ("any", "tool")
    tools = [tool for tool in request.tools if not tool.kind]
    if tools and (forced or ("weather" in request.question.lower() and not after)):
        named = next((tool for tool in tools if choice is not None and tool.name == choice.name), None)
        tool = named or next((tool for tool in tools if "weather" in tool.name.lower()), tools[0])
        arguments = json.dumps(fill(tool.schema or {}, "Paris", 0))
        middle = len(arguments) // 2
        content = [
            BlockStarted(0, "tool_use", id="toolu_01AbCdEf", name=tool.name),
            ToolCallDelta(arguments[:middle], 0),
            ToolCallDelta(arguments[middle:], 0),
        ]
        reason = "tool_use"
    else:
        text = ANSWER
        form = request.parameters.format
        if isinstance(form, dict) and form.get("type") == "json_schema":
            text = json.dumps(fill(form["json_schema"]["schema"], "Paris", 0))
        middle = len(text) // 2
        content = [BlockStarted(0, "text"), TextDelta(text[:middle], 0), TextDelta(text[middle:], 0)]
        reason = "end_turn"
    usage = Usage(Tokens(input=20, output=10))
    return [Started("msg_01XyZ", model, 1_700_000_000.0), *content, BlockStopped(0), Stopped(reason), usage]
