"""Tool calls and their results in a conversation, as services want them: in pairs, in order, and with their tools."""

from __future__ import annotations

from collections import Counter
from typing import TypeGuard

from msgspec.structs import replace

from hapenny.core.messages import (
    Block,
    Data,
    Document,
    Image,
    Message,
    Request,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
)
from hapenny.protocols.fields import encode, is_object
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.unchanged import mapped, same

MISSING = "(no result was given)"
NO_CALLS = "(Answer in words; do not call a tool now.)"
STUB = "A tool that was used earlier in this conversation. It cannot be called now."
FAILED = "Tool error: "
_NO_ARGUMENTS = frozenset(("", "{}", "null"))


def paired(draft: Draft) -> None:
    """Each call has its result in the next turn, each result its call in the turn before, results first."""
    messages = draft.request.messages
    out: list[Message] = []
    missing = strangers = 0
    i = 0
    while i < len(messages):
        message = messages[i]
        i += 1
        out.append(message)
        if message.role == "assistant":
            while i < len(messages) and messages[i].role == "assistant":  # turns of one role in a row are one turn
                out[-1] = replace(out[-1], content=out[-1].content + messages[i].content)
                i += 1
        run: list[Message] = []
        while i < len(messages) and messages[i].role != "assistant":
            run.append(messages[i])
            i += 1
        calls = _last_calls(out)
        if message.role != "assistant":
            run.insert(0, out.pop())
            calls = _last_calls(out)
        answered = Counter([block.id for turn in run for block in _results(turn)])
        unanswered = Counter(calls) - answered
        lacking = tuple([ToolResult(id_, (Text(MISSING),), True) for id_ in unanswered.elements()])
        missing += len(lacking)
        run, odd = _without_strangers(run, Counter(calls))
        strangers += odd
        if lacking or _late(run):
            results = tuple([block for turn in run for block in turn.content if isinstance(block, ToolResult)])
            rest = [_without_results(turn) for turn in run]
            run = [Message("tool", results + lacking), *[turn for turn in rest if turn.content]]
        out += run
    if missing:
        draft.note(f"tool_results={missing} missing, told to the model as such")
    if strangers:
        draft.note(f"tool_results={strangers} without their call, sent as text")
    if not same(out, messages):
        draft.change(messages=tuple(out))


def _uses(message: Message) -> list[ToolUse]:
    return [block for block in message.content if isinstance(block, ToolUse)]


def _results(message: Message) -> list[ToolResult]:
    return [block for block in message.content if isinstance(block, ToolResult)]


def _last_calls(messages: list[Message]) -> list[str]:
    """The ids called in the last turn, if it is the assistant's."""
    last = messages[-1] if messages else None
    return [block.id for block in _uses(last)] if last is not None and last.role == "assistant" else []


def _late(run: list[Message]) -> bool:
    """Whether a result stands behind something else."""
    other = False
    for message in run:
        if not message.content:
            other = True
        for block in message.content:
            if not isinstance(block, ToolResult):
                other = True
            elif other:
                return True
    return False


def _without_results(message: Message) -> Message:
    kept = tuple([block for block in message.content if not isinstance(block, ToolResult)])
    return message if len(kept) == len(message.content) else replace(message, content=kept)


def _without_strangers(run: list[Message], calls: Counter[str]) -> tuple[list[Message], int]:
    """The turns with results as text that no call (or no further one) asked for, and how many there were."""
    out: list[Message] = []
    dropped = 0
    for message in run:
        content: list[Block] = []
        for block in message.content:
            if isinstance(block, ToolResult) and calls[block.id] > 0:
                calls[block.id] -= 1
                content.append(block)
            elif isinstance(block, ToolResult):
                dropped += 1
                content += [Text("Result of an earlier tool call:"), *map(_as_text, block.content)]
            else:
                content.append(block)
        if not same(content, message.content):
            role = (
                "user"
                if message.role == "tool" and not any(isinstance(b, ToolResult) for b in content)
                else message.role
            )
            message = replace(message, role=role, content=tuple(content))
        out.append(message)
    return out, dropped


def _as_text(block: Block) -> Block:
    """A JSON value, which stands in tool results alone, as text."""
    return Text(encode(block.value).decode(), block.checkpoint) if isinstance(block, Data) else block


def with_tools(draft: Draft) -> None:
    """Converse takes tool calls in the history only beside tools, and has no word that forbids calls."""
    request = draft.request
    names = [block.name for turn in request.messages for block in _uses(turn)]
    if not names or draft.subject.service != "converse":
        return
    if draft.subject.has("tools") is False:
        draft.change(messages=tuple([_told(turn) for turn in request.messages]))
        draft.note("tool_history=sent as text: the model calls no tools")
        return
    forbidden = request.tool_choice is not None and request.tool_choice.kind == "none"
    if request.tools and not forbidden:
        return
    if not request.tools:
        draft.change(
            tools=tuple([Tool(name, STUB, {"type": "object", "properties": {}}) for name in dict.fromkeys(names)])
        )
        draft.note("tools=stubs of those in the history: Bedrock wants them there")
    draft.change(tool_choice=None)
    draft.say(NO_CALLS)
    draft.note("tool_choice=none asked for in words: Bedrock has no field for it")


def readable(draft: Draft) -> None:
    """Arguments of former calls that are no JSON object (an answer that was cut, a small model) stand under
    `invalid_arguments`, as answers tell them: the services take objects alone, and the conversation must go on."""
    broken = 0

    def one(block: Block) -> Block:
        nonlocal broken
        if type(block) is not ToolUse or block.arguments.strip() in _NO_ARGUMENTS or is_object(block.arguments):
            return block
        broken += 1
        return replace(block, arguments=encode({"invalid_arguments": block.arguments}).decode())

    messages = mapped(draft.request.messages, one)
    if broken:
        draft.change(messages=messages)
        draft.note(f"messages=arguments of {broken} calls are no JSON object and sent as invalid_arguments")


def _told(message: Message) -> Message:
    """A turn whose tool calls and results are text."""
    if not _uses(message) and not _results(message):
        return message
    content: list[Block] = []
    for block in message.content:
        if isinstance(block, ToolUse):
            content.append(Text(f"Called the tool {block.name} with {block.arguments or '{}'}"))
        elif isinstance(block, ToolResult):
            content += [Text(FAILED if block.error else "The tool answered:"), *map(_as_text, block.content)]
        elif not isinstance(block, Thinking):
            content.append(block)
    return replace(message, role="user" if message.role == "tool" else message.role, content=tuple(content))


def without_broken_thinking(draft: Draft) -> None:
    """Claude that thinks within a budget wants the thoughts behind its last calls; without them it thinks no more."""
    p = draft.request.parameters
    if p.thinking is None or p.thinking.kind == "disabled" or draft.subject.maker != "claude":
        return
    choice = draft.request.tool_choice
    if draft.foreign and choice is not None and choice.kind in ("any", "tool") and draft.request.tools:
        draft.change(parameters=replace(p, thinking=None))
        draft.note("thinking=left out: a tool must be called")
        return
    if p.thinking.kind != "enabled":
        return
    run: list[Message] = []
    answered = False
    for message in reversed(draft.request.messages):  # turns of one role in a row are one turn
        if message.role == "assistant":
            run.insert(0, message)
        elif run:
            break
        else:
            answered = answered or bool(_results(message))
    if not answered:
        return
    blocks = [block for message in run for block in message.content]
    if any(isinstance(block, ToolUse) for block in blocks) and not isinstance(blocks[0], Thinking):
        draft.change(parameters=replace(p, thinking=None))
        draft.note("thinking=left out: the last tool calls came without their thoughts")


def for_chat(draft: Draft) -> None:
    """Tool results as chat completions say them: text alone, failures said in it, pictures in a turn of the user."""
    request = draft.request
    out = []
    moved = 0
    for message in request.messages:
        if not any(block.error or _shows(block) for block in _results(message)):
            out.append(message)
            continue
        content: list[Block] = []
        shown: list[Block] = []
        for block in message.content:
            if not isinstance(block, ToolResult):
                content.append(block)
                continue
            said, pictures = _chat_result(block)
            content.append(said)
            if pictures:
                moved += len(pictures)
                shown += [Text(f"What the tool call {block.id} returned:"), *pictures]
        out.append(replace(message, role="user" if shown else message.role, content=(*content, *shown)))
    if not same(out, request.messages):
        draft.change(messages=tuple(out))
    if moved:
        draft.note(f"tool_results={moved} pictures or documents sent in a user turn behind the result")


def as_objects(draft: Draft) -> None:
    """JSON in tool results as Converse takes it: objects; other values (a list of records) are text, as they read."""
    out, moved = [], 0
    for message in draft.request.messages:
        content: list[Block] = []
        for block in message.content:
            if isinstance(block, ToolResult) and (odd := sum(map(_no_object, block.content))):
                moved += odd
                inner = [_in_text(one) if _no_object(one) else one for one in block.content]
                block = replace(block, content=tuple(inner))
            content.append(block)
        out.append(replace(message, content=tuple(content)) if moved else message)
    if moved:
        draft.change(messages=tuple(out))
        draft.note(f"tool_results={moved} JSON values that are no objects sent as text")


def _no_object(block: Block) -> TypeGuard[Data]:
    return isinstance(block, Data) and not isinstance(block.value, dict)


def _in_text(block: Data) -> Text:
    return Text(encode(block.value).decode(), block.checkpoint)


def _shows(block: ToolResult) -> bool:
    return any(isinstance(inner, Image | Document) for inner in block.content)


def _chat_result(block: ToolResult) -> tuple[ToolResult, list[Block]]:
    texts = [inner for inner in block.content if not isinstance(inner, Image | Document)]
    shown: list[Block] = [inner for inner in block.content if isinstance(inner, Image | Document)]
    if shown and not texts:
        texts = [Text("(it follows in the next turn)")]
    if block.error:
        first = texts[0] if texts else Text("")
        if isinstance(first, Data):
            first = _in_text(first)
        if isinstance(first, Text):
            texts = [replace(first, text=FAILED + first.text), *texts[1:]]
        else:
            texts = [Text(FAILED), *texts]
    return replace(block, content=tuple(texts)), shown


def called_tools(request: Request) -> bool:
    """Whether the conversation holds tool calls or their results."""
    return any(isinstance(block, ToolUse | ToolResult) for turn in request.messages for block in turn.content)
