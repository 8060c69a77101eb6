"""Whether an answer stands on the evidence in its request: retrieved passages, documents, the result of a tool.

Theory of operation. What was looked up is easy to check and hard to make up: an extracted value stands in one passage,
beside the names that the question is about. The evidence is cut into passages. An answer is supported when one passage
carries all that it claims: each number of the answer stands there or in the question, what it says besides is nearly
all there too, negations are as frequent as in the sentence it rests on, and no other passage fits what question and
answer name better, so that the price of the neighbouring volume is not taken for the one that was asked about. A tool
call is supported when the tool is on offer and each value of its arguments stands in the conversation. Chatter that
names nothing is passed over; an answer that is nothing else, or a request without evidence, is never supported: nobody
can tell, and a stronger model answers.

No model is asked, the work is linear in the text, and what is looked at is bounded.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from hapenny.core.messages import Data, Document, Request, Text, ToolResult
from hapenny.evidence.facts import Said, fold, negations
from hapenny.evidence.pieces import pieces

MOST_EVIDENCE, MOST_ANSWER = 120_000, 20_000
"""Characters: what is longer is not looked at, and not supported."""
_MOST_COMPARED = 50_000
"""Sentences of an answer times sentences of its evidence, each of which may be compared: some 50 ms. What would take
more is not supported."""
_ENDS = ".!?…。！？\n"
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_DATE = re.compile(r"(\d{1,4})[-./](\d{1,2})[-./](\d{1,4})")
_GROUPED = re.compile(r"\d+,\d+|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+,\d+")
"""A number with a decimal comma, or with marks between its thousands."""
_WORD = re.compile(r"[^\W\d_]+")
_EAST = re.compile(r"[\u30a1-\u30ff\u3400-\u9fff]+")
_KANA = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_CLAIMED, _VALUED = 0.8, 0.4
"""Share of what a sentence says that must stand in its passage or the question; the second where it gives a number from
there."""
_NEAR, _VALUE = 0.98, 1.5
"""How near to the best fit a passage must come, and how much more than a word a number counts in it."""
_LISTED = 2
"""Lines from which on a passage may be a list."""
_COMMON = (
    "a an and are as at be been but by can could did do does for from had has have he her his how i if in into is it "
    "its me my no not of on or our she should so some than that the their them then there these they this to was we "
    "were what when where which who will with would you your yes please "
    "là và của có cho bạn tôi được thì mà này đó những các một với trong khi đã sẽ ở ra vào chúng nhé ạ vâng không "
    "để về từ nếu còn"
)
_STOP = frozenset(_COMMON.split())


class Passage(Struct, frozen=True):
    """A piece of evidence that belongs together: what it says, its numbers, and its text, folded."""

    units: frozenset[str]
    numbers: frozenset[str]
    text: str


def evidence(request: Request, question: str = "") -> list[Passage]:
    """The passages of a request: its documents, the texts before its last question, results of tools. Earlier answers
    of the model are none, nor is `question`, which would pass for a part of the passage that it was put after."""
    texts: list[str] = []
    for block in request.system:
        if isinstance(block, Text):
            texts.append(block.text)
    for message in request.messages:
        if message.role == "assistant":
            continue
        for part in message.content:
            texts.extend(_texts(part))
    if sum(map(len, texts)) > MOST_EVIDENCE:
        return []
    asked = question.strip()
    if asked:
        texts = [text.rstrip().removesuffix(asked) for text in texts]
    cut = [piece for text in texts for piece in pieces(text)]
    return [Passage(frozenset(units(piece)), frozenset(numbers(piece)), fold(piece)) for piece in cut]


def grounded(said: Said, request: Request, question: str) -> bool:
    """Whether the evidence of a request carries an answer.

    Args:
        said: the answer.
        request: as it was asked.
        question: its last question, without the passages pasted before it.
    """
    if said.calls:
        return len(said.text) <= MOST_ANSWER and _called(said, request)
    return _carried((said.text,), request, question)


def agree_on_evidence(one: Said, other: Said, request: Request, question: str) -> bool:
    """Whether two answers in words give the same numbers, and evidence carries both: then they say the same of it."""
    if one.calls or other.calls or frozenset(numbers(one.text)) != frozenset(numbers(other.text)):
        return False
    return _carried((one.text, other.text), request, question)


def _carried(answers: Sequence[str], request: Request, question: str) -> bool:
    """Whether the evidence of a request carries each of these answers in words."""
    if any(len(answer) > MOST_ANSWER for answer in answers):
        return False
    passages = evidence(request, question)
    there = sum(_sentences_of(each.text) for each in passages)
    if not passages or sum(map(_sentences_of, answers)) * there > _MOST_COMPARED:
        return False
    rarity = _Rarity(passages)
    asked, wanted = frozenset(units(question)), frozenset(numbers(question))
    return all(
        any(_carries(each, answer, asked, wanted) for each in _meant(passages, answer, asked, wanted, rarity))
        for answer in answers
    )


def _meant(
    passages: Sequence[Passage], answer: str, asked: frozenset[str], wanted: frozenset[str], rarity: _Rarity
) -> list[Passage]:
    """The passages that fit best what question and answer name."""
    named, counted = frozenset(units(answer)), frozenset(numbers(answer))
    # What both name is what the answer is about; a question that leans on earlier turns leaves that to the answer.
    subject, values = asked & named, wanted & counted
    fits = [_fit(each, subject if subject or values else named, values, rarity) for each in passages]
    best = max(fits)
    return [each for each, fit in zip(passages, fits, strict=True) if fit >= _NEAR * best]


def _carries(passage: Passage, answer: str, asked: frozenset[str], wanted: frozenset[str]) -> bool:
    """Whether one passage carries what an answer claims, and it claims something."""
    claims = 0
    there: list[tuple[str, frozenset[str]]] = []
    lines: list[_Line] = []
    for sentence in _SENTENCE.split(answer):
        names, counts = units(sentence), numbers(sentence)
        if any(each not in passage.numbers and each not in wanted for each in counts):
            return False
        carried = sum(each in passage.units or each in asked for each in names)
        valued = any(each in passage.numbers and each not in wanted for each in counts)
        if carried < (_VALUED if valued else _CLAIMED) * len(names):
            if valued:
                return False
            continue
        if not valued and not any(each in passage.units and each not in asked for each in names):
            continue
        there = there or _sentences(passage.text)
        if valued:
            lines = lines or _lines(passage.text, asked, wanted)
            if _mixed_up(lines, counts, wanted):
                return False
        if not _same_sign(sentence, frozenset((*names, *counts)), there):
            return False
        claims += 1
    return claims > 0


class _Line(NamedTuple):
    """A line of a passage: how much it names of what is asked about, and its numbers."""

    subject: int
    numbers: frozenset[str]


def _lines(text: str, asked: frozenset[str], wanted: frozenset[str]) -> list[_Line]:
    known = frozenset(map(_plain, wanted))
    lines = [(asked.intersection(units(line)), frozenset(numbers(line))) for line in text.splitlines()]
    return [_Line(len(names) + len(known.intersection(map(_plain, counts))), counts) for names, counts in lines]


def _mixed_up(lines: Sequence[_Line], counts: Sequence[str], wanted: frozenset[str]) -> bool:
    """Whether a number of an answer stands in the line of another subject: where another line of the passage names more
    of what is asked about, and gives a number of the same kind. Lists of records without borders look like that."""
    if len(lines) < _LISTED:
        return False
    known = frozenset(map(_plain, wanted))
    for each in counts:
        if _plain(each) in known:
            continue
        mine = max((line.subject for line in lines if each in line.numbers), default=0)
        kind = _kind(each)
        rivals = (other for line in lines if line.subject > mine and each not in line.numbers for other in line.numbers)
        if any(_kind(other) == kind and _plain(other) not in known for other in rivals):
            return True
    return False


def _plain(number: str) -> str:
    return number.lstrip("0") or "0"


def _kind(number: str) -> str:
    """Whole, with a fraction, or a date or time."""
    return "whole" if number.isdecimal() else "fraction" if number.count(".") == 1 else "other"


def _sentences_of(text: str) -> int:
    """How many sentences and lines a text has at most."""
    return 1 + sum(map(text.count, _ENDS))


def _sentences(text: str) -> list[tuple[str, frozenset[str]]]:
    """The sentences of a text, with what each names and its numbers."""
    return [(each, frozenset((*units(each), *numbers(each)))) for each in _SENTENCE.split(text)]


def _same_sign(sentence: str, mine: frozenset[str], there: Sequence[tuple[str, frozenset[str]]]) -> bool:
    """Whether a sentence, which names `mine`, denies as often as the one of `there` that it rests on."""
    rests, _ = max(there, key=lambda each: len(mine & each[1]))
    return (negations(sentence) > 0) == (negations(rests) > 0)


class _Rarity:
    """How much a word tells of which passage is meant: 1 where one has it or none, less the more have it."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._seen = Counter(unit for passage in passages for unit in passage.units | passage.numbers)
        self._whole = math.log(1 + len(passages))

    def of(self, unit: str) -> float:
        """In (0, 1]."""
        return 1.0 - math.log(max(1, self._seen[unit])) / self._whole


def _fit(passage: Passage, names: frozenset[str], values: frozenset[str], rarity: _Rarity) -> float:
    shared = math.fsum(rarity.of(each) for each in passage.units & names)
    return shared + _VALUE * math.fsum(rarity.of(each) for each in passage.numbers & values)


def _called(said: Said, request: Request) -> bool:
    """Whether each value of a call's arguments stands in the conversation, and its tool is on offer."""
    if len(said.calls) != 1 or said.calls[0] not in {tool.name for tool in request.tools}:
        return False
    try:
        arguments = json.loads(said.text or "{}")
    except (ValueError, RecursionError):
        return False
    texts = [text for message in request.messages for part in message.content for text in _texts(part)]
    if not isinstance(arguments, dict) or sum(map(len, texts)) > MOST_EVIDENCE:
        return False
    there = fold("\n".join(texts))
    known = set(numbers(there))
    values = list(_leaves(arguments))
    return bool(values) and all(value in known if _NUMBER.fullmatch(value) else value in there for value in values)


def _leaves(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None and not isinstance(value, bool):
        yield fold(str(value)).strip()


def _texts(block: object) -> list[str]:
    if isinstance(block, Text):
        return [block.text]
    if isinstance(block, Document):
        return [block.text] if block.text else []
    if isinstance(block, ToolResult):
        return [text for inner in block.content for text in _texts(inner)]
    if isinstance(block, Data):
        return [json.dumps(block.value, ensure_ascii=False, default=str)]
    return []


def units(text: str) -> list[str]:
    """What a text names, folded: words that are not everywhere; in Japanese and Chinese pairs of signs within runs that
    are no hiragana."""
    folded = fold(text)
    if not _KANA.search(folded):
        return [word for word in _WORD.findall(folded) if len(word) > 1 and word not in _STOP]
    runs = _EAST.findall(folded)
    pairs = [run[place : place + 2] for run in runs for place in range(max(1, len(run) - 1))]
    plain = [word for word in _WORD.findall(_EAST.sub(" ", folded)) if len(word) > 1 and word.isascii()]
    return pairs + [word for word in plain if word not in _STOP]


def numbers(text: str) -> list[str]:
    """Its numbers, a decimal comma as a point; of a date its parts too, since answers write dates in other ways."""
    values: list[str] = []
    for each in _NUMBER.findall(fold(text)):
        date = _DATE.fullmatch(each)
        if date:
            values += [str(int(part)) for part in date.groups()]
        elif each.count(",") and not _GROUPED.fullmatch(each):
            values += each.split(",")  # cells of a row
        else:
            values.append(each.replace(",", "."))
    return values
