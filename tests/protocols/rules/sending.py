"""What leaves for a service, for tests: the composed body and the notes."""

from __future__ import annotations

import json

from hapenny.catalog import resolve
from hapenny.core.messages import Message, Text, Tool, ToolResult, ToolUse
from hapenny.protocols import codec
from hapenny.protocols.rules import HOME, fit
from tests.protocols.samples import ask

SONNET = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS = "anthropic.claude-opus-4-6-v1"
NOVA = "amazon.nova-pro-v1:0"
PNG = b"\x89PNG\r\n\x1a\n0000"
DIALECT = {service: protocol for protocol, service in HOME.items()}


def sent(service, model, protocol="openai", **fields):
    """The body that leaves, and the notes in the answer's headers."""
    fitted = fit(ask(protocol, **fields), service, model, resolve(model))
    wire = codec(DIALECT[service]).encode_request(fitted.request, model=model)
    return json.loads(wire.body), "; ".join(fitted.notes)


def user(*blocks):
    return Message("user", tuple(Text(block) if isinstance(block, str) else block for block in blocks))


def said(*blocks):
    return Message("assistant", tuple(Text(block) if isinstance(block, str) else block for block in blocks))


def history(id_="c1", name="look_up", result=("4 left",)):
    answer = ToolResult(id_, tuple(Text(one) for one in result))
    return user("stock?"), said(ToolUse(id_, name)), Message("tool", (answer,))


LOOK_UP = Tool("look_up", "d", {"type": "object", "properties": {}})
