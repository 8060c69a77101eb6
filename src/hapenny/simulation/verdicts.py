"""A simulated model as a judge of two answers: right but for the share of verdicts its card states.

A prompt that shows a question and two answers between the tags `question`, `answer_a` and `answer_b` is a judge's. It
is answered "Verdict: A", "Verdict: B" or "Verdict: tie", or, where it asks for SAME or DIFFERENT, in one of these
words. The verdict rests on the truth of both answers, as far as the provider knows it: it wrote them, or the workload
says what is right. Half of the errors belong to the pair and come again when the places are swapped (assumed); the
other half belong to the order.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from typing import Literal

from msgspec import Struct

from hapenny.core.messages import Request
from hapenny.simulation.latents import chance, same
from hapenny.simulation.workload.truth import Item, Truth, fold

_REMEMBERED = 100_000
_BOUND = 0.5
"""The share of errors that do not depend on the order."""
_FIRST = 0.6
"""How often an erring judge prefers the first of two equal answers; models prefer a place. Assumed."""


class Pair(Struct, frozen=True):
    """What a judge is shown."""

    question: str
    first: str
    second: str
    form: Literal["verdict", "same"]


class Written(Struct, frozen=True):
    """What the provider knows of an answer it gave: to which question, and whether it was right."""

    question: str
    right: bool


class Memory:
    """The answers of a provider, by text: the newest hundred thousand."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Written] = OrderedDict()

    def note(self, text: str, question: str, right: bool) -> None:
        """An answer was given."""
        key = _key(text)
        self._known[key] = Written(question, right)
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def of(self, text: str) -> Written | None:
        """What is known of an answer."""
        return self._known.get(_key(text))


def read(request: Request) -> Pair | None:
    """The pair a judge's prompt shows; None: the request is none."""
    text = request.messages[-1].text if request.messages else ""
    if "<answer_a>" not in text or "<answer_b>" not in text:
        return None
    question, first, second = (_between(text, tag) for tag in ("question", "answer_a", "answer_b"))
    if first is None or second is None:
        return None
    rest = text[: text.find("<answer_a>")] + text[text.rfind("</answer_b>") :]
    return Pair(question or "", first, second, "same" if "DIFFERENT" in rest else "verdict")


def _between(text: str, tag: str) -> str | None:
    begin = text.find(f"<{tag}>")
    end = text.rfind(f"</{tag}>")
    return text[begin + len(tag) + 2 : end].strip() if 0 <= begin < end else None


def verdict(pair: Pair, truth: Truth, memory: Memory, error: float, judge: str, seed: int) -> str:
    """What the judge says.

    Args:
        pair: what it sees.
        truth: what is right, where the workload says so.
        memory: what the provider wrote.
        error: the judge's share of wrong verdicts.
        judge: its model, whose errors are its own.
        seed: the draw of the latents.
    """
    first, second = (_right(text, pair.question, truth, memory) for text in (pair.first, pair.second))
    if fold(pair.first).split() == fold(pair.second).split():
        better = 0
    elif first is None or second is None:
        better = 0 if _alike(pair.first, pair.second) else 2
    elif first == second:
        better = 0 if first else 2
    else:
        better = 1 if first else -1
    errs, prefers_first = _errs(pair, error, judge, seed)
    if pair.form == "same":
        return "SAME" if (better == 0) != errs else "DIFFERENT"
    if better == 2:  # two different wrong answers: neither is better
        better = 0
    if errs:
        better = (1 if prefers_first else -1) if better == 0 else (0 if prefers_first else -better)
    return f"Verdict: {('tie', 'A', 'B')[better]}"


def _errs(pair: Pair, error: float, judge: str, seed: int) -> tuple[bool, bool]:
    """Whether the judge errs, and whether it then leans to the first answer."""
    texts = sorted((pair.first, pair.second))
    own = (seed, "judge", judge, pair.question, *texts)
    if chance("bound", *own) < _BOUND:
        leans = chance("favourite", *own) < 0.5
        return chance("errs", *own) < error, leans == (pair.first == texts[0])
    swapped = pair.first != texts[0]
    return chance("errs", swapped, *own) < error, chance("leans", swapped, *own) < _FIRST


_CALL = re.compile(r"(\w+)\((\{.*\})\)", re.DOTALL)
"""A tool call as a judge is shown it: name and JSON arguments."""


def _right(answer: str, question: str, truth: Truth, memory: Memory) -> bool | None:
    call = _CALL.fullmatch(answer.strip())
    if call is not None:
        asked = truth.find(question)
        return _rightly_called(call, asked[0]) if asked is not None and asked[0].call is not None else None
    written = memory.of(answer)
    known = truth.find(question)
    if written is not None and (not question or same(question) == written.question or known is None):
        return written.right and (not question or same(question) == written.question)
    if known is not None and known[1]:
        return known[0].grade(answer)
    return written.right if written is not None else None


def _rightly_called(call: re.Match[str], item: Item) -> bool:
    try:
        arguments = json.loads(call[2])
    except ValueError:
        return False
    return isinstance(arguments, dict) and item.called(call[1], arguments)


def _alike(first: str, second: str) -> bool:
    """Two answers nobody knows the truth of: alike when they share most of their words."""
    one, other = set(same(first).split()), set(same(second).split())
    return len(one & other) >= 0.6 * max(1, min(len(one), len(other)))


def _key(text: str) -> bytes:
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=16).digest()
