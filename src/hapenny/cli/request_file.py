"""A request in a file, in whatever dialect it is."""

from __future__ import annotations

import click
import msgspec

from hapenny.core.errors import Failure
from hapenny.core.messages import Request
from hapenny.protocols.registry import CODECS


def guess(body: bytes) -> str:
    """The dialect of a request body, by the fields only it has."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise click.ClickException(f"not a JSON object: {error}") from None
    if "inferenceConfig" in fields or "modelId" in fields or "toolConfig" in fields:
        return "bedrock"
    messages = fields.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else {}
    content = first.get("content") if isinstance(first, dict) else None
    if isinstance(content, list) and content and isinstance(content[0], dict) and "type" not in content[0]:
        return "bedrock"
    if "anthropic_version" in fields:
        return "invoke"
    if "prompt" in fields and "messages" not in fields:
        return "completions"
    if "input" in fields and "messages" not in fields:
        return "responses"
    return "anthropic" if "system" in fields or b'"tool_use"' in body or b'"input_schema"' in body else "openai"


def read(body: bytes, protocol: str | None, model: str | None) -> Request:
    """A request body of any dialect. Raises `ClickException`."""
    dialect = protocol or guess(body)
    named = (model or "unknown") if dialect in ("bedrock", "invoke") else None
    try:
        return CODECS[dialect].decode_request(body, model=named, stream=None, headers={})
    except Failure as failure:
        fix = f" Fix: {failure.fix}" if failure.fix else ""
        raise click.ClickException(f"not a {dialect} request: {failure.message}{fix}") from None
