"""What Anthropic's API and Bedrock's InvokeModel refuse of a messages body that the clients' types allow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hapenny.protocols.rules import attribution, claude_on_bedrock, property_keys
from hapenny.protocols.rules.common import breach, cache_points, calls_and_results, ends_in_space, is_blank
from hapenny.protocols.rules.schemas import refused_keyword, with_composition
from hapenny.protocols.rules.subject import Subject
from hapenny.protocols.rules.table import INVOKE, Breach

USER = 256
"""Letters of `metadata.user_id`."""
MEDIA = ("image/jpeg", "image/png", "image/gif", "image/webp")
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def check(body: dict[str, Any], subject: Subject) -> Iterator[Breach]:
    """The rules that a messages `body` for `subject` breaks (`subject.service`: anthropic or invoke)."""
    service = subject.service
    messages = body.get("messages") or []
    tools = body.get("tools") or []
    system = body.get("system")
    if isinstance(system, list):
        for n, block in enumerate(system):
            if block.get("type") == "text" and is_blank(block.get("text")):
                yield breach("blank_text", service, part=f"system.{n}")
    texts = [system] if isinstance(system, str) else [block.get("text") for block in system or ()]
    if service == INVOKE and any(attribution.reserved(text) for text in texts):
        yield breach("reserved_words", service)
    yield from _turns(messages, subject)
    yield from _history(messages, body, subject)
    yield from _tools(tools, body, subject)
    yield from _parameters(body, subject)
    parts = [tools, system if isinstance(system, list) else [], *map(_content, messages)]
    points = [_ttl(block) for part in parts for block in part]
    if "cache_control" in body:
        points.append(_ttl(body))
    yield from cache_points(service, points, subject)
    if service == INVOKE:
        yield from claude_on_bedrock.check(body)


def _content(turn: dict[str, Any]) -> list[Any]:
    content = turn.get("content")
    return content if isinstance(content, list) else []


def _ttl(block: dict[str, Any]) -> str:
    control = block.get("cache_control")
    return str(control.get("ttl") or "5m") if isinstance(control, dict) else ""


def _turns(messages: list[Any], subject: Subject) -> Iterator[Breach]:
    service = subject.service
    if messages and messages[0].get("role") == "assistant" and service == INVOKE:
        yield breach("first_turn", service)
    final = len(messages) - 1
    for i, turn in enumerate(messages):
        content = turn.get("content")
        if not content and not (i == final and turn.get("role") == "assistant"):
            yield breach("empty_turn", service, path=f"messages.{i}")
        elif isinstance(content, str) and is_blank(content):
            yield breach("blank_text", service, part="messages")
        for j, block in enumerate(_content(turn)):
            yield from _block(block, f"messages.{i}.content.{j}", subject)
    silent = (_thinks_alone(turn) for turn in messages[:-1] if turn.get("role") == "assistant")
    if service == INVOKE and not subject.prefills and any(silent):
        yield breach("thinking_alone", service)
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant" or not last.get("content"):
        return
    content = last["content"]
    text = content if isinstance(content, str) else content[-1].get("text")
    if not subject.prefills:
        yield breach("prefill", service)
    elif isinstance(text, str) and ends_in_space(text):
        yield breach("trailing_space", service)


def _thinks_alone(turn: dict[str, Any]) -> bool:
    content = _content(turn)
    return bool(content) and all(block.get("type") in ("thinking", "redacted_thinking") for block in content)


def _block(block: dict[str, Any], path: str, subject: Subject) -> Iterator[Breach]:
    service = subject.service
    kind = block.get("type")
    if kind == "text":
        if is_blank(block.get("text")):
            yield breach("blank_text", service, part="messages")
    elif kind == "image":
        source = block.get("source") or {}
        if source.get("type") == "base64" and source.get("media_type") not in MEDIA:
            yield breach("image_media", service, path=path)
        elif source.get("type") in ("url", "file") and service == INVOKE:
            yield breach("image_by_url", service, path=path)
    elif kind == "document" and service == INVOKE and (block.get("source") or {}).get("type") in ("url", "file"):
        yield breach("image_by_url", service, path=path)
    elif kind == "tool_use":
        if not _ID.fullmatch(str(block.get("id"))):
            yield breach("tool_ids", service, path=f"{path}.tool_use.id")
        if not _NAME.fullmatch(str(block.get("name"))):
            yield breach("tool_names", service, path=f"{path}.tool_use.name")
    elif kind == "tool_result":
        if not _ID.fullmatch(str(block.get("tool_use_id"))):
            yield breach("tool_ids", service, path=f"{path}.tool_result.tool_use_id")
        said = block.get("content")
        if not said and block.get("is_error"):
            yield breach("failed_result_empty", service, path=path)
        if isinstance(said, str) and said.isspace():
            yield breach("blank_text", service, part="messages")
        for k, inner in enumerate(_content(block)):
            yield from _block(inner, f"{path}.tool_result.content.{k}", subject)


def _history(messages: list[Any], body: dict[str, Any], subject: Subject) -> Iterator[Breach]:
    service = subject.service
    turns: list[tuple[list[str], list[str]]] = []
    seen: set[str] = set()
    before = ""
    for i, turn in enumerate(messages):
        if turn.get("role") == "system":
            continue
        uses = [str(block.get("id")) for block in _content(turn) if block.get("type") == "tool_use"]
        results = [str(block.get("tool_use_id")) for block in _content(turn) if block.get("type") == "tool_result"]
        if len(set(uses)) < len(uses) or seen.intersection(uses):
            yield breach("tool_ids_unique", service, path=f"messages.{i}")
        seen.update(uses)
        if turn.get("role") == before and turns:  # turns of one role in a row are one
            turns[-1] = (turns[-1][0] + uses, turns[-1][1] + results)
        else:
            turns.append((uses, results))
        before = str(turn.get("role"))
    yield from calls_and_results(service, turns)
    if (body.get("thinking") or {}).get("type") != "enabled":
        return
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        yield breach("thinking_forced", service)
    for i in range(len(messages) - 1, -1, -1):
        content = _content(messages[i])
        if messages[i].get("role") == "assistant":
            thought = bool(content) and content[0].get("type") in ("thinking", "redacted_thinking")
            if any(block.get("type") == "tool_use" for block in content) and not thought:
                yield breach("thinking_history", service, path=f"messages.{i}")
            break
        if not any(block.get("type") == "tool_result" for block in content):
            break


def _tools(tools: list[Any], body: dict[str, Any], subject: Subject) -> Iterator[Breach]:
    service = subject.service
    names: set[str] = set()
    for n, tool in enumerate(tools):
        name = str(tool.get("name"))
        if name in names:
            yield breach("tool_names_unique", service)
        names.add(name)
        if "input_schema" not in tool:
            continue
        if not _NAME.fullmatch(name):
            yield breach("tool_names", service, path=f"tools.{n}.custom.name")
        schema = tool["input_schema"]
        if not isinstance(schema, dict) or schema.get("type") != "object":
            yield breach("tool_schema", service, path=f"tools.{n}")
        elif with_composition(schema):
            yield breach("tool_schema_top", service, path=f"tools.{n}")
        elif property_keys.refused(schema):
            yield breach("property_keys", service, path=f"tools.{n}")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool") and not subject.forces_tools:
        yield breach("tool_choice", service)


def _parameters(body: dict[str, Any], subject: Subject) -> Iterator[Breach]:
    service = subject.service
    if any(is_blank(stop) for stop in body.get("stop_sequences") or ()):
        yield breach("stop_blank", service)
    user = (body.get("metadata") or {}).get("user_id")
    if isinstance(user, str) and len(user) > USER:
        yield breach("user_id", service)
    form = (body.get("output_config") or {}).get("format")
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        return
    if not subject.structured:
        yield breach("schema_unsupported", service, value=subject.model)
        return
    wrong = refused_keyword(form.get("schema"))
    if wrong is not None:
        name, values = wrong
        yield breach(name, service, **values)
