"""What a request asks, as a model reads it: the question, the turns before it, all other text, the kind of work."""

from __future__ import annotations

import re

from hapenny.core.messages import Data, Document, Request, Text, ToolResult
from hapenny.simulation.workload.truth import Kind

_MARKER = re.compile(r"(?:^|\n)\s*(?:question|query|user question|customer)\s*:\s*", re.IGNORECASE)
_TRANSLATES = re.compile(r"\b(?:translate|translation|dịch)\b|翻訳|訳して", re.IGNORECASE)
_CODES = re.compile(r"```|\b(?:json|sql|regex|python|javascript|csv|code|function)\b", re.IGNORECASE)
_REASONS = re.compile(
    r"\b(?:why|compare|calculate|average|total|cheapest|how many|step by step|prove|plan)\b", re.IGNORECASE
)
_TALKS = re.compile(
    r"\W{0,9}(?:hi|hello|hey|good (?:morning|evening|day)|thanks?(?: you)?|ok(?:ay)?|bye|great|xin chào|cảm ơn|"
    r"こんにちは|ありがとう)\b.{0,40}",
    re.IGNORECASE | re.DOTALL,
)


def question_of(request: Request) -> str:
    """The question itself: the last user text, without a context pasted before it."""
    text = request.question
    if not text:
        for message in reversed(request.messages):
            if message.role == "user" and message.text:
                text = message.text
                break
    marked = _MARKER.split(text)
    if len(marked) > 1 and marked[-1].strip():
        return marked[-1].strip()
    parts = [part for part in text.split("\n\n") if part.strip()]
    return parts[-1].strip() if parts else text.strip()


def earlier_of(request: Request) -> list[str]:
    """The user turns before the last, oldest first."""
    turns = [message.text for message in request.messages if message.role == "user" and message.text]
    return turns[:-1]


def brings_result(request: Request) -> bool:
    """Whether the last turn brings the result of a tool."""
    last = request.messages[-1] if request.messages else None
    return last is not None and any(isinstance(block, ToolResult) for block in last.content)


def context_of(request: Request) -> list[str]:
    """All other text of the prompt, in order: system, earlier turns, documents, tool results, pasted context."""
    question = question_of(request)
    texts: list[str] = []

    def take(block: object) -> None:
        match block:
            case Text():
                texts.append(block.text)
            case Document():
                if block.text:
                    texts.append(block.text)
            case ToolResult():
                for inner in block.content:
                    take(inner)
            case Data():
                texts.append(_flat(block.value))
            case _:
                pass

    for block in request.system:
        take(block)
    for message in request.messages:
        for block in message.content:
            take(block)
    return [text for text in (part.replace(question, "") if question else part for part in texts) if text.strip()]


def _flat(value: object, path: str = "") -> str:
    if isinstance(value, dict):
        return "\n".join(_flat(inner, f"{path} {key}".strip()) for key, inner in value.items())
    if isinstance(value, list):
        return "\n".join(_flat(inner, path) for inner in value)
    return f"{path}: {value}." if path else f"{value}."


def kind_of(request: Request, question: str) -> Kind:
    """The kind of work of a question nobody told the truth of, by what is plain to see."""
    if request.tools and not brings_result(request):
        return "tools"
    if _TALKS.fullmatch(question):
        return "small_talk"
    if _TRANSLATES.search(question):
        return "translation"
    if _CODES.search(question):
        return "code"
    if _REASONS.search(question[:2000]):
        return "reasoning"
    return "grounded"
