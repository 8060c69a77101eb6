"""What a simulated model says: sentences of the prompt, the right ones or the wrong ones.

This is for questions nobody told the truth of (`workload.truth` holds it for those of a population): with a context
the answer names the sentence that shares the rarest words with the question; a wrong answer names another one, or
changes a number. Without a context it is made of the question's own words. The same prompt, model and seed always give
the same answer. What is measured with such questions is not quality: the sentence is chosen much as a pruner would.
"""

from __future__ import annotations

import json
import math
import re
from itertools import chain
from typing import Any

from msgspec import Struct

from hapenny.core.messages import Request, Text, Tool, ToolResult
from hapenny.protocols.rules.formats import BY_SCHEMA, IN_WORDS
from hapenny.simulation.filling import fill
from hapenny.simulation.latents import chance
from hapenny.simulation.request_text import context_of, question_of

_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+|(?<=[。！？])")
_WORD = re.compile(r"[^\W_]+")
_STOP_WORDS = (
    "a an and are as at be been but by can could did do does for from had has have he her his how i if in into is it "
    "its me my no not of on or our she should so some than that the their them then there these they this to was we "
    "were what when where which who will with would you your please tell about any much many"
)
_STOP = frozenset(_STOP_WORDS.split())
_FILL = (
    "For {topic}, the shop follows its usual rules and this case needs nothing special.",
    "You will find the details of {topic} on the page of your order as well.",
    "Should {topic} change, a message goes to the address on your account.",
    "Please keep the number of your order at hand when you ask about {topic} again.",
    "In short, {topic} works the way described above.",
    "If anything about {topic} is unclear, I can go through it step by step.",
    "Other readers asked about {topic} too, and the same answer held for them.",
    "There is no extra charge connected with {topic}.",
)
_LOST = "I could not find this in the given text."


class Draft(Struct, kw_only=True):
    """An answer before it is cut to size: thinking, text, or tool calls as (name, JSON arguments)."""

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str], ...] = ()


def words(text: str) -> list[str]:
    """Content words, folded, with a plain plural taken off."""
    kept = [word for word in _WORD.findall(text.casefold()) if word not in _STOP]
    return [word[:-1] if len(word) > 3 and word.endswith("s") and word.isascii() else word for word in kept]


def sentences(context: list[str], limit: int = 600) -> list[str]:
    """The sentences and lines of a context, each once, at most `limit`."""
    lines: dict[str, None] = {}
    for text in context:
        for sentence in _SENTENCE.split(text):
            plain = " ".join(sentence.split())
            if len(plain) > 8:
                lines.setdefault(plain[:400])
                if len(lines) >= limit:
                    return list(lines)
    return list(lines)


def ranked(question: str, candidates: list[str]) -> list[tuple[float, str]]:
    """Candidates that share words with the question, best first; rare words count more, long sentences less."""
    asked = set(words(question))
    if not asked:
        return []
    bags = [words(candidate) for candidate in candidates]
    seen: dict[str, int] = {}
    for bag in bags:
        for word in asked.intersection(bag):
            seen[word] = seen.get(word, 0) + 1
    scored = []
    for number, (bag, candidate) in enumerate(zip(bags, candidates, strict=True)):
        shared = asked.intersection(bag)
        if shared:
            weight = sum(math.log(1 + len(bags) / seen[word]) for word in sorted(shared))
            scored.append((weight / math.sqrt(4 + len(bag)), -number, candidate))
    scored.sort(reverse=True)
    return [(score, candidate) for score, _, candidate in scored]


def reference(request: Request) -> str:
    """The sentence that a right answer to `request` begins with: for judges and benchmarks that compare quality."""
    return _lead(request, True, "reference")[0]


_OPENINGS = ("", "According to the text: ", "Here is what applies. ", "As far as I can see: ", "To answer this: ")
"""Models that say the same say it in their own words."""


def compose(request: Request, model: str, right: bool, seed: object, size: int, turn: int = 0) -> Draft:
    """The answer of `model` to `request`, aiming at `size` words; another `turn` says the same in other words."""
    calls = _calls(request, right, seed)
    if calls:
        return Draft(calls=calls)
    lead, rest = _lead(request, right, seed)
    wanted, schema = _json_wanted(request)
    if wanted:
        text = json.dumps(fill(schema, lead, seed) if schema else {"answer": lead}, ensure_ascii=False)
        return Draft(text=text.removeprefix("{") if _begun(request) else text)
    opening = _OPENINGS[int(chance(seed, "opening", model, turn) * len(_OPENINGS))]
    said = [opening + lead]
    count = len(lead.split()) + (len(lead) // 3 if not lead.isascii() else 0)
    topic = " ".join(words(question_of(request))[:4]) or "this"
    start = int(chance(seed, "fill", topic, model, turn) * len(_FILL))
    extra = chain(rest[:6], (_FILL[(start + step) % len(_FILL)].format(topic=topic) for step in range(400)))
    while count < size:
        sentence = next(extra, "")
        if not sentence:
            break
        said.append(sentence)
        count += len(sentence.split()) + (len(sentence) // 3 if not sentence.isascii() else 0)
    thinking = ""
    if request.parameters.thinking is not None and request.parameters.thinking.kind != "disabled":
        thinking = f"The question is about {topic}. The text to rest on: {lead}"
    return Draft(text=" ".join(said), thinking=thinking)


def _lead(request: Request, right: bool, seed: object) -> tuple[str, list[str]]:
    question = question_of(request)
    # Instructions are quoted only where there is nothing else: no model answers a customer with its rules.
    given = context_of(request)
    rules = {block.text for block in request.system if isinstance(block, Text)}
    rest = [text for text in given if text not in rules]
    order = [candidate for _, candidate in ranked(question, sentences(rest or given))]
    if order:
        if right:
            return order[0], order[1:]
        draw = chance(seed, "wrong", question)
        others = order[1:6]
        if others:
            wrong = others[int(draw * len(others))]
            return wrong, [sentence for sentence in order[1:] if sentence != wrong]
        changed = _changed(order[0], draw)
        return (changed if changed != order[0] else _LOST), []
    topic = words(question)
    if not topic:
        return ("Understood." if right else _LOST), []
    if right:
        return f"About {' '.join(topic)}: yes, this is how the shop handles it.", []
    kept = [word for word in topic if chance(seed, "kept", word) < 0.5][:3] or ["this"]
    return f"About {' '.join(kept)} I can only say that it is not handled here.", []


def _changed(sentence: str, draw: float) -> str:
    number = re.search(r"\d+", sentence)
    if number is None:
        return sentence
    other = str(int(number[0]) + 1 + int(draw * 9))
    return sentence[: number.start()] + other + sentence[number.end() :]


def _calls(request: Request, right: bool, seed: object) -> tuple[tuple[str, str], ...]:
    choice = request.tool_choice
    if not request.tools or (choice is not None and choice.kind == "none"):
        return ()
    last = request.messages[-1] if request.messages else None
    if last is not None and any(isinstance(block, ToolResult) for block in last.content):
        return ()
    question = question_of(request)
    asked = set(words(question))
    tools = sorted(request.tools, key=lambda tool: -len(asked.intersection(_tool_words(tool))))
    forced = choice is not None and choice.kind in ("any", "tool")
    if choice is not None and choice.kind == "tool":
        tools = [tool for tool in request.tools if tool.name == choice.name] or tools
    best = tools[0]
    if not forced and len(asked.intersection(_tool_words(best))) < 2:
        return ()
    if not right and len(tools) > 1 and not (choice is not None and choice.kind == "tool"):
        best = tools[1]
    filled = fill(best.schema, question, seed)
    return ((best.name, json.dumps(filled if isinstance(filled, dict) else {}, ensure_ascii=False)),)


def _tool_words(tool: Tool) -> set[str]:
    return set(words(re.sub(r"[_\-]|(?<=[a-z])(?=[A-Z])", " ", tool.name) + " " + (tool.description or "")))


def _json_wanted(request: Request) -> tuple[bool, Any]:
    """Whether the answer must be JSON (as a format, or in the words that stand for one), and its schema if any."""
    format = request.parameters.format
    if isinstance(format, dict) and format.get("type") in ("json_object", "json_schema"):
        return True, _schema(format)
    for block in request.system:
        if isinstance(block, Text) and block.text.startswith(IN_WORDS):
            _, _, schema = block.text.partition(BY_SCHEMA)
            return True, json.loads(schema) if schema else None
    return False, None


def _begun(request: Request) -> bool:
    """Whether the answer's first brace stands in the prompt: an assistant turn that the model continues."""
    last = request.messages[-1] if request.messages else None
    return last is not None and last.role == "assistant" and last.text.strip() == "{"


def _schema(format: Any) -> Any:
    if not isinstance(format, dict) or format.get("type") != "json_schema":
        return None
    inner = format.get("json_schema", format)
    return inner.get("schema") if isinstance(inner, dict) else None
