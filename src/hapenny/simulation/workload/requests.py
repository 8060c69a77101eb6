"""A message as a request: the assistant's instructions, the session so far, passages and question, tools.

An application puts earlier questions and answers into the history, without the passages they were answered from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hapenny.core.messages import Context, Message, Parameters, Request, Text, Tool, ToolResult, ToolUse
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message as ShopperMessage

MAX_TOKENS = 600


def request(
    asked: ShopperMessage, history: Sequence[tuple[str, str]], *, model: str = "auto", stream: bool = True
) -> Request:
    """The request of a message; `history` are the session's questions and answers, oldest first."""
    messages: list[Message] = []
    for question, answer in history:
        messages.append(Message("user", (Text(question),)))
        messages.append(Message("assistant", (Text(answer),)))
    messages.append(Message("user", (Text(asked.content),)))
    return Request(
        protocol="openai",
        model=model,
        system=(Text(asked.system),),
        messages=tuple(messages),
        tools=tuple(Tool(*tool) for tool in Shop.tools(asked.tools)) if asked.tools else (),
        parameters=Parameters(max_tokens=MAX_TOKENS, temperature=0.0),
        stream=stream,
    )


def context(asked: ShopperMessage, *, label: bool = False) -> Context:
    """Who asks. `label`: the application also names the intent, as a feature."""
    return Context(
        user=asked.user, session=asked.session, locale=asked.language, feature=asked.intent if label else None
    )


def answered(before: Request, id: str, name: str, arguments: str, result: Mapping[str, Any]) -> Request:
    """The request that goes on after a tool call, with the tool's answer."""
    call = Message("assistant", (ToolUse(id, name, arguments),))
    outcome = Message("tool", (ToolResult(id, (Text(json.dumps(result, ensure_ascii=False)),)),))
    fields = {field: getattr(before, field) for field in Request.__struct_fields__}
    fields["messages"] = (*before.messages, call, outcome)
    return Request(**fields)
