"""What Converse refuses of a body that botocore's model allows.

One walk over the turns collects what rules ask of the request as a whole (documents, tool calls, cache points); blocks
are looked at on the way. Paths are Converse's own, for its own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from hapenny.protocols.rules import attribution, property_keys
from hapenny.protocols.rules.common import (
    breach,
    cache_points,
    calls_and_results,
    ends_in_space,
    is_blank,
    stop_sequences,
)
from hapenny.protocols.rules.images import looks_like
from hapenny.protocols.rules.schemas import refused_keyword, with_composition
from hapenny.protocols.rules.subject import Subject
from hapenny.protocols.rules.table import CONVERSE, Breach

DOCUMENTS = 5
"""Documents a request may hold."""
IMAGES = 20
"""Images a message may hold, by the API reference."""
IMAGES_OF_CLAUDE_5 = 100
"""Images a request may hold for Claude from 5 on: 29 were taken (accelerated-intelligent-document-processing-on-aws
issue 994, 2026-09-18), and the limit of Claude was raised to 100 (its issue 147, 2025-12-01)."""
UNSIGNED = frozenset(("gpt", "nova"))
"""Makers whose models take their own reasoning back, which nobody signs: "This model doesn't support the
reasoningContent.reasoningText.signature field" (github.com/aws-samples/bedrock-engineer/issues/239, 2025-09-18)."""
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9,}")


def image_limit(subject: Subject) -> int:
    """How many images one message may hold."""
    return IMAGES_OF_CLAUDE_5 if subject.maker == "claude" and subject.version >= (5, 0) else IMAGES


def check(body: dict[str, Any], subject: Subject, stream: bool = False) -> Iterator[Breach]:
    """The rules that a Converse `body` for `subject` breaks, in no particular order."""
    if stream and "toolConfig" in body and not subject.streams_tools:
        yield breach("tools_in_stream", CONVERSE)
    messages = body.get("messages") or []
    system = body.get("system") or []
    config = body.get("toolConfig") or {}
    tools = config.get("tools") or []
    yield from _turns(messages, subject)
    yield from _blocks(messages, system, subject)
    yield from _documents(messages, subject)
    yield from _tools(messages, tools, config, "toolConfig" in body, subject)
    yield from _history(messages, body, subject)
    yield from _parameters(body, subject)
    points = [tools, system, *[turn.get("content") or [] for turn in messages]]
    yield from cache_points(CONVERSE, [_point(block) for part in points for block in part], subject)
    if subject.maker == "nova":
        for n, tool in enumerate(tools):
            if "cachePoint" in tool:
                yield breach("cache_place", CONVERSE, value=n)
                break
        late = (
            f"{i}/content/{j}"
            for i, turn in enumerate(messages)
            for j, block in enumerate(turn.get("content") or [])
            if j and "cachePoint" in block and "text" not in turn["content"][j - 1]
        )
        if (at := next(late, None)) is not None:
            yield breach("cache_behind", CONVERSE, value=at)
    if subject.has("system") is False and any("text" in block for block in system):
        yield breach("system_prompt", CONVERSE)
    if subject.maker == "claude" and any(attribution.reserved(block.get("text")) for block in system):
        yield breach("reserved_words", CONVERSE)
    if not subject.mixes_turns:
        yield from _mixed(messages)


def _point(block: dict[str, Any]) -> str:
    point = block.get("cachePoint")
    return "" if point is None else str(point.get("ttl") or "5m")


def _turns(messages: list[Any], subject: Subject) -> Iterator[Breach]:
    if not messages:
        return
    if messages[0].get("role") == "assistant":
        yield breach("first_turn", CONVERSE)
    before = ""
    for i, turn in enumerate(messages):
        role = turn.get("role")
        if role == before and role != "system":
            yield breach("turns_alternate", CONVERSE)
        before = role
        if not turn.get("content"):
            yield breach("empty_turn", CONVERSE, path=f"messages.{i}")
    silent = any(turn.get("role") == "assistant" and _thinks_alone(turn.get("content")) for turn in messages[:-1])
    if silent and not subject.prefills:
        yield breach("thinking_alone", CONVERSE)
    last = messages[-1]
    if last.get("role") == "assistant" and last.get("content"):
        text = last["content"][-1].get("text")
        if not subject.prefills:
            yield breach("prefill", CONVERSE)
        elif subject.maker == "claude" and isinstance(text, str) and ends_in_space(text):
            yield breach("trailing_space", CONVERSE)


def _mixed(messages: list[Any]) -> Iterator[Breach]:
    for i, turn in enumerate(messages):
        content = turn.get("content") or ()
        for key, name in (("toolUse", "tool use"), ("toolResult", "tool result")):
            if any(key in block for block in content) and not all(key in block for block in content):
                yield breach("mixed_turn", CONVERSE, path=f"messages.{i}", value=name)


def _blocks(messages: list[Any], system: list[Any], subject: Subject) -> Iterator[Breach]:
    for n, block in enumerate(system):
        if "text" in block and is_blank(block["text"]):
            yield breach("blank_text", CONVERSE, path=f"system.{n}")
    for i, turn in enumerate(messages):
        for j, block in enumerate(turn.get("content") or ()):
            path = f"messages.{i}.content.{j}"
            if "text" in block:
                if is_blank(block["text"]):
                    yield breach("blank_text", CONVERSE, path=path)
            elif "image" in block:
                yield from _image(block["image"], path, subject)
            elif "reasoningContent" in block:
                yield from _reasoning(block["reasoningContent"], subject)
            elif "toolResult" in block:
                result = block["toolResult"]
                inner = result.get("content") or ()
                if not inner and result.get("status") == "error":
                    yield breach("failed_result_empty", CONVERSE, path=path)
                for k, part in enumerate(inner):
                    if "text" in part and is_blank(part["text"]):
                        yield breach("blank_text", CONVERSE, path=f"{path}.toolResult.content.{k}")
                    elif "image" in part:
                        yield from _image(part["image"], f"{path}.toolResult.content.{k}", subject)
                    elif "json" in part and not isinstance(part["json"], dict):
                        yield breach("result_json", CONVERSE, path=f"{path}.toolResult.content.{k}.json")


def _thinks_alone(content: Any) -> bool:
    return bool(content) and all("reasoningContent" in block for block in content)


def _reasoning(thought: dict[str, Any], subject: Subject) -> Iterator[Breach]:
    if subject.maker in ("claude", ""):
        return
    if subject.maker not in UNSIGNED:
        yield breach("thinking_unsupported", CONVERSE)
    elif "signature" in (thought.get("reasoningText") or {}):
        yield breach("thinking_unsigned", CONVERSE)


def _image(image: dict[str, Any], path: str, subject: Subject) -> Iterator[Breach]:
    data = image.get("source", {}).get("bytes")
    if subject.maker == "claude" and isinstance(data, str):
        seen = looks_like(data)
        stated = f"image/{image.get('format')}"
        if seen is not None and seen != stated:
            yield breach("image_media", CONVERSE, path=path, value=stated, other=seen)


def _documents(messages: list[Any], subject: Subject) -> Iterator[Breach]:
    names: list[str] = []
    for turn in messages:
        content = turn.get("content") or []
        documents = [block["document"] for block in content if "document" in block]
        inside = [part for block in content if "toolResult" in block for part in block["toolResult"].get("content", ())]
        if documents and not any("text" in block for block in content):
            yield breach("document_text", CONVERSE)
        documents += [part["document"] for part in inside if "document" in part]
        shown = [block["image"] for block in [*content, *inside] if "image" in block]
        for kind, held in (("image", shown), ("document", documents)):
            if subject.maker == "claude" and any("s3Location" in one.get("source", {}) for one in held):
                yield breach("media_at_s3", CONVERSE, value=kind)
        for document in documents:
            names.append(str(document.get("name")))
            if "text" in document.get("source", {}) and not (document.get("citations") or {}).get("enabled"):
                yield breach("document_source", CONVERSE)
        limit = image_limit(subject)
        if sum("image" in block for block in [*content, *inside]) > limit:
            yield breach("image_count", CONVERSE, limit=limit)
    if len(names) != len(set(names)):
        yield breach("document_names", CONVERSE)
    if len(names) > DOCUMENTS:
        yield breach("document_count", CONVERSE)


def _tools(
    messages: list[Any], tools: list[Any], config: dict[str, Any], configured: bool, subject: Subject
) -> Iterator[Breach]:
    used = any("toolUse" in b or "toolResult" in b for turn in messages for b in turn.get("content") or ())
    if used and not configured:
        yield breach("tool_history", CONVERSE)
    names: set[str] = set()
    for n, tool in enumerate(tools):
        spec = tool.get("toolSpec")
        if spec is None:
            continue
        name, path = str(spec.get("name")), f"toolConfig.tools.{n}"
        if not _NAME.fullmatch(name):
            yield breach("tool_names", CONVERSE, value=name[:80], path=f"{path}.member.toolSpec.name")
        if name in names:
            yield breach("tool_names_unique", CONVERSE)
        names.add(name)
        schema = spec.get("inputSchema", {}).get("json")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            yield breach("tool_schema", CONVERSE, path=path)
        elif subject.maker == "claude" and with_composition(schema):
            yield breach("tool_schema_top", CONVERSE, path=f"tools.{n}")
        elif subject.maker == "claude" and property_keys.refused(schema):
            yield breach("property_keys", CONVERSE, path=f"tools.{n}")
    if any("toolSpec" in tool for tool in tools) and subject.has("tools") is False:
        yield breach("tools_unsupported", CONVERSE)
    choice = config.get("toolChoice") or {}
    forced = next((kind for kind in ("any", "tool") if kind in choice), None)
    if forced is not None and not subject.forces_tools:
        yield breach("tool_choice", CONVERSE, value=forced)


def _history(messages: list[Any], body: dict[str, Any], subject: Subject) -> Iterator[Breach]:
    turns = []
    for i, turn in enumerate(messages):
        uses, results = [], []
        for j, block in enumerate(turn.get("content") or ()):
            if "toolUse" in block:
                use = block["toolUse"]
                uses.append(str(use.get("toolUseId")))
                yield from _id(uses[-1], f"messages.{i}.member.content.{j}.member.toolUse.toolUseId", subject)
                if not _NAME.fullmatch(str(use.get("name"))):
                    path = f"messages.{i}.member.content.{j}.member.toolUse.name"
                    yield breach("tool_names", CONVERSE, value=str(use.get("name"))[:80], path=path)
            elif "toolResult" in block:
                results.append(str(block["toolResult"].get("toolUseId")))
                yield from _id(results[-1], f"messages.{i}.member.content.{j}.member.toolResult.toolUseId", subject)
        turns.append((uses, results))
    yield from calls_and_results(CONVERSE, turns)
    thinking = (body.get("additionalModelRequestFields") or {}).get("thinking") or {}
    if subject.maker != "claude" or not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return
    choice = (body.get("toolConfig") or {}).get("toolChoice") or {}
    if "any" in choice or "tool" in choice:
        yield breach("thinking_forced", CONVERSE)
    for i in range(len(messages) - 1, -1, -1):
        content = messages[i].get("content") or []
        if messages[i].get("role") == "assistant":
            if any("toolUse" in block for block in content) and "reasoningContent" not in content[0]:
                yield breach("thinking_history", CONVERSE, path=f"messages.{i}")
            break
        if not any("toolResult" in block for block in content):
            break


def _id(value: str, path: str, subject: Subject) -> Iterator[Breach]:
    if not _ID.fullmatch(value):
        yield breach("tool_ids", CONVERSE, value=value[:80], path=path)
    elif subject.maker == "mistral" and not _SHORT_ID.fullmatch(re.sub("[_-]", "", value)):
        yield breach("tool_ids_of_mistral", CONVERSE, value=value)


def _parameters(body: dict[str, Any], subject: Subject) -> Iterator[Breach]:
    tier = (body.get("serviceTier") or {}).get("type")
    if tier in ("flex", "priority") and subject.card is not None and not subject.card.sells(tier):
        yield breach("service_tier", CONVERSE)
    stops = (body.get("inferenceConfig") or {}).get("stopSequences") or ()
    if subject.maker == "claude" and any(is_blank(stop) for stop in stops):
        yield breach("stop_blank", CONVERSE)
    yield from stop_sequences(CONVERSE, list(stops), subject)
    form = (body.get("outputConfig") or {}).get("textFormat")
    if form is None:
        return
    if not subject.structured:
        yield breach("schema_unsupported", CONVERSE)
        return
    if subject.maker != "claude":
        return
    try:
        schema = msgspec.json.decode(form["structure"]["jsonSchema"]["schema"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return  # botocore's model and the service's own parser have words for it
    wrong = refused_keyword(schema)
    if wrong is not None:
        name, values = wrong
        yield breach(name, CONVERSE, **values)
