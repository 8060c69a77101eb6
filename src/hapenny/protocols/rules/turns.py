"""Turns as Anthropic and Bedrock want them: no blank text, a user first, and who may speak last."""

from __future__ import annotations

from msgspec.structs import replace

from hapenny.core.errors import invalid
from hapenny.core.messages import Block, Message, Text, Thinking, ToolResult, ToolUse
from hapenny.protocols.rules.common import ends_in_space, is_blank
from hapenny.protocols.rules.converse import UNSIGNED
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.unchanged import same

_WANT_THOUGHTS = frozenset(("deepseek", "kimi", "glm", "minimax"))
"""Makers whose own servers want the reasoning behind a call back, unsigned as it came: "reasoning_content is missing in
assistant tool call message" (github.com/tbphp/gpt-load/issues/666, api-docs.deepseek.com, platform.moonshot.ai)."""
EMPTY = "(empty)"
OPENING = "(The assistant speaks first.)"
IN_PLACE = "messages.system=sent as the user's turns, where they stand: the prompt is cached"
CONTINUE = "Continue exactly where your last turn ends, without repeating any of it."


def raised(draft: Draft, *, cached: bool) -> None:
    """Instructions in mid-conversation join those at the top: few models take them where they stand. Where the prompt
    is `cached` they stay in their place, as the user's: a system prompt that grows with each turn would be a new prefix
    (github.com/BerriAI/litellm/issues/32730).

    Raises:
        Failure: instructions hold something that is not text.
    """
    request = draft.request
    told = (message.content for message in request.messages if message.role == "system")
    if not all(isinstance(block, Text) for content in (request.system, *told) for block in content):
        raise invalid(
            "The system prompt holds something that is not text.",
            {"openai": "messages", "responses": "input"}.get(request.protocol, "system"),
            "send it as text, or in a turn of the user",
        )
    if not any(message.role == "system" for message in request.messages):
        return
    if cached:
        draft.change(messages=in_place(request.messages))
        draft.note(IN_PLACE)
        return
    late = [block for message in request.messages if message.role == "system" for block in message.content]
    draft.change(
        system=(*request.system, *late),
        messages=tuple([message for message in request.messages if message.role != "system"]),
    )
    draft.note("messages.system=moved to the system prompt")


def in_place(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Instructions as turns of the user, where they stand, or behind the results of the calls before them."""
    out: list[Message] = []
    waiting: list[Message] = []
    for message in messages:
        if message.role != "system":
            if waiting and not any(isinstance(block, ToolResult) for block in message.content):
                out += waiting
                waiting = []
            out.append(message)
            continue
        blocks = [
            replace(block, text=f"<system>\n{block.text}\n</system>") if isinstance(block, Text) else block
            for block in message.content
            if not (isinstance(block, Text) and is_blank(block.text))
        ]
        if blocks:
            waiting.append(Message("user", tuple(blocks)))
    return (*out, *waiting)


def without_blanks(draft: Draft) -> None:
    """Text that is empty or white space is left out; a turn or result that would be empty says so."""
    request = draft.request
    removed = 0
    out: list[Message] = []
    last = len(request.messages) - 1
    for i, message in enumerate(request.messages):
        if message.content and not any(_blank(block) for block in message.content):
            out.append(message)
            continue
        content, dropped = _filled(message.content, draft)
        removed += dropped
        if not content and (draft.native or (draft.kin and i == last and message.role == "assistant")):
            if i == last and message.role == "assistant" and draft.subject.service == "anthropic":
                out.append(replace(message, content=()))
                continue
            content = (Text(EMPTY),)
        if content:
            out.append(replace(message, content=content))
    system = tuple([block for block in request.system if not (isinstance(block, Text) and is_blank(block.text))])
    removed += len(request.system) - len(system)
    before = any(message.role != "system" for message in request.messages)
    if before and not any(message.role != "system" for message in out):
        out.append(Message("user", (Text(EMPTY),)))
    if not same(out, request.messages) or len(system) != len(request.system):
        draft.change(messages=tuple(out), system=system)
    if removed:
        draft.note(f"blank_text={removed} left out")


def _blank(block: Block) -> bool:
    if isinstance(block, Text):
        return not block.text or block.text.isspace()
    if isinstance(block, ToolResult):
        return not block.content or any(isinstance(inner, Text) and is_blank(inner.text) for inner in block.content)
    return False


def without_strange_thoughts(draft: Draft) -> None:
    """Reasoning goes back to the model that signed it: what comes from another one is left out whole. That includes
    what a model without signatures left in the conversation of a client of Claude's, and what Claude signed before a
    client of Bedrock's went on with another model."""
    request, subject = draft.request, draft.subject
    if not draft.foreign and (subject.service == "openai" or not subject.maker):
        return
    if not draft.foreign and subject.maker != "claude":
        _own_thoughts(draft)
        return
    keeps = subject.service != "openai" and subject.maker in ("claude", "")
    wanted = subject.service == "openai" and subject.maker in _WANT_THOUGHTS
    dropped = 0
    out: list[Message] = []
    for message in request.messages:
        calls = wanted and any(isinstance(block, ToolUse) for block in message.content)
        content = tuple(
            [
                block
                for block in message.content
                if not isinstance(block, Thinking)
                or (keeps and (block.signature or block.redacted is not None))
                or (calls and not block.signature and block.text)
            ]
        )
        dropped += len(message.content) - len(content)
        out.append(message if len(content) == len(message.content) else replace(message, content=content))
    if dropped:
        draft.change(messages=tuple(out))
        draft.note(f"reasoning={dropped} parts left out: another model's")


def _own_thoughts(draft: Draft) -> None:
    """What a client of Bedrock's sends back to a model that is not Claude: unsigned reasoning, where it takes any."""
    keeps = draft.subject.maker in UNSIGNED
    dropped = 0
    out: list[Message] = []
    for message in draft.request.messages:
        content: list[Block] = []
        for block in message.content:
            if isinstance(block, Thinking) and (not keeps or block.signature):
                dropped += 1
            elif isinstance(block, Thinking) and block.signature is not None:
                content.append(replace(block, signature=None))
            else:
                content.append(block)
        out.append(message if same(content, message.content) else replace(message, content=tuple(content)))
    if not same(out, draft.request.messages):
        draft.change(messages=tuple(out))
    if dropped:
        draft.note(f"reasoning={dropped} parts left out: the model takes none of another's")


def spoken(draft: Draft) -> None:
    """A turn of the assistant that is nothing but reasoning says so in a word: models that continue no turn take it for
    one that they are to continue, wherever it stands."""
    messages = draft.request.messages
    silent = [i for i, turn in enumerate(messages) if turn.role == "assistant" and _thinks_alone(turn)]
    if not silent or draft.subject.prefills or draft.subject.service not in ("converse", "invoke"):
        return
    changed = [
        replace(turn, content=(*turn.content, Text(EMPTY))) if i in silent else turn for i, turn in enumerate(messages)
    ]
    draft.change(messages=tuple(changed))
    draft.note(f"reasoning={len(silent)} turns without a word given one: the model continues no turn")


def _thinks_alone(turn: Message) -> bool:
    return bool(turn.content) and all(isinstance(block, Thinking) for block in turn.content)


def _filled(blocks: tuple[Block, ...], draft: Draft) -> tuple[tuple[Block, ...], int]:
    """The blocks without blank ones, and how many were dropped. A cache point moves to the block before."""
    out: list[Block] = []
    dropped = 0
    for block in blocks:
        if isinstance(block, Text) and is_blank(block.text):
            dropped += 1
            if block.checkpoint and out and not isinstance(out[-1], Thinking) and not out[-1].checkpoint:
                out[-1] = replace(out[-1], checkpoint=block.checkpoint)
        elif isinstance(block, ToolResult) and _blank(block):
            content, inside = _filled(block.content, draft)
            dropped += inside
            needs = block.error or (draft.subject.service == "converse" and (inside or not draft.native))
            if not content and needs:
                content = (Text(EMPTY),)
            out.append(replace(block, content=content))
        else:
            out.append(block)
    return tuple(out), dropped


def opened(draft: Draft) -> None:
    """A conversation has a turn of the user, and on Bedrock begins with one."""
    request, service = draft.request, draft.subject.service
    turns = [message for message in request.messages if message.role != "system"]
    if not turns and not request.messages and request.system and not draft.native:
        said = tuple(
            [Text(block.text, block.checkpoint) if isinstance(block, Text) else block for block in request.system]
        )
        draft.change(messages=(Message("user", said),), system=())
        draft.note("messages=the instructions are sent as the user's turn: there is no other")
    elif turns and turns[0].role == "assistant" and service in ("converse", "invoke") and not draft.native:
        draft.change(messages=(Message("user", (Text(OPENING),)), *request.messages))
        draft.note("messages=a user's turn put in front: Bedrock wants one")


def instructed(draft: Draft) -> None:
    """Instructions for a model that has no place for them stand at the head of the first turn of the user."""
    request = draft.request
    if draft.subject.has("system") is not False or draft.subject.service != "converse" or not request.system:
        return
    for i, message in enumerate(request.messages):
        if message.role == "user":
            changed = replace(message, content=(*request.system, *message.content))
            draft.change(messages=(*request.messages[:i], changed, *request.messages[i + 1 :]), system=())
            draft.note("system=sent in the first user turn: the model takes no system prompt")
            return


def closed(draft: Draft) -> None:
    """The last turn: of the assistant only where the model continues it, and then without white space at its end."""
    request, subject = draft.request, draft.subject
    if not request.messages or request.messages[-1].role != "assistant":
        return
    last = request.messages[-1]
    thinks = request.parameters.thinking is not None and request.parameters.thinking.kind != "disabled"
    if not subject.prefills or (thinks and not draft.native and subject.maker == "claude"):
        draft.change(messages=(*request.messages, Message("user", (Text(CONTINUE),))))
        draft.note("prefill=asked for in words: the model continues no assistant turn")
        return
    block = last.content[-1] if last.content else None
    spaced = subject.maker == "claude" or subject.service in ("anthropic", "invoke")
    if spaced and isinstance(block, Text) and ends_in_space(block.text) and not is_blank(block.text):
        trimmed = replace(last, content=(*last.content[:-1], replace(block, text=block.text.rstrip())))
        draft.change(messages=(*request.messages[:-1], trimmed))
        draft.note("prefill=sent without the white space at its end")
