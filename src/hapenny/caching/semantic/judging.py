"""Whether two answers say the same: the label the semantic layer learns from, cheapest way first.

Equal text, then cosine of the answers' vectors where it is plain, then a model as judge. Without a judge what is not
plain counts as different: the cache then serves less, never more.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from hapenny.vectors import Embedder

Judge: TypeAlias = Callable[[str, str, str], Awaitable[bool]]
"""Asks a model: question, stored answer, new answer -> whether both answer the question alike."""

_SPACES = re.compile(r"\s+")
_ALIKE = 0.95
_APART = 0.6
_DIGITS = re.compile(r"\d+")

PROMPT = (
    "Two answers to the same customer question follow. Say SAME if a customer would be equally well and equally "
    "correctly served by either; say DIFFERENT if they state different facts, numbers, names, conditions or actions.\n"
    "Question: {question}\nAnswer A: {stored}\nAnswer B: {new}\nReply with one word."
)
"""What a judge backend is asked."""


class AnswerJudge:
    """Compares answers; counts how each verdict came about."""

    def __init__(self, embedder: Embedder | None = None, judge: Judge | None = None) -> None:
        self._embedder = embedder
        self._judge = judge
        self.by_text = self.by_vector = self.by_model = self.undecided = 0

    async def equal(self, question: str, stored: str, new: str) -> bool:
        """The verdict. Different numbers are never called the same by vectors alone."""
        if normal(stored) == normal(new):
            self.by_text += 1
            return True
        if self._embedder is not None:
            one, other = await self._embedder.embed([stored, new])
            cosine = float(one @ other)
            numbers = set(_DIGITS.findall(stored)) == set(_DIGITS.findall(new))
            if cosine <= _APART or (cosine >= _ALIKE and numbers):
                self.by_vector += 1
                return cosine > _APART
        if self._judge is None:
            self.undecided += 1
            return False
        self.by_model += 1
        return await self._judge(question, stored, new)


def normal(answer: str) -> str:
    """An answer without differences nobody sees: case, white space, final punctuation."""
    return _SPACES.sub(" ", answer).strip().rstrip(".!").lower()
