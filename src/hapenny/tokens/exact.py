"""Which tool results are somebody's text and must reach the model as they are: files, code, output of commands, and
everything in a conversation whose tools quote text exactly.

An agent that edits by exact search and replace has to quote what it read, white space included; a result that was
rewritten without losing a fact makes its edits fail. Judged by the call (name of the tool, names of its arguments) and
by the tools that are offered; the content is judged by `lossless` (arrays of records alone are data).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from hapenny.core.messages import Message, Tool, ToolUse
from hapenny.core.patterns import pattern

_WORDS = pattern(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_OF_FILES = frozenset(
    (
        "file", "files", "notebook", "cell", "source", "code", "diff", "patch", "bash", "shell", "terminal", "exec",
        "grep", "cat", "sed", "script", "editor",
    )
)  # fmt: skip
_ALONE = frozenset(("read", "view", "open", "cat", "head", "tail", "edit", "write", "run"))
"""Words that name a tool for files when they are its whole name."""
_PLACES = frozenset(
    (
        "path", "file", "filename", "file_path", "filepath", "file_name", "notebook_path", "absolute_path",
        "relative_path", "target_file", "cmd", "command", "script", "code", "patch",
    )
)  # fmt: skip
_QUOTED = frozenset(
    (
        "old_string", "old_str", "old_text", "oldtext", "oldstring", "old_content", "old_code", "patch", "diff",
        "edits", "search_block", "replace_block", "original_text",
    )
)  # fmt: skip
_EXACT = pattern(r"\b(?:exact(?:ly)?|verbatim|byte[- ]for[- ]byte|character[- ]for[- ]character)\b", re.IGNORECASE)


def quotes(tools: Iterable[Tool]) -> bool:
    """Whether a tool on offer asks for text as it stands somewhere."""
    for tool in tools:
        if tool.kind.startswith(("text_editor_", "bash_")):
            return True
        if tool.description and _EXACT.search(tool.description):
            return True
        properties = tool.schema.get("properties") if isinstance(tool.schema, dict) else None
        if isinstance(properties, dict) and any(name.lower() in _QUOTED for name in properties):
            return True
    return False


def exact_calls(messages: Sequence[Message]) -> frozenset[str]:
    """The ids of calls whose results are files, code or output of commands."""
    return frozenset(
        block.id for message in messages for block in message.content if isinstance(block, ToolUse) and _reads(block)
    )


def _reads(call: ToolUse) -> bool:
    words = {word.lower() for word in _WORDS.findall(call.name)}
    if words & _OF_FILES or (len(words) == 1 and words <= _ALONE):
        return True
    if '"' not in call.arguments:
        return False
    try:
        arguments = msgspec.json.decode(call.arguments.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return True  # nobody can tell what was asked for
    return isinstance(arguments, dict) and any(name.lower() in _PLACES for name in arguments)
