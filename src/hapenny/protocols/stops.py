"""Why a model stopped: the words of each dialect.

Several of ours share a word in a dialect; the first row that has the word decodes it.
"""

from __future__ import annotations

from typing import Any

from hapenny.core.errors import Failure, Kind
from hapenny.core.events import StopReason
from hapenny.core.messages import ToolChoice

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


_WORDLESS: dict[str, frozenset[StopReason]] = {
    "openai": frozenset(("pause_turn", "malformed")),
    "responses": frozenset(("pause_turn", "malformed")),
    "completions": frozenset(("pause_turn", "malformed")),
    "anthropic": frozenset(("malformed",)),
    "invoke": frozenset(("malformed",)),
    "bedrock": frozenset(("pause_turn",)),
}


def unworded(dialect: str, reason: StopReason | None) -> bool:
    """Whether an answer that stopped for `reason` looks in `dialect` as if it had ended well."""
    return reason in _WORDLESS.get(dialect, ())


def _inverse(table: dict[StopReason, str]) -> dict[str, StopReason]:
    words: dict[str, StopReason] = {}
    for reason, word in table.items():
        words.setdefault(word, reason)
    return words


FROM_OPENAI = _inverse(OPENAI) | {"function_call": "tool_use"}
FROM_ANTHROPIC = _inverse(ANTHROPIC)
FROM_BEDROCK = _inverse(BEDROCK) | {"malformed_tool_use": "malformed"}

_NEARLY_OPENAI: dict[str, StopReason] = {
    "eos": "end_turn",
    "eos_token": "end_turn",
    "end_turn": "end_turn",
    "end_of_turn": "end_turn",
    "complete": "end_turn",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "tool_call": "tool_use",
    "tool-calls": "tool_use",
    "max_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_length": "max_tokens",
    "length_limit": "max_tokens",
    "model_length": "context_window",
    "context_length": "context_window",
    "model_context_window_exceeded": "context_window",
    "content-filter": "content_filtered",
    "content_filtered": "content_filtered",
    "sensitive": "content_filtered",
    "safety": "content_filtered",
    "recitation": "content_filtered",
    "prohibited_content": "content_filtered",
    "blocklist": "content_filtered",
    "spii": "content_filtered",
    "refusal": "refusal",
    "guardrail_intervened": "guardrail",
    "malformed_function_call": "malformed",
    "pause_turn": "pause_turn",
}
"""What servers that call themselves compatible say instead, in any case: TGI and Together (eos, eos_token), Mistral
(model_length), Gemini's own words, Zhipu (sensitive), and Anthropic's and Bedrock's words behind thin translations."""

_GAVE_UP: dict[str, Kind] = {
    "abort": "truncated",
    "aborted": "truncated",
    "cancelled": "truncated",
    "error": "model_error",
    "network_error": "upstream",
    "insufficient_system_resource": "overloaded",
}
"""Ends that are none: vLLM and SGLang (abort), OpenRouter and Mistral (error), Zhipu (network_error), DeepSeek."""


_NATIVE_ENDS = frozenset(("error", "network_error"))


def told(word: str, native: Any) -> str:
    """A finish reason, or what became of the answer where the server has a word of its own beside (OpenRouter's
    `native_finish_reason`): "stop" may stand over an answer that its provider gave up."""
    return native if word == "stop" and type(native) is str and native in _NATIVE_ENDS else word


def openai_stop(word: str, *, called: bool, refused: bool, matched: bool) -> tuple[StopReason, bool]:
    """Our reason for a finish reason, and whether the word is one that OpenAI's clients take for what happened.

    Args:
        word: the finish reason, not empty.
        called: whether the answer holds tool calls: then no "stop" is the end of the turn.
        refused: whether it holds a refusal.
        matched: whether the server names the stop sequence that was met.

    Raises:
        Failure: for a word that says that the answer was given up.
    """
    reason = FROM_OPENAI.get(word)
    usual = reason is not None
    if reason is None:
        plain = word.lower()
        if plain in _GAVE_UP:
            raise Failure(_GAVE_UP[plain], f"The provider gave the answer up ({plain}).", upstream_type=plain)
        reason = FROM_OPENAI.get(plain) or _NEARLY_OPENAI.get(plain)
        if reason is None:
            return ("tool_use" if called else "end_turn"), True  # a new word: told as it is
    if reason == "end_turn":
        if called:
            return "tool_use", False
        if refused:
            return "refusal", usual
        if matched:
            return "stop_sequence", usual
    elif reason == "content_filtered" and refused:
        return "refusal", usual
    return reason, usual


def openai_word(reason: StopReason, kept: Any, choice: ToolChoice | None, *, functions: bool = False) -> str:
    """The finish reason: the provider's own (`kept`, a pair of our reason and its word) where it was kept. "stop" with
    tool calls is told only where OpenAI itself says it: in answer to a tool that was asked for by name (`choice`).
    `functions`: the client knows calls as `function_call`."""
    by_name = choice is not None and choice.kind == "tool"
    if kept and kept[0] == reason and (by_name or reason != "tool_use" or kept[1] != "stop"):
        word = str(kept[1])
    else:
        word = OPENAI[reason]
    return "function_call" if functions and word == "tool_calls" else word


def reason_for(
    word: str, table: dict[str, StopReason], *, called: bool
) -> tuple[StopReason, tuple[StopReason, str] | None]:
    """Our reason for a stop reason of Anthropic or Bedrock, and what to keep of its word: (our reason, the word) where
    clients of the same dialect would be told another one. `called`: whether the answer holds calls of the client's
    tools: then it does not end the turn (some models behind Bedrock say it does)."""
    known = table.get(word)
    reason: StopReason = known or "end_turn"
    if reason == "end_turn" and called:
        reason = "tool_use"
    kept = known is None or known != reason or word in _SHARED
    return reason, (reason, word) if kept else None


_SHARED = {"malformed_tool_use"}
"""Words whose reason has another word too."""


def word_for(reason: StopReason, table: dict[StopReason, str], kept: Any) -> str:
    """The word for `reason`: the provider's own (`kept`, a pair of our reason and its word) where it was kept because
    the table would say another one, and nothing changed the reason since."""
    if kept and kept[0] == reason:
        return str(kept[1])
    return table[reason]
