"""Words beside tool calls or their results, for models that want calls and results in turns of their own.

Theory of operation. The composer joins neighbouring turns of one side, so the conversation is looked at by such runs. A
run of the assistant that both speaks and calls becomes two turns with a short one of the user between them; a run that
holds results and words of the user becomes two with one of the assistant between them. Nobody's words end up in
somebody else's turn, sides still alternate, and a result stays behind its call. Mistral's chat completions want it
of results alone: "Unexpected role 'user' after role 'tool'" (github.com/Gitlawb/openclaude/issues/752).
"""

from __future__ import annotations

from hapenny.core.messages import Block, Message, Text, ToolResult, ToolUse
from hapenny.protocols.rules.draft import Draft

GO_ON = "(Go on.)"
NOTED = "(Noted.)"


def apart(draft: Draft) -> None:
    """Calls and results stand in turns of their own."""
    chat = draft.subject.service == "openai"
    wants = draft.foreign and draft.subject.maker == "mistral" if chat else not draft.subject.mixes_turns
    if not wants:
        return
    out: list[Message] = []
    parted = 0
    messages = draft.request.messages
    i = 0
    while i < len(messages):
        spoken = messages[i].role == "assistant"
        run = [messages[i]]
        i += 1
        while i < len(messages) and (messages[i].role == "assistant") == spoken:
            run.append(messages[i])
            i += 1
        blocks = [block for message in run for block in message.content]
        kind = ToolUse if spoken else ToolResult
        own = tuple([block for block in blocks if isinstance(block, kind)])
        words = tuple([block for block in blocks if not isinstance(block, kind)])
        if not own or not words or (chat and spoken):
            out += run
            continue
        parted += 1
        out += _spoken(words, own) if spoken else _answered(own, words)
    if parted:
        draft.change(messages=tuple(out))
        draft.note("turns=words and tool blocks sent in turns of their own: the model wants them apart")


def _spoken(words: tuple[Block, ...], calls: tuple[Block, ...]) -> list[Message]:
    return [Message("assistant", words), Message("user", (Text(GO_ON),)), Message("assistant", calls)]


def _answered(results: tuple[Block, ...], words: tuple[Block, ...]) -> list[Message]:
    return [Message("user", results), Message("assistant", (Text(NOTED),)), Message("user", words)]
