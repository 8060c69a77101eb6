"""Why a model stopped: the words of each dialect.

Several of ours share a word in a dialect; the first row that has the word decodes it.
"""

from __future__ import annotations

from hapenny.core.events import StopReason

OPENAI: dict[StopReason, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "context_window": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail": "content_filter",
    "refusal": "content_filter",
    "pause_turn": "stop",
    "malformed": "stop",
}

ANTHROPIC: dict[StopReason, str] = {
    "end_turn": "end_turn",
    "stop_sequence": "stop_sequence",
    "max_tokens": "max_tokens",
    "context_window": "model_context_window_exceeded",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "content_filtered": "refusal",
    "guardrail": "refusal",
    "pause_turn": "pause_turn",
    "malformed": "end_turn",
}

BEDROCK: dict[StopReason, str] = {
    "end_turn": "end_turn",
    "stop_sequence": "stop_sequence",
    "max_tokens": "max_tokens",
    "context_window": "model_context_window_exceeded",
    "tool_use": "tool_use",
    "content_filtered": "content_filtered",
    "guardrail": "guardrail_intervened",
    "refusal": "content_filtered",
    "pause_turn": "end_turn",
    "malformed": "malformed_model_output",
}


def _inverse(table: dict[StopReason, str]) -> dict[str, StopReason]:
    words: dict[str, StopReason] = {}
    for reason, word in table.items():
        words.setdefault(word, reason)
    return words


FROM_OPENAI = _inverse(OPENAI) | {"function_call": "tool_use"}
FROM_ANTHROPIC = _inverse(ANTHROPIC)
FROM_BEDROCK = _inverse(BEDROCK) | {"malformed_tool_use": "malformed"}
