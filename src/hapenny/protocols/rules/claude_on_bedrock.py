"""What Bedrock's InvokeModel takes of Anthropic's dialect: a dated table of betas, fields and tools.

The body's form is the same, the service is another one: it answers 400 to a beta or a field it does not know. What is
not in the table is left out, with a note. As of 2026-09-20, from: BerriAI/litellm
`anthropic_beta_headers_config.json` (section bedrock; PR 19877), docs.aws.amazon.com/bedrock (Anthropic Claude tool
use; request and response of the messages API), anthropics/claude-code issues 49548, 31033, 32820 (fields).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from hapenny.core.messages import Block, Message, Request, Thinking, Tool, ToolResult
from hapenny.protocols.rules.common import breach
from hapenny.protocols.rules.subject import Subject
from hapenny.protocols.rules.table import INVOKE, Breach
from hapenny.protocols.rules.turns import IN_PLACE, in_place
from hapenny.protocols.rules.unchanged import same

DATE = "2026-09-20"
BETAS = {
    "advanced-tool-use-2025-11-20": "tool-search-tool-2025-10-19",
    "claude-code-20250219": "claude-code-20250219",
    "compact-2026-01-12": "compact-2026-01-12",
    "computer-use-2024-10-22": "computer-use-2024-10-22",
    "computer-use-2025-01-24": "computer-use-2025-01-24",
    "computer-use-2025-11-24": "computer-use-2025-11-24",
    "context-1m-2025-08-07": "context-1m-2025-08-07",
    "context-management-2025-06-27": "context-management-2025-06-27",
    "dangerous-tool-use-2026-09-03": "dangerous-tool-use-2026-09-03",
    "effort-2025-11-24": "effort-2025-11-24",
    "fine-grained-tool-streaming-2025-05-14": "fine-grained-tool-streaming-2025-05-14",
    "interleaved-thinking-2025-05-14": "interleaved-thinking-2025-05-14",
    "mid-conversation-output-config-2026-07-01": "mid-conversation-output-config-2026-07-01",
    "mid-conversation-tool-changes-2026-07-01": "mid-conversation-tool-changes-2026-07-01",
    "thinking-binding-controls-2026-08-01": "thinking-binding-controls-2026-08-01",
    "thinking-display-updates-2026-08-18": "thinking-display-updates-2026-08-18",
    "tool-search-tool-2025-10-19": "tool-search-tool-2025-10-19",
}
"""Betas that are taken, and the name Bedrock has for them."""
FIELDS = frozenset(
    (
        "anthropic_version", "anthropic_beta", "max_tokens", "messages", "system", "temperature", "top_p", "top_k",
        "tools", "tool_choice", "stop_sequences", "thinking", "output_config", "metadata", "context_management",
    )
)  # fmt: skip
MANAGES = frozenset(("context-management-2025-06-27", "compact-2026-01-12"))
"""Betas one of which `context_management` needs."""
EFFORT = "effort-2025-11-24"
SEARCHES = "tool-search-tool-2025-10-19"
TOOL_FIELDS = frozenset(("type", "name", "description", "input_schema", "strict", "cache_control"))
"""Fields of a tool of the client's own; `defer_loading` besides them, where a tool-search tool can find the tool."""
TOOLS = ("bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_")
"""How the types of Anthropic's tools begin that Bedrock takes."""
_SEARCH = "tool_search_tool_"
_DEFERRED = "defer_loading"


def check(body: dict[str, Any]) -> Iterator[Breach]:
    """What of a body is not in the table."""
    betas = body.get("anthropic_beta") or ()
    if any(beta not in BETAS.values() for beta in betas):
        yield breach("beta", INVOKE)
    for name in body.keys() - FIELDS:
        yield breach("extra_field", INVOKE, path=name)
    if "context_management" in body and not MANAGES.intersection(betas):
        yield breach("extra_field", INVOKE, path="context_management")
    tools = body.get("tools") or ()
    searches = any(str(tool.get("type", "")).startswith(_SEARCH) for tool in tools)
    for n, tool in enumerate(tools):
        kind = tool.get("type", "custom")
        if kind == "custom":
            known = TOOL_FIELDS | {_DEFERRED} if searches and SEARCHES in betas else TOOL_FIELDS
            for name in tool.keys() - known:
                yield breach("extra_field", INVOKE, path=f"tools.{n}.custom.{name}")
        elif not str(kind).startswith(TOOLS):
            yield breach("server_tool", INVOKE, path=f"tools.{n}", value=kind)


def fit(request: Request, subject: Subject, *, cached: bool) -> tuple[Request, list[str]]:
    """A request in Anthropic's dialect as Bedrock takes it, and notes on what was left out or moved. `cached`: the
    prompt holds cache points.

    Raises:
        Failure: it asks for a tool that Bedrock does not run.
    """
    notes: list[str] = []
    dropped: list[str] = []
    betas = _betas(request, subject, notes)
    extras: dict[str, Any] = {}
    for name, value in request.extras.items():
        if name == "anthropic_beta":
            continue
        if name == "context_management" and not MANAGES.intersection(betas):
            dropped.append(name)
        elif name == "output_config":
            kept = {key: inner for key, inner in value.items() if key == "format"}
            dropped += [f"output_config.{key}" for key in value if key not in kept]
            if kept:
                extras[name] = kept
        elif name in FIELDS:
            extras[name] = value
        elif not name.startswith("x-"):
            dropped.append(name)
    if betas:
        extras["anthropic_beta"] = betas
    tools = _tools(request.tools, betas, dropped)
    messages, system = _messages(request, cached, dropped, notes)
    parameters = request.parameters
    thinks = parameters.thinking
    if thinks is not None and thinks.extras:
        kept = {key: value for key, value in thinks.extras.items() if key == "display"}
        dropped += [f"thinking.{key}" for key in thinks.extras if key not in kept]
        parameters = replace(parameters, thinking=replace(thinks, extras=kept))
    choice = request.tool_choice
    if choice is not None and choice.extras:
        dropped += [f"tool_choice.{key}" for key in choice.extras]
        choice = replace(choice, extras={})
    if parameters.service_tier in ("auto", "standard_only"):
        dropped.append("service_tier")
    checkpoint = request.checkpoint
    if checkpoint:
        messages, moved = _marked(messages, checkpoint)
        notes.append("cache_control=moved to the last block" if moved else "cache_control=not sent")
    if dropped:
        notes.append("not sent=" + ",".join(dict.fromkeys(dropped)))
    changed = replace(
        request, extras=extras, tools=tools, tool_choice=choice, messages=messages, system=system,
        parameters=parameters, checkpoint="",
    )  # fmt: skip
    return changed, notes


def _betas(request: Request, subject: Subject, notes: list[str]) -> list[str]:
    asked = request.extras.get("anthropic_beta") or []
    betas = list(dict.fromkeys(BETAS[beta] for beta in asked if beta in BETAS))
    if request.parameters.effort is not None and subject.version == (4, 5) and EFFORT not in betas:
        betas.append(EFFORT)  # Opus 4.5 takes an effort as a beta only
    unknown = [beta for beta in asked if beta not in BETAS]
    if unknown:
        notes.append("betas not sent=" + ",".join(unknown))
    return betas


def _tools(tools: tuple[Tool, ...], betas: list[str], dropped: list[str]) -> tuple[Tool, ...]:
    searches = SEARCHES in betas and any(tool.kind.startswith(_SEARCH) for tool in tools)
    out: list[Tool] = []
    for n, tool in enumerate(tools):
        if tool.kind:
            if not tool.kind.startswith(TOOLS):
                raise breach("server_tool", INVOKE, path=f"tools.{n}", value=tool.kind).failure()
            out.append(tool)
            continue
        kept = {key: value for key, value in tool.extras.items() if key == _DEFERRED and searches}
        dropped += [f"tools.{key}" for key in tool.extras if key not in kept]
        out.append(replace(tool, extras=kept) if len(kept) != len(tool.extras) else tool)
    return tuple(out)


def _messages(
    request: Request, cached: bool, dropped: list[str], notes: list[str]
) -> tuple[tuple[Message, ...], tuple[Block, ...]]:
    """Turns without fields that Bedrock does not know; instructions in mid-conversation join those at the top, or stay
    in their place where the prompt is cached."""
    out: list[Message] = []
    system = [_plain(block, dropped) for block in request.system]
    turns = request.messages
    if cached and any(message.role == "system" for message in turns):
        turns = in_place(turns)
        notes.append(IN_PLACE)
    for message in turns:
        content = tuple([_plain(block, dropped) for block in message.content])
        dropped += [f"messages.{key}" for key in message.extras]
        if message.role == "system":
            system += content
            notes.append("messages.system=moved to the system prompt")
        else:
            out.append(Message(message.role, content, message.name))
    return tuple(out), tuple(system)


def _plain(block: Block, dropped: list[str]) -> Block:
    if not block.extras:
        return _results(block, dropped) if isinstance(block, ToolResult) else block
    if isinstance(block, Thinking):
        return block  # signed: never edited
    dropped += [f"messages.{key}" for key in block.extras]
    changed: Block = replace(block, extras={})
    return _results(changed, dropped) if isinstance(changed, ToolResult) else changed


def _results(block: ToolResult, dropped: list[str]) -> ToolResult:
    content = tuple([_plain(inner, dropped) for inner in block.content])
    return block if same(content, block.content) else replace(block, content=content)


def _marked(messages: tuple[Message, ...], ttl: Any) -> tuple[tuple[Message, ...], bool]:
    """`messages` with a cache point behind the last block that can carry one."""
    for i in range(len(messages) - 1, -1, -1):
        content = messages[i].content
        for j in range(len(content) - 1, -1, -1):
            block = content[j]
            if isinstance(block, Thinking):
                continue
            if not block.checkpoint:
                marked: Block = replace(block, checkpoint=ttl)
                changed = replace(messages[i], content=(*content[:j], marked, *content[j + 1 :]))
                messages = (*messages[:i], changed, *messages[i + 1 :])
            return messages, True
    return messages, False
